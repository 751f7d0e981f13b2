"""Which trace a request belongs to, and whether its spans are recorded. Costs next to nothing where nobody traces.

The client's `traceparent` decides; else the trace that Lambda has the invocation in, or API Gateway's header; else, where spans
are exported, a new one. AWS's `Sampled=0` is also what an invocation has when X-Ray is off, so it is nobody's decision: only a
client's `traceparent` and AWS's `Sampled=1` count as a parent that has decided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pllm.core.clock import Clock
from pllm.core.record import RequestRecord
from pllm.core.trace_context import (
    SAMPLED,
    RandomBits,
    TraceContext,
    XRay,
    new_span_id,
    new_trace_id,
    parse_traceparent,
    parse_tracestate,
    parse_xray,
    xray_trace_id,
)

if TYPE_CHECKING:
    from pllm.core.request_trace import RequestTrace

COLLECTOR_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""One of them names a collector where the configuration does not."""


class Request(Protocol):
    """An HTTP request; header names are lower-case."""

    method: str
    scheme: str
    path: str

    def header(self, name: str) -> str | None: ...

    def all(self, name: str) -> list[str]: ...


class Spans(Protocol):
    """Where finished requests go to become spans."""

    def samples(self, parent: bool | None, trace_id: str) -> bool:
        """Whether a trace is recorded, given what its parent decided, None where there is none that did."""
        ...

    def add(self, trace: "RequestTrace", record: RequestRecord, request: Request) -> None: ...


def _nobody() -> str | None:
    return None


@dataclass(frozen=True)
class Tracing:
    """`invocation` gives Lambda's own header for the invocation that runs. `propagate`: whether upstreams may be told.
    `content`: whether spans are to hold what was said."""

    random_bits: RandomBits
    clock: Clock
    invocation: Callable[[], str | None] = _nobody
    propagate: bool = True
    spans: Spans | None = None
    content: bool = False

    def begin(self, request: Request, record: RequestRecord) -> "RequestTrace | None":
        """Notes the trace in the record; None where no attempt and no exporter needs to know more of it."""
        platform = self._platform(request)
        carried = request.all("traceparent")
        client = parse_traceparent(carried) if carried else None
        trace_id = client.trace_id if client is not None else platform.trace_id if platform is not None else ""
        if self.spans is None:
            record.trace_id = xray_trace_id(trace_id) if trace_id else ""
            trace = self._passed_on(client, request.all("tracestate")) if client is not None and self.propagate else None
        else:
            trace_id = trace_id or new_trace_id(self.clock.wall_s(), self.random_bits)
            record.trace_id = xray_trace_id(trace_id)
            trace = self._recorded(self.spans, trace_id, client, platform, request)
        if platform is not None and platform.trace_id != trace_id:
            record.platform_trace_id = xray_trace_id(platform.trace_id)
        return trace

    def end(self, trace: "RequestTrace | None", record: RequestRecord, request: Request) -> None:
        """Once the record is complete."""
        if trace is not None and trace.recorded and self.spans is not None:
            self.spans.add(trace, record, request)

    def _platform(self, request: Request) -> XRay | None:
        header = self.invocation() or request.header("x-amzn-trace-id")
        return parse_xray(header) if header else None

    def _passed_on(self, client: TraceContext, state: Sequence[str]) -> "RequestTrace":
        from pllm.core.request_trace import RequestTrace  # for those who trace

        own = TraceContext(client.trace_id, new_span_id(self.random_bits), client.flags, parse_tracestate(state))
        return RequestTrace(own, self.random_bits, client.span_id)

    def _recorded(
        self, spans: Spans, trace_id: str, client: TraceContext | None, platform: XRay | None, request: Request
    ) -> "RequestTrace | None":
        from pllm.core.request_trace import Conversation, RequestTrace  # for those who trace

        decided = platform if platform is not None and platform.sampled else None
        parent = client or decided
        recorded = spans.samples(parent.sampled if parent is not None else None, trace_id)
        if not recorded and not self.propagate:
            return None
        flags = (client.flags & ~SAMPLED if client is not None else 0) | (SAMPLED if recorded else 0)
        state = parse_tracestate(request.all("tracestate")) if client is not None else ""
        other = platform if client is not None and platform is not None and platform.trace_id != trace_id else None
        return RequestTrace(
            TraceContext(trace_id, new_span_id(self.random_bits), flags, state),
            self.random_bits,
            parent.span_id if parent is not None else "",
            other.trace_id if other is not None else "",
            other.span_id if other is not None else "",
            recorded=recorded,
            propagated=self.propagate,
            conversation=Conversation() if self.content and recorded else None,
        )
