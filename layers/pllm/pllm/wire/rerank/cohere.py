"""Cohere's own API: POST /v2/rerank. https://docs.cohere.com/reference/rerank"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import Target
from pllm.wire.openai_chat.errors import read_error
from pllm.wire.rerank.api import Ranked, common_fields
from pllm.wire.rerank.request import RerankRequest

_ABSURD = 1e9


@dataclass(frozen=True, slots=True)
class CohereApi:
    """See `RerankApi`."""

    options: frozenset[str] = frozenset({"max_tokens_per_doc", "priority"})
    dialect: UpstreamDialect = "cohere"

    def path(self, target: Target) -> str:
        return "rerank"

    def encode(self, asked: RerankRequest, options: Mapping[str, Any], target: Target) -> JsonObject:
        return {"model": target.model, **common_fields(asked), **options}

    def decode(self, answer: JsonObject) -> Ranked:
        told = answer.get("id")
        units, tokens = _billed(answer, "search_units"), _billed(answer, "input_tokens")
        return Ranked(answer.get("results"), told if isinstance(told, str) else "", units, tokens)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def _billed(answer: JsonObject, unit: str) -> int | None:
    """Older models are billed by the search, newer ones by the token."""
    meta = answer.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    count = billed.get(unit) if isinstance(billed, dict) else None
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count < _ABSURD:
        return None
    return int(count)


api = CohereApi()
