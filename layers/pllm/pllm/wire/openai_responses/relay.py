"""A Responses stream on its way through, event by event as received, scanned for usage, terminal events and errors.

What proves that a stream is whole (case 18) is `response.completed` or `response.incomplete`; there is no `[DONE]`. The
first events only say that the provider took the request: they are held back until it has begun to answer, so that a
failure right after them (an exhausted quota comes this way) can still be a real status, or another deployment's turn.
"""

from typing import Any

from pllm.core.errors import ErrorKind, GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import Json, JsonError, JsonObject, dumps, loads
from pllm.wire.openai_responses.errors import error_event, failed_error, reported_error
from pllm.wire.openai_responses.usage import read_usage
from pllm.wire.produced import Produced
from pllm.wire.sse import SseDecoder, SseError, SseEvent, encode
from pllm.wire.usage import Usage

_TAKEN = frozenset({"response.created", "response.queued", "response.in_progress"})
_WHOLE = frozenset({"response.completed", "response.incomplete"})
_LOOKED_INTO = _TAKEN | _WHOLE | {"response.failed", "error", ""}

_MAX_PARSED_BYTES = 32 * 1024
"""Events beyond this size whose name says that nothing in them concerns us (partial images) are only looked at from
outside: parsing megabytes would hold up every other stream."""

_DONE = b"[DONE]"

_SHOWN = frozenset({"message", "function_call", "custom_tool_call"})
"""Items whose every token is in the stream."""

# A comment's field name is empty.
_OTHER_FIELDS = (b"", b"event", b"id", b"retry")


class ResponsesRelay:
    """See `wire.lane.Relay`. `response` is the final Response object once the stream has ended whole, for storing."""

    __slots__ = (
        "_error",
        "_finish",
        "_held",
        "_last",
        "_opened",
        "_snapshot",
        "_sse",
        "_usage",
        "finished",
        "produced",
        "response",
    )

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._held: list[bytes] = []
        self._last = b""
        self._snapshot = b""
        self._opened = False
        self.finished = False
        self._error: GatewayError | None = None
        self._usage: Usage | None = None
        self._finish: str | None = None
        self.produced = Produced()
        self.response: JsonObject | None = None

    @property
    def opened(self) -> bool:
        return self._opened

    @property
    def error(self) -> GatewayError | None:
        return self._error

    @property
    def usage(self) -> Usage | None:
        return self._usage

    @property
    def finish(self) -> str | None:
        return self._finish

    def feed(self, data: bytes) -> bytes:
        if self._error is not None or self.finished:
            return b""
        try:
            return self._pass_on(self._sse.feed(data))
        except SseError as error:
            self._error = malformed_upstream(str(error))
            return b""

    def close(self) -> bytes:
        if self._error is not None or self.finished:
            return b""
        written = self._pass_on(self._sse.close())
        if self.response is None:
            # A last event without its blank line was cut, unless it is the terminal one: the client does not get it.
            self._error = _at_the_end(self._error)
            return b""
        return written

    def fail(self, error: GatewayError) -> bytes:
        """An `error` event, which the SDKs raise, and the Response object as failed, where one was begun."""
        number = _sequence_after(self._last)
        written = encode(dumps({**error_event(error), "sequence_number": number}), "error")
        begun = _response_in(self._snapshot)
        if begun is None:
            return written
        failed = {**begun, "status": "failed", "error": failed_error(error)}
        payload = {"type": "response.failed", "sequence_number": number + 1, "response": failed}
        return written + encode(dumps(payload), "response.failed")

    def _pass_on(self, events: list[SseEvent]) -> bytes:
        out: list[bytes] = []
        try:
            for event in events:
                self._look(event)
                out.append(event.raw)
                if self.finished:
                    break
        except GatewayError as error:
            self._error = error
        if not self._opened:
            self._held += out
            return b""
        if self._held:
            out, self._held = [*self._held, *out], []
        return b"".join(out)

    def _look(self, event: SseEvent) -> None:
        """Takes note of one event. Raises GatewayError for one that must not be passed on."""
        data = event.data
        if data is None:
            _check_comment(event.raw)
            return
        if event.event not in _LOOKED_INTO and len(data) > _MAX_PARSED_BYTES:
            if not (data.startswith(b"{") and data.rstrip().endswith(b"}")):
                raise malformed_upstream(f"the {event.event} event is not a JSON object")
            self._opened = True
            self.produced.hidden = True
            return
        payload = _payload(data)
        name = payload.get("type") or event.event
        if name in _LOOKED_INTO:
            self._note(name, payload, data)
        else:
            self._opened = True
            self._meter(name, payload)
        self._last = data

    def _meter(self, name: str, payload: JsonObject) -> None:
        """Deltas are what was generated; the events that end a part say it again. Reasoning is shown as a summary at most."""
        item = payload.get("item")
        if name.startswith("response.reasoning") or (isinstance(item, dict) and item.get("type") not in _SHOWN):
            self.produced.hidden = True
        elif name.endswith(".delta"):
            self.produced.value(payload.get("delta"))
        elif name == "response.output_item.added":
            self.produced.value(item)

    def _note(self, name: str, payload: JsonObject, data: bytes) -> None:
        if name == "error" or name == "":
            # Nameless is what a proxy in between sends: {"error": {...}}.
            raise reported_error(payload) if payload.get("error") or name else malformed_upstream("an event has no type")
        response = payload.get("response")
        if not isinstance(response, dict):
            raise malformed_upstream(f"the {name} event has no response")
        self._usage = read_usage(response.get("usage")) or self._usage
        if self._usage is not None:
            self.produced.told(self._usage.output)
        self._snapshot = data
        if name == "response.failed":
            raise reported_error(response)
        if name in _WHOLE:
            self._opened = self.finished = True
            self._finish = finish_of(response)
            self.response = response


def finish_of(response: JsonObject) -> str | None:
    """Why the answer ended, in the neutral words."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "content_filter" if reason == "content_filter" else "length"
    output = response.get("output")
    items = output if isinstance(output, list) else []
    calls = any(isinstance(item, dict) and item.get("type") in ("function_call", "custom_tool_call") for item in items)
    return "tool_calls" if calls else "stop"


def _payload(data: bytes) -> JsonObject:
    if data.strip() == _DONE:
        raise broken_stream("[DONE] came before response.completed")
    try:
        payload: Json = loads(data)
    except JsonError as error:
        raise malformed_upstream(f"a stream event is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise malformed_upstream("a stream event is not a JSON object")
    return payload


def _at_the_end(error: GatewayError | None) -> GatewayError:
    """`error`: what was wrong with the last bytes of a stream that ended early; what cannot be read was cut."""
    if error is None or error.kind is ErrorKind.UPSTREAM_PROTOCOL:
        return broken_stream("it ended without response.completed")
    return error


def _check_comment(raw: bytes) -> None:
    """A block without data is a comment. A page or a plain JSON body has no data lines either, and is an error."""
    if all(not line or line.partition(b":")[0] in _OTHER_FIELDS for line in raw.split(b"\n")):
        return
    try:
        body = loads(raw)
    except JsonError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        raise reported_error(body)
    raise malformed_upstream("something else came where an event stream was asked for")


def _response_in(data: bytes) -> dict[str, Any] | None:
    """The Response object of a lifecycle event that was read before."""
    return None if not data else dict(loads(data)["response"])


def _sequence_after(data: bytes) -> int:
    number = loads(data).get("sequence_number") if data else None
    return number + 1 if isinstance(number, int) else 0
