"""A Chat stream cut into frames, with the judgement whether it is whole.

What proves that a stream is whole (case 18): `[DONE]`, with a finish_reason for every choice that began, or, where a provider
forgets that (recorded: OpenRouter in front of Novita), with the usage that closes its books. Every recorded provider of this
dialect sends `[DONE]`. A provider that is known to close without `[DONE]` says so in its row (`quirks.done_marker`), and then
the finish reasons alone are proof. Anything else is a break.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pllm.core.errors import ErrorKind, GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, loads
from pllm.wire.openai_chat.errors import error_in_answer
from pllm.wire.openai_chat.usage import read_usage
from pllm.wire.sse import SseDecoder, SseError, SseEvent
from pllm.wire.usage import Usage

DONE = b"data: [DONE]\n\n"

# A comment's field name is empty.
_OTHER_FIELDS = (b"", b"event", b"id", b"retry")


class Frame(NamedTuple):
    """One block as received. `chunk` is None for a comment and, with `done`, for the end marker."""

    raw: bytes
    chunk: JsonObject | None = None
    done: bool = False


class FrameReader:
    """Bytes to frames at any chunk boundary. `feed` and `close` raise GatewayError at the frame that is wrong, after giving
    those before it; the reader is not to be used after that, nor after the `done` frame.

    opened: a frame with a chunk was read. finishes: the last finish_reason of each choice that began. usage: what is known,
    kept from an error event too, since it is charged; `usage_chunk` is the chunk it came in, `usage_json` as it came.
    """

    __slots__ = ("_done_marker", "_sse", "finishes", "opened", "usage", "usage_chunk", "usage_json")

    def __init__(self, done_marker: bool = True) -> None:
        self._sse = SseDecoder()
        self._done_marker = done_marker
        self.opened = False
        self.finishes: dict[int, str | None] = {}
        self.usage: Usage | None = None
        self.usage_json: Mapping[str, Any] | None = None
        self.usage_chunk: JsonObject = {}

    def feed(self, data: bytes) -> Iterator[Frame]:
        try:
            events = self._sse.feed(data)
        except SseError as error:
            raise malformed_upstream(str(error)) from None
        for event in events:
            frame = self._read(event)
            if frame is not None:
                yield frame
                if frame.done:
                    return

    def close(self) -> Iterator[Frame]:
        """The connection closed before the `done` frame. Gives it if the stream is whole all the same. A last event that lacks
        only its blank line is one: what can be read as JSON was not cut."""
        for event in self._sse.close():
            frame = self._read_last(event)
            yield frame
            if frame.done:
                return
        if self._done_marker or not self.finishes or None in self.finishes.values():
            raise broken_stream("the connection closed before its end marker")
        yield self._end()

    def _read_last(self, event: SseEvent) -> Frame:
        if event.data is None and not self.opened and not b"data".startswith(event.raw.strip()):
            _expect_comment(event.raw)
        try:
            frame = self._read(event) if event.data is not None else None
        except GatewayError as error:
            if error.kind is not ErrorKind.UPSTREAM_PROTOCOL:
                raise
            frame = None
        if frame is None:
            raise broken_stream("the connection closed in the middle of an event")
        return frame

    def _read(self, event: SseEvent) -> Frame | None:
        data = event.data
        if data is None:
            _expect_comment(event.raw)
            return Frame(event.raw)
        if data.strip() == b"[DONE]":
            return self._end()
        if not data.strip():
            return None
        chunk = _chunk(data)
        if "usage" in chunk or "x_groq" in chunk:
            self._meter(chunk)
        if chunk.get("error") or event.event == "error":
            raise error_in_answer(chunk)
        self._scan(chunk.get("choices") or ())
        self.opened = True
        return Frame(event.raw, chunk)

    def _scan(self, choices: Iterable[Any]) -> None:
        for choice in choices:
            if not isinstance(choice, dict):
                raise malformed_upstream("a choice in a stream event is not an object")
            reason = stated_finish(choice)
            number = choice_number(choice)
            if reason is not None or number not in self.finishes:
                self.finishes[number] = reason

    def _meter(self, chunk: JsonObject) -> None:
        """The latest usage replaces what was known. Groq has a place of its own for it besides."""
        found = chunk.get("usage")
        if found is None and isinstance(chunk.get("x_groq"), dict):
            found = chunk["x_groq"].get("usage")
        if (usage := read_usage(found)) is not None:
            self.usage, self.usage_json, self.usage_chunk = usage, found, chunk

    def _end(self) -> Frame:
        if not self.finishes:
            raise broken_stream("it ended before it had begun")
        if None in self.finishes.values() and self.usage is None:
            raise broken_stream("it ended without a finish_reason")
        return Frame(DONE, None, True)


def choice_number(choice: Mapping[str, Any]) -> int:
    number = choice.get("index")
    return number if isinstance(number, int) else 0


def stated_finish(choice: Mapping[str, Any]) -> str | None:
    """A choice's finish_reason, None while it goes on. Raises the error of one that the provider ended with "error"."""
    reason = choice.get("finish_reason")
    if reason == "error":
        raise error_in_answer(choice)
    if reason is not None and not isinstance(reason, str):
        raise malformed_upstream("a finish_reason is not a string")
    return reason or None


def _chunk(data: bytes) -> JsonObject:
    """The JSON object of one event, its `choices` a list if there is one; raises for anything else."""
    try:
        chunk = loads(data)
    except JsonError as error:
        raise malformed_upstream(f"a stream event is not JSON: {error}") from None
    if not isinstance(chunk, dict):
        raise malformed_upstream("a stream event is not a JSON object")
    choices = chunk.get("choices")
    if choices is not None and not isinstance(choices, list):
        raise malformed_upstream("'choices' of a stream event is not a list")
    return chunk


def _expect_comment(raw: bytes) -> None:
    """A block without data is a comment, or else no event stream at all: a page and a plain JSON body have no data lines."""
    if all(not line or line.partition(b":")[0] in _OTHER_FIELDS for line in raw.split(b"\n")):
        return
    try:
        body = loads(raw)
    except JsonError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        raise error_in_answer(body)
    shown = "an HTML page" if raw.lstrip()[:1] == b"<" else "a JSON body" if body is not None else "something else"
    raise malformed_upstream(f"{shown} came where an event stream was asked for")
