"""Spans in OTLP's JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.

Ids are hex, 64-bit numbers are text, enumerations are numbers. Pure: spans in, bytes out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pllm.core.jsontext import dumps

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]

SERVER, CLIENT = 2, 3
_ERROR = 2
_FLAGS_TELL_OF_PARENT = 0x100
_PARENT_IS_REMOTE = 0x200
_SCOPE = {"name": "pllm"}


@dataclass(frozen=True, slots=True)
class Link:
    """Another trace that has to do with a span."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """Times are nanoseconds since the epoch. `kind`: SERVER or CLIENT. `flags`: of the trace context. `failed`: status ERROR,
    else it is left unset."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    start_ns: int
    end_ns: int
    parent_id: str = ""
    parent_is_remote: bool = False
    flags: int = 0
    state: str = ""
    attributes: Attributes = field(default_factory=dict)
    failed: bool = False
    links: tuple[Link, ...] = ()


def export_request(spans: Sequence[Span], resource: Attributes) -> bytes:
    """The body of a POST to /v1/traces."""
    scope = {"scope": _SCOPE, "spans": [_span(span) for span in spans]}
    return dumps({"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]})


def _span(span: Span) -> dict[str, Any]:
    remote = _PARENT_IS_REMOTE if span.parent_is_remote else 0
    found: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "flags": span.flags | _FLAGS_TELL_OF_PARENT | remote,
        "attributes": _attributes(span.attributes),
    }
    optional = {
        "parentSpanId": span.parent_id,
        "traceState": span.state,
        "status": {"code": _ERROR} if span.failed else None,
        "links": [_link(link) for link in span.links],
    }
    return found | {name: value for name, value in optional.items() if value}


def _link(link: Link) -> dict[str, Any]:
    return {"traceId": link.trace_id, "spanId": link.span_id, "attributes": _attributes(link.attributes)}


def _attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Value) -> dict[str, Any]:
    match value:
        case str():
            return {"stringValue": value.encode("utf-8", "replace").decode()}  # a lone surrogate would cost the whole batch
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
    return {"arrayValue": {"values": [_value(item) for item in value]}}
