"""The spans of one finished request, under the names of OpenTelemetry's conventions for HTTP, FaaS and generative AI.

One span for the request and one for each attempt. The parts of the overhead (authentication, limits, routing, translation) are
attributes and not spans: they are sums over the whole request, and a span would say when they happened.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from pllm.core.record import RequestRecord
from pllm.core.request_trace import AttemptSpan, RequestTrace
from pllm.telemetry.genai_names import operation_of, provider_of
from pllm.telemetry.otlp_json import CLIENT, SERVER, Attributes, Link, Span, Value


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that is over. `epoch_s`: the wall clock's time when the monotonic clock was at 0."""

    trace: RequestTrace
    record: RequestRecord
    method: str
    scheme: str
    path: str
    epoch_s: float


def spans_of(finished: Finished) -> list[Span]:
    return [_request(finished), *(_attempt(finished, number) for number in range(len(finished.trace.attempts)))]


def _request(finished: Finished) -> Span:
    trace, record = finished.trace, finished.record
    link = Link(trace.platform_trace_id, trace.platform_span_id, {"source": "x-ray-env"})
    return Span(
        f"{finished.method} {_route(trace)}".rstrip(),
        SERVER,
        trace.context.trace_id,
        trace.context.span_id,
        _ns(finished, record.started_s),
        _ns(finished, record.ended_s),
        trace.parent_id,
        bool(trace.parent_id),
        trace.context.flags,
        trace.context.state,
        _known(_http(finished) | _generation(record) | _own(record) | _said(trace)),
        record.faulty,
        (link,) if trace.platform_span_id else (),
    )


def _attempt(finished: Finished, number: int) -> Span:
    trace, record = finished.trace, finished.record
    span = trace.attempts[number]
    operation = operation_of(record.endpoint)
    return Span(
        f"{operation} {span.model}",
        CLIENT,
        trace.context.trace_id,
        span.span_id,
        _ns(finished, span.started_s),
        _ns(finished, record.ended_s if span.ended_s is None else span.ended_s),
        trace.context.span_id,
        flags=trace.context.flags,
        state=trace.context.state,
        attributes=_known(_upstream(span, operation) | {"pllm.attempt": number + 1}),
        failed=bool(span.error),
    )


def _route(trace: RequestTrace) -> str:
    return f"{trace.route}{{id}}" if trace.route.endswith("/") else trace.route


def _http(finished: Finished) -> dict[str, Value]:
    record = finished.record
    return {
        "http.request.method": finished.method,
        "http.route": _route(finished.trace),
        "url.scheme": finished.scheme,
        "url.path": finished.path,
        "http.response.status_code": record.status,
        "error.type": record.error,
        "faas.invocation_id": record.request_id,
        "faas.coldstart": record.cold_start,
    }


def _generation(record: RequestRecord) -> dict[str, Value]:
    if not record.model:
        return {}
    first_s = record.ttft_ms / 1000 if record.stream and record.ttft_ms is not None else 0.0
    used: dict[str, Value] = {
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": record.reasoning_tokens,
    }
    return {
        "gen_ai.operation.name": operation_of(record.endpoint),
        "gen_ai.provider.name": provider_of(record.provider),
        "gen_ai.request.model": record.model,
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.model": record.upstream_model,
        "gen_ai.response.finish_reasons": [record.finish] if record.finish else (),
        "gen_ai.response.time_to_first_chunk": round(first_s, 6),
        **used,
    }


def _own(record: RequestRecord) -> dict[str, Value]:
    cost: dict[str, Value] = {} if record.cost_micro_usd is None else {"pllm.cost_usd": record.cost_micro_usd / 1_000_000}
    found: dict[str, Value] = {
        "pllm.principal": record.principal,
        "pllm.team": record.team,
        "pllm.deployment": record.deployment,
        "pllm.attempts": record.attempts,
        "pllm.failed_attempts": tuple(record.failed),
        "pllm.dropped": record.dropped,
        "pllm.emulated": record.emulated,
        "pllm.idempotent": record.idempotent,
        "pllm.degraded": record.degraded,
        "pllm.client_gone": record.client_gone,
        "pllm.overhead_ms": round(record.overhead_ms, 3),
        "pllm.auth_ms": round(record.auth_s * 1000, 3),
        "pllm.admit_ms": round(record.admit_s * 1000, 3),
        "pllm.route_ms": round(record.route_s * 1000, 3),
        "pllm.translate_ms": round(record.translate_s * 1000, 3),
    }
    return found | cost


def _said(trace: RequestTrace) -> dict[str, str]:
    if trace.conversation is None:
        return {}
    from pllm.telemetry.content import content_attributes  # for those whose traces hold content

    return content_attributes(trace.conversation)


def _upstream(span: AttemptSpan, operation: str) -> dict[str, Value]:
    host, port = _address(span.url)
    first_s = 0.0 if span.first_event_s is None else span.first_event_s - span.started_s
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider_of(span.provider),
        "gen_ai.request.model": span.model,
        "gen_ai.response.finish_reasons": [span.finish] if span.finish else (),
        "gen_ai.response.time_to_first_chunk": round(first_s, 6),
        "gen_ai.usage.input_tokens": span.prompt_tokens,
        "gen_ai.usage.output_tokens": span.completion_tokens,
        "server.address": host,
        "server.port": port,
        "http.request.method": "POST",
        "http.response.status_code": span.status,
        "error.type": span.error,
        "pllm.deployment": span.deployment,
        "pllm.left": span.left,
    }


def _address(url: str) -> tuple[str, int]:
    """Host and port; nothing of an address that is none, which an operator may have configured."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return "", 0


def _known(attributes: Attributes) -> Attributes:
    """Less what there is nothing to say of: "", 0, false and empty lists; a cost of 0 is worth saying."""
    return {name: value for name, value in attributes.items() if value or name == "pllm.cost_usd"}


def _ns(finished: Finished, monotonic_s: float) -> int:
    return int((finished.epoch_s + monotonic_s) * 1_000_000_000)
