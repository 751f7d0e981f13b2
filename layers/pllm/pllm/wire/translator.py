"""The contracts of a wire that translates: one dialect, to the neutral form and from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.lane import AnswerContext, Target, WireRequest
from pllm.wire.neutral import ClientDialect, Event, Request, Response, UpstreamDialect


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request in the upstream's dialect, with what was lost or imitated on the way (response headers x-pllm-dropped and
    x-pllm-emulated). `hidden_tool` names the forced tool that imitates json_schema (case 19). `done_marker`: the quirk of
    that name, for the decoder."""

    request: WireRequest
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    hidden_tool: str | None = None
    done_marker: bool = True


class Decoder(Protocol):
    """Upstream bytes to events. Never raises: what cannot be read becomes a Failure, after which it is deaf."""

    def feed(self, data: bytes) -> list[Event]: ...

    def close(self) -> list[Event]:
        """The upstream closed the connection. Without its terminal marker before, that is a Failure (case 18)."""
        ...


class Encoder(Protocol):
    """Events to the client's bytes. End becomes the dialect's terminal marker, Failure its error event and nothing after.

    `error`: what of the events the dialect has no words for. Its error event is written then, and nothing after."""

    @property
    def error(self) -> GatewayError | None: ...

    def feed(self, events: Iterable[Event]) -> bytes: ...


class UpstreamWire(Protocol):
    """One provider dialect. `needs_bytes`: part types ("image", "document", "audio") whose URLs must be fetched for it, but
    for those that `takes_url` names: addresses that the provider resolves itself."""

    @property
    def dialect(self) -> UpstreamDialect: ...

    @property
    def needs_bytes(self) -> frozenset[str]: ...

    def takes_url(self, url: str) -> bool: ...

    def encode(self, request: Request, target: Target) -> Encoded:
        """Raises GatewayError(400) naming field and model for what cannot be carried, unless target.drop_unsupported."""
        ...

    def decode(self, body: bytes, encoded: Encoded) -> Response:
        """Raises GatewayError(UPSTREAM_PROTOCOL) when the body is not the dialect's answer."""
        ...

    def decoder(self, encoded: Encoded) -> Decoder: ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a non-2xx answer means (case 25). `headers` has lower-case names. Any body is survived, HTML included."""
        ...


@runtime_checkable
class CountingWire(Protocol):
    """What an upstream wire also is where its providers count the tokens of a request that is not made."""

    def encode_count(self, request: Request, target: Target) -> WireRequest:
        """Raises GatewayError(400) for what the call itself could not carry."""
        ...

    def decode_count(self, body: bytes) -> int:
        """Input tokens. Raises GatewayError(UPSTREAM_PROTOCOL) when the body holds no count."""
        ...


class ClientWire(Protocol):
    """One dialect spoken to us."""

    @property
    def dialect(self) -> ClientDialect: ...

    def decode(self, body: JsonObject) -> Request:
        """Raises GatewayError(400) with the dotted path of what is wrong."""
        ...

    def encode(self, response: Response, request: Request, context: AnswerContext) -> bytes: ...

    def encoder(self, request: Request, context: AnswerContext) -> Encoder: ...

    def error(self, error: GatewayError) -> bytes:
        """The JSON body of an error answer."""
        ...
