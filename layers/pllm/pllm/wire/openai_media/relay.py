"""Streams of these endpoints on their way through: audio as it comes, and events that are passed on as received."""

from pllm.core.errors import GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import Json, JsonError, JsonObject, dumps, loads
from pllm.wire.openai_chat.errors import error_in_answer, error_type
from pllm.wire.openai_media.answer import read_usage
from pllm.wire.sse import SseDecoder, SseError, SseEvent, encode
from pllm.wire.usage import Usage

_DONE = b"[DONE]"
_ERROR = "error"

_MAX_PARSED_BYTES = 32 * 1024
"""A partial image is megabytes, and parsing it would hold up every other stream: an event that is named beside its data and
larger than this is only looked at from outside."""

# A comment's field name is empty.
_OTHER_FIELDS = (b"", b"event", b"id", b"retry")


class ByteRelay:
    """See `wire.lane.Relay`. Bytes have no end marker: they are whole when the HTTP body ended properly, which the transport
    tells from one that was cut. Nor can they hold an error, so `fail` has nothing to say."""

    finish: str | None = None
    produced = None

    def __init__(self, usage: Usage | None) -> None:
        self._usage = usage
        self.opened = False
        self.finished = False
        self.error: GatewayError | None = None

    @property
    def usage(self) -> Usage | None:
        return self._usage if self.opened else None

    def feed(self, data: bytes) -> bytes:
        self.opened = self.opened or bool(data)
        return data

    def close(self) -> bytes:
        if self.opened:
            self.finished = True
        else:
            self.error = malformed_upstream("it is empty")
        return b""

    def fail(self, error: GatewayError) -> None:
        return None


class EventRelay:
    """See `wire.lane.Relay`. `whole`: the event that ends one result; `results`: how many were asked for.

    The stream is complete when every result was seen, at `[DONE]` (servers that imitate OpenAI), or, since a model may give
    fewer results than it was asked for, at a proper end of the body after at least one.
    """

    finish: str | None = None
    produced = None

    def __init__(self, whole: str, results: int = 1, usage: Usage | None = None) -> None:
        self._sse = SseDecoder()
        self._whole = whole
        self._results = results
        self._seen = 0
        self._images = whole.startswith("image")
        self.usage = usage
        self.opened = False
        self.finished = False
        self.error: GatewayError | None = None

    def feed(self, data: bytes) -> bytes:
        if self.error is not None or self.finished:
            return b""
        try:
            return self._pass_on(self._sse.feed(data))
        except SseError as error:
            self.error = malformed_upstream(str(error))
            return b""

    def close(self) -> bytes:
        if self.error is not None or self.finished:
            return b""
        written = self._pass_on(self._sse.close())
        if self.error is None and not self.finished:
            self.finished = self._seen > 0
        if not self.finished:
            self.error = self.error or broken_stream(f"it ended without {self._whole}")
            return b""
        return written

    def fail(self, error: GatewayError) -> bytes:
        """An `error` event, which OpenAI's SDKs raise."""
        shown = {"message": error.message, "type": error_type(error), "param": error.param, "code": error.code}
        return encode(dumps({"type": _ERROR, "error": shown}), _ERROR)

    def _pass_on(self, events: list[SseEvent]) -> bytes:
        out: list[bytes] = []
        try:
            for event in events:
                self._look(event)
                out.append(event.raw)
                if self.finished:
                    break
        except GatewayError as error:
            self.error = error
        return b"".join(out)

    def _look(self, event: SseEvent) -> None:
        """Takes note of one event. Raises GatewayError for one that must not be passed on."""
        data = event.data
        if data is None:
            _check_comment(event.raw)
            return
        if data.strip() == _DONE:
            if not self.opened:
                raise broken_stream("it ended before it began")
            self.finished = True
            return
        if event.event not in ("", _ERROR, self._whole) and len(data) > _MAX_PARSED_BYTES:
            if not (data.startswith(b"{") and data.rstrip().endswith(b"}")):
                raise malformed_upstream(f"the {event.event} event is not a JSON object")
        else:
            self._note(event.event, _payload(data))
        self.opened = True

    def _note(self, name: str, payload: JsonObject) -> None:
        kind = payload.get("type") or name
        if kind == _ERROR or payload.get("error"):
            raise _reported(payload)
        done = kind == self._whole
        self._seen += done
        self.finished = self._seen >= self._results
        self._meter(payload, done)

    def _meter(self, payload: JsonObject, done: bool) -> None:
        """Each result of a stream tells its own usage; they add up."""
        found = read_usage(payload, images=int(done and self._images))
        if found is not None:
            self.usage = found if self.usage is None else _sum(self.usage, found)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        input=one.input + other.input,
        cache_read=one.cache_read + other.cache_read,
        output=one.output + other.output,
        audio_input=one.audio_input + other.audio_input,
        image_input=one.image_input + other.image_input,
        raw=other.raw or one.raw,
        images=one.images + other.images,
        audio_seconds=max(one.audio_seconds, other.audio_seconds),
        characters=max(one.characters, other.characters),
    )


def _reported(payload: JsonObject) -> GatewayError:
    """The error of an `error` event, nested or flat."""
    flat = {name: value for name, value in payload.items() if name != "type"}
    return error_in_answer(payload if payload.get("error") else {"error": flat})


def _payload(data: bytes) -> JsonObject:
    try:
        payload: Json = loads(data)
    except JsonError as error:
        raise malformed_upstream(f"a stream event is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise malformed_upstream("a stream event is not a JSON object")
    return payload


def _check_comment(raw: bytes) -> None:
    """A block without data is a comment. A page has no data lines either, and is an error."""
    if not all(not line or line.partition(b":")[0] in _OTHER_FIELDS for line in raw.split(b"\n")):
        raise malformed_upstream("something else came where an event stream was asked for")
