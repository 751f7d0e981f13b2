"""One request's part of a trace: the place it has in it, and a span for each attempt that was made for it.

Names and numbers only, as in the record of the request.
"""

from dataclasses import dataclass, field

from pllm.core.deployment import Deployment
from pllm.core.record import RequestRecord
from pllm.core.trace_context import RandomBits, TraceContext, format_traceparent, new_span_id


@dataclass(slots=True)
class AttemptSpan:
    """One attempt. Times are monotonic seconds; `ended_s` is None as long as it runs. `url` is where it was sent, without its
    query. `status`: HTTP's, 0 where no answer came. `error`: what went wrong, "" where nothing did. `left`: ended without an
    outcome, because its client left or another attempt was faster."""

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

    def end(self, now_s: float, error: str = "", *, left: bool = False) -> None:
        self.ended_s, self.error, self.left = now_s, error, left

    def note(self, record: RequestRecord) -> None:
        """What the answer used, from the record of the attempt."""
        self.finish = record.finish
        self.prompt_tokens, self.completion_tokens = record.prompt_tokens, record.completion_tokens


@dataclass(slots=True)
class RequestTrace:
    """`context` is the request's own span. `parent_id`: "" where it is the first of its trace. `platform_trace_id`: the trace
    that AWS has the invocation in, where the client brought another one. `recorded`: whether its spans are wanted;
    `propagated`: whether upstreams are told of the trace. `route`: the path that was matched."""

    context: TraceContext
    random_bits: RandomBits
    parent_id: str = ""
    platform_trace_id: str = ""
    platform_span_id: str = ""
    recorded: bool = False
    propagated: bool = True
    route: str = ""
    attempts: list[AttemptSpan] = field(default_factory=list)

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
