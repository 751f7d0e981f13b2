"""What the local relay costs by itself: an application that answers from memory, served by the same workers."""

from typing import Any

from bench.upstream import chat_stream, whole_answer

_JSON = whole_answer().partition(b"\r\n\r\n")[2]
_EVENTS = [write.partition(b"\r\n")[2][:-2] for write in chat_stream(20, with_usage=False)[1:-1]]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Streams when the path says so."""
    await receive()
    streamed = scope["path"].startswith("/burst")
    content_type = b"text/event-stream" if streamed else b"application/json"
    headers = [(b"content-type", content_type)]
    if not streamed:
        headers.append((b"content-length", str(len(_JSON)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for event in _EVENTS if streamed else [_JSON]:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
