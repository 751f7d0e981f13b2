"""One request's part of a trace: the place it has in it, and a span for each attempt that was made for it.

Names and numbers only, as in the record of the request. What was said has a value of its own, `Conversation`, that exists only
where the configuration wants traces to hold it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pllm.core.deployment import Deployment
from pllm.core.jsontext import JsonObject
from pllm.core.record import RequestRecord
from pllm.core.trace_context import RandomBits, TraceContext, format_traceparent, new_span_id


@dataclass(slots=True)
class AttemptSpan:
    """One attempt. Times are monotonic seconds; `ended_s` is None as long as it runs. `url` is where it was sent, without its
    query. `status`: HTTP's, 0 where no answer came. `error`: what went wrong, "" where nothing did. `left`: ended without an
    outcome, because its client left or another attempt was faster. `first_event_s`: of a stream."""

    span_id: str
    deployment: str
    provider: str
    model: str
    started_s: float
    url: str = ""
    ended_s: float | None = None
    status: int = 0
    error: str = ""
    left: bool = False
    finish: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_event_s: float | None = None

    def end(self, now_s: float, error: str = "", *, left: bool = False) -> None:
        self.ended_s, self.error, self.left = now_s, error, left

    def note(self, record: RequestRecord) -> None:
        """What the answer used, from the record of the attempt."""
        self.finish = record.finish
        self.prompt_tokens, self.completion_tokens = record.prompt_tokens, record.completion_tokens


MOST_HEARD_BYTES = 2_000_000
"""An answer above this is not kept for a trace."""


@dataclass(slots=True)
class Conversation:
    """What was asked, in the client's dialect, and what was answered: the bytes as the client got them, `streamed` or whole;
    `final` as in call.Reply. `heard_bytes` counts on where the bytes themselves are too many to be kept."""

    dialect: str = ""
    asked: JsonObject | None = None
    answered: list[bytes] = field(default_factory=list)
    heard_bytes: int = 0
    streamed: bool = False
    final: Callable[[], Mapping[str, Any] | None] | None = None

    def hear(self, piece: bytes) -> None:
        self.heard_bytes += len(piece)
        if self.heard_bytes > MOST_HEARD_BYTES:
            self.answered.clear()
        else:
            self.answered.append(piece)


@dataclass(slots=True)
class RequestTrace:
    """`context` is the request's own span. `parent_id`: "" where it is the first of its trace. `platform_trace_id`: the trace
    that AWS has the invocation in, where the client brought another one. `recorded`: whether its spans are wanted;
    `propagated`: whether upstreams are told of the trace. `route`: the path that was matched. `conversation`: None unless
    traces are to hold what was said."""

    context: TraceContext
    random_bits: RandomBits
    parent_id: str = ""
    platform_trace_id: str = ""
    platform_span_id: str = ""
    recorded: bool = False
    propagated: bool = True
    route: str = ""
    attempts: list[AttemptSpan] = field(default_factory=list)
    conversation: Conversation | None = None

    def attempt(self, deployment: Deployment, now_s: float) -> AttemptSpan:
        span_id = new_span_id(self.random_bits)
        span = AttemptSpan(span_id, deployment.id, deployment.provider, deployment.model, now_s)
        self.attempts.append(span)
        return span

    def headers(self, span: AttemptSpan) -> dict[str, str]:
        """What this attempt's upstream is told."""
        if not self.propagated:
            return {}
        context = self.context
        told = {"traceparent": format_traceparent(TraceContext(context.trace_id, span.span_id, context.flags))}
        return told | {"tracestate": context.state} if context.state else told
