"""From a Lambda event to an ASGI scope: Mangum reads the event, this module adds what streaming needs."""

from dataclasses import dataclass
from typing import Any

from mangum import Mangum
from mangum.types import LambdaHandler

from lambda_stream import protocol

Event = dict[str, Any]
Scope = dict[str, Any]

# From 2.4 on an app may rely on `send` raising OSError when nobody reads; Starlette then streams without a watcher task.
_ASGI = {"version": "3.0", "spec_version": "2.4"}


class UnsupportedEventError(ValueError):
    """The function was invoked with something that is not an HTTP request of API Gateway or a function URL."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request: its ASGI scope, its whole body, and how the prelude of its answer is written."""

    scope: Scope
    body: bytes
    encode_prelude: protocol.PreludeEncoder


def require_http_event(event: object) -> Event:
    """`event`, if it is an HTTP request. Raises UnsupportedEventError that says what it is instead."""
    if not isinstance(event, dict):
        raise UnsupportedEventError(f"the event is a JSON {type(event).__name__}, not an HTTP request")
    context = event.get("requestContext")
    is_rest = "httpMethod" in event and "resource" in event
    is_http = event.get("version") == "2.0"
    if isinstance(context, dict) and "elb" not in context and (is_rest or is_http):
        return event
    raise UnsupportedEventError(
        f"this function serves HTTP: API Gateway (REST or HTTP API) and function URLs; it was invoked with {_describe(event)}"
    )


def _describe(event: Event) -> str:
    context = event.get("requestContext")
    if isinstance(context, dict) and "elb" in context:
        return "a request of an Application Load Balancer"
    if isinstance(context, dict) and "routeKey" in context:
        return "a WebSocket message"
    if "detail-type" in event:
        return f"an EventBridge event ({event['detail-type']})"
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        return f"records of {records[0].get('eventSource') or records[0].get('EventSource') or 'an unknown source'}"
    return f"an object with the keys {sorted(event)[:8]}"


def read_request(adapter: Mangum, event: Event, context: Any) -> HttpRequest:
    """The HTTP request in `event`. Raises UnsupportedEventError, or ValueError for a body that is not the base64 it claims."""
    handler: LambdaHandler = adapter.infer(require_http_event(event), context)
    scope = dict(handler.scope)
    scope["asgi"] = _ASGI
    scope["aws.deadline_ms"] = int(context._epoch_deadline_time_in_ms)
    multi_value = event.get("multiValueHeaders")
    if multi_value:
        # Mangum joins repeated headers with commas, which breaks cookies; ASGI has room for every line.
        scope["headers"] = [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, values in multi_value.items()
            for value in values
        ]
    is_format_2 = event.get("version") == "2.0"
    return HttpRequest(scope, handler.body, protocol.prelude_joined if is_format_2 else protocol.prelude_multi_value)
