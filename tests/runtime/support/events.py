"""REST API events for tests."""

from lambda_stream.local.rest_events import IncomingRequest, rest_event


def make_rest_event(
    target: str, method: str = "GET", headers: tuple[tuple[str, str], ...] = (("Host", "localhost"),), body: bytes = b""
) -> bytes:
    """A REST API event, as JSON."""
    request = IncomingRequest(method, target, headers, body, "127.0.0.1")
    return rest_event(request, request_id="a-request-id", stage="test", port=443)
