"""What every rerank API here has: the contract between the lane and the module that speaks one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import Target
from pllm.wire.rerank.request import RerankRequest


@dataclass(frozen=True, slots=True)
class Ranked:
    """`results` as the provider gave them. `units`: search units that it billed, `tokens`: those; None where it tells none."""

    results: Any
    id: str = ""
    units: int | None = None
    tokens: int | None = None


class RerankApi(Protocol):
    """One provider's rankings. `options`: the fields beyond the common ones that it has a place for."""

    @property
    def dialect(self) -> UpstreamDialect: ...

    @property
    def options(self) -> frozenset[str]: ...

    def path(self, target: Target) -> str: ...

    def encode(self, asked: RerankRequest, options: Mapping[str, Any], target: Target) -> JsonObject: ...

    def decode(self, answer: JsonObject) -> Ranked: ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError: ...


def common_fields(asked: RerankRequest) -> JsonObject:
    texts: Sequence[str] = asked.texts
    top_n = {} if asked.top_n is None else {"top_n": min(asked.top_n, len(texts))}
    return {"query": asked.query, "documents": list(texts), **top_n}
