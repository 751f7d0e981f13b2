"""What goes into the pipeline and what comes out of it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pllm.core.jsontext import JsonObject
from pllm.core.limits import GateLimits
from pllm.core.record import RequestRecord
from pllm.core.tags import NO_TAGS, Tags
from pllm.providers.base import Provider, ProviderRow
from pllm.wire.lane import NativeCall

if TYPE_CHECKING:
    from pllm.core.request_trace import RequestTrace


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed client request. `dialect`: what the client speaks. `forward`: headers that travel along when the upstream
    speaks the same dialect. `deadline_s`: monotonic; None when there is none. `native`: a call without a neutral form, which
    makes its own lanes; `body` then only tells its size, empty for a multipart form of `form_bytes`. `limits`: what the
    caller's key and team may use. `trace`: what the attempts are part of, None where nobody traces. `tags`: which deployments
    it is for. `cost_wanted`: whether a stream of events is to say what it cost, in a comment before its end."""

    dialect: str
    model: str
    body: JsonObject
    stream: bool
    record: RequestRecord
    forward: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float | None = None
    native: NativeCall | None = None
    form_bytes: int = 0
    limits: tuple[GateLimits, ...] = ()
    trace: "RequestTrace | None" = None
    tags: Tags = NO_TAGS
    cost_wanted: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send: a whole `body`, or `pieces` of whole events. `close` must be awaited after the last byte. `final` gives the
    JSON object that the client has in the end, None when it has none: for storing it."""

    headers: Mapping[str, str]
    content_type: str
    body: bytes = b""
    pieces: AsyncGenerator[bytes] | None = None
    close: Callable[[], Awaitable[None]] | None = None
    final: Callable[[], Mapping[str, Any] | None] | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider and its row: who answers for a deployment."""

    provider: Provider
    row: ProviderRow
