"""What every picture API here has: the contract between the lane and the module that speaks one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.images.request import ImagesRequest
from pllm.wire.lane import Target


@dataclass(frozen=True, slots=True)
class Picture:
    """`b64`: base64, of a PNG. `prompt`: what the model made of the client's, "" where it does not say."""

    b64: str
    prompt: str = ""


class ImagesApi(Protocol):
    """One provider's pictures. `options`: the fields beyond the common ones that it has a place for. `emulated`: the fields
    that it can only come near to."""

    @property
    def dialect(self) -> UpstreamDialect: ...

    @property
    def options(self) -> frozenset[str]: ...

    @property
    def emulated(self) -> frozenset[str]: ...

    def path(self, target: Target) -> str: ...

    def encode(self, asked: ImagesRequest, options: Mapping[str, Any], target: Target) -> JsonObject:
        """Raises GatewayError(400) for a value that the API cannot take."""
        ...

    def decode(self, answer: JsonObject) -> Sequence[Picture]:
        """Raises GatewayError: CONTENT_POLICY where all was refused, UPSTREAM_PROTOCOL for what is no answer."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError: ...
