"""Who we talk to: the contract of a provider, and the transport under it.

A provider turns a WireRequest (shape) into an HttpRequest (address and credential). It never reads an answer: that is the
wire's business.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Protocol

from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError
from pllm.core.evidence import Evidence
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import Quirks, WireRequest


def _nobody() -> None:
    """Wants to know."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request ready to be sent. `headers` include the credential: never log them. `begun` is called when a connection is
    there and the request begins to go out on it: from then on the provider may have worked on it."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"
    begun: Callable[[], None] = field(default=_nobody, repr=False, compare=False)

    def telling(self, begun: Callable[[], None]) -> "HttpRequest":
        """The same request, of which `begun` is told."""
        return HttpRequest(self.url, self.headers, self.body, self.method, begun)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `connect`: TCP and TLS. `first_byte`: from sending to the answer's head. `idle`: silence inside the body."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 60.0


class UpstreamResponse(Protocol):
    """An answer whose head has arrived. Close it on every path."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case names; of a repeated header the first."""
        ...

    def chunks(self) -> AsyncGenerator[bytes]:
        """The body as it arrives. Raises GatewayError: STREAM_BROKEN when cut, UPSTREAM_TIMEOUT when silent too long."""
        ...

    async def read(self) -> bytes:
        """The whole body, with the same errors as `chunks`."""
        ...

    async def close(self) -> None:
        """Gives the connection back when the body was read whole, else drops it, which cancels the upstream's work."""
        ...


_MOST_ERROR_BYTES = 256 * 1024


async def error_body(response: UpstreamResponse) -> bytes:
    """The body of an error, as far as it comes: its status says that it is one, whatever becomes of the rest."""
    pieces: list[bytes] = []
    size = 0
    with suppress(GatewayError):
        async with aclosing(response.chunks()) as chunks:
            async for piece in chunks:
                pieces.append(piece)
                size += len(piece)
                if size > _MOST_ERROR_BYTES:
                    break
    return b"".join(pieces)


class Transport(Protocol):
    """The one seam to the network: tests fake exactly this."""

    async def send(self, request: HttpRequest, timeouts: Timeouts) -> UpstreamResponse:
        """Calls `request.begun`. Raises GatewayError UPSTREAM_UNREACHABLE (refused, DNS, TLS) or UPSTREAM_TIMEOUT."""
        ...


SimpleHttp = Callable[[str, str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]]
"""(method, url, headers, body) -> (status, body): all that a credential source needs of the network."""


class Provider(Protocol):
    """Address and credential for one kind of provider."""

    async def prepare(self, deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> HttpRequest:
        """Raises GatewayError UPSTREAM_AUTH when no credential can be had."""
        ...


@dataclass(frozen=True, slots=True)
class Checkup:
    """A call that costs nothing and tells whether a provider is there. path: what is fetched, relative to the provider's
    address, `{model}` filled in; empty: the dialect's count of tokens is asked for. proves: what a good answer shows."""

    path: str
    proves: Evidence = Evidence.CREDENTIAL


LISTING = Checkup("models", Evidence.REACHABLE)
"""Of a server that is not known: few have no list of models, and many show it to anybody."""


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One provider, as data. Adding an OpenAI-compatible provider is adding one of these.

    name: the prefix in `provider/model`. synonyms: other spellings of it. key_env: the environment variable of its
    credential and the prefix of numbered ones (OPENAI_API_KEY, OPENAI_API_KEY_1, OPENAI_API_KEY_EAST). base_url: its own
    address, None where `api_base` must be given. dialects: what its own address speaks. auth: how the credential travels.
    env_headers: request header -> environment variable that fills it. kind: which Provider implementation serves it.
    checkup: how a health probe may ask without paying, None where it cannot.
    """

    name: str
    title: str
    base_url: str | None
    key_env: str | None
    dialects: tuple[UpstreamDialect, ...] = ("chat",)
    auth: str = "bearer"
    kind: str = "keyed"
    key_required: bool = True
    synonyms: tuple[str, ...] = ()
    quirks: Quirks = field(default_factory=Quirks)
    env_headers: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    checkup: Checkup | None = LISTING
