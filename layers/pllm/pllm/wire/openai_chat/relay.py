"""A Chat stream on its way through, event by event as received, scanned for usage, finish reasons and errors.

What proves that a stream is whole (case 18): `[DONE]`, with a finish_reason for every choice that began, or, where a provider
forgets that (recorded: OpenRouter in front of Novita), with the usage that closes its books. Every recorded provider of this
dialect sends `[DONE]`. A provider that is known to close without `[DONE]` says so in its row
(`quirks.done_marker`), and then the finish reasons alone are proof and `[DONE]` is added. Anything else is a break.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pllm.core.errors import GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.neutral import Usage
from pllm.wire.openai_chat.errors import error_body, error_in_answer
from pllm.wire.openai_chat.usage import read_usage
from pllm.wire.sse import SseDecoder, SseError, SseEvent, encode

DONE = b"data: [DONE]\n\n"

# A comment's field name is empty.
_OTHER_FIELDS = (b"", b"event", b"id", b"retry")

_NULL_USAGE = b',"usage":null'


class ChatRelay:
    """See `wire.lane.Relay`. `usage_asked`: the client wants one last chunk with usage; `usage_forced`: it did not, but we
    asked the provider, so that chunk and the `usage` fields it brings are taken out again (case 16).

    Comments are passed on, also before `opened`; the caller holds back what comes before it commits to a status.
    """

    __slots__ = (
        "_asked",
        "_done_marker",
        "_finishes",
        "_forced",
        "_frame",
        "_sent_usage",
        "_sse",
        "_usage_json",
        "error",
        "finished",
        "opened",
        "usage",
    )

    def __init__(self, *, usage_asked: bool, usage_forced: bool, done_marker: bool = True) -> None:
        self._sse = SseDecoder()
        self._asked, self._forced, self._done_marker = usage_asked, usage_forced, done_marker
        self.opened = False
        self.finished = False
        self.error: GatewayError | None = None
        self.usage: Usage | None = None
        self._finishes: dict[int, str | None] = {}
        self._frame: JsonObject = {}
        self._usage_json: Mapping[str, Any] | None = None
        self._sent_usage = False

    @property
    def finish(self) -> str | None:
        """The first choice's finish_reason, as the provider said it."""
        return self._finishes[min(self._finishes)] if self._finishes else None

    @property
    def _deaf(self) -> bool:
        return self.finished or self.error is not None

    def feed(self, data: bytes) -> bytes:
        if self._deaf:
            return b""
        out: list[bytes] = []
        try:
            for event in self._sse.feed(data):
                out.append(self._take(event))
                if self.finished:
                    break
        except GatewayError as error:
            self.error = error
        except SseError as error:
            self.error = malformed_upstream(str(error))
        return b"".join(out)

    def close(self) -> bytes:
        if self._deaf:
            return b""
        try:
            return self._take_tail()
        except GatewayError as error:
            self.error = error
        return b""

    def fail(self, error: GatewayError) -> bytes:
        return encode(error_body(error))

    def _take(self, event: SseEvent) -> bytes:
        data = event.data
        if data is None:
            return _comment(event.raw)
        if data.strip() == b"[DONE]":
            return self._end()
        if not data.strip():
            return b""
        chunk = _chunk(data)
        if chunk.get("error") or event.event == "error":
            self._meter(chunk)
            raise error_in_answer(chunk)
        self._scan(chunk.get("choices") or ())
        self.opened = True
        if "usage" in chunk or "x_groq" in chunk:
            self._meter(chunk)
            return self._show(event.raw, chunk)
        return event.raw

    def _meter(self, chunk: JsonObject) -> None:
        """The latest usage replaces what was known. Groq has a place of its own for it besides."""
        found = chunk.get("usage")
        if found is None and isinstance(chunk.get("x_groq"), dict):
            found = chunk["x_groq"].get("usage")
        if (usage := read_usage(found)) is not None:
            self.usage, self._usage_json, self._frame = usage, found, chunk

    def _scan(self, choices: Iterable[Any]) -> None:
        for choice in choices:
            if not isinstance(choice, dict):
                raise malformed_upstream("a choice in a stream event is not an object")
            reason = choice.get("finish_reason")
            if reason == "error":
                raise error_in_answer(choice)
            number = choice.get("index")
            number = number if isinstance(number, int) else 0
            if reason is not None or number not in self._finishes:
                self._finishes[number] = reason

    def _show(self, raw: bytes, chunk: JsonObject) -> bytes:
        """The usage chunk is for those who asked, and for them no other chunk has usage; the rest see none that we caused."""
        if "usage" not in chunk or not (self._asked or self._forced):
            return raw
        found = chunk["usage"]
        if found is not None and not chunk.get("choices"):
            self._sent_usage = True
            return raw if self._asked else b""
        if self._asked:
            return raw if found is None else encode(dumps({**chunk, "usage": None}))
        if found is None and raw.count(_NULL_USAGE) == 1:
            # A quote inside a JSON string is escaped, so this can only be the field itself.
            return raw.replace(_NULL_USAGE, b"")
        return encode(dumps({name: value for name, value in chunk.items() if name != "usage"}))

    def _end(self) -> bytes:
        if not self._finishes:
            raise broken_stream("it ended before it had begun")
        if None in self._finishes.values() and self._usage_json is None:
            raise broken_stream("it ended without a finish_reason")
        self.finished = True
        if self._asked and not self._sent_usage and self._usage_json is not None:
            return encode(dumps({**self._frame, "choices": [], "usage": self._usage_json})) + DONE
        return DONE

    def _take_tail(self) -> bytes:
        """The connection closed without `[DONE]` and its blank line."""
        tail = self._sse.close()
        for event in tail:
            if event.data is not None and event.data.strip() == b"[DONE]":
                return self._end()
            if event.data is None and not self.opened and not b"data".startswith(event.raw.strip()):
                _comment(event.raw)
        if not tail and not self._done_marker and self._finishes and None not in self._finishes.values():
            return self._end()
        raise broken_stream("the connection closed before its end marker")


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


def _comment(raw: bytes) -> bytes:
    """A block without data, passed on if it is one. A page or a plain JSON body also has no data lines, and is an error."""
    if all(not line or line.partition(b":")[0] in _OTHER_FIELDS for line in raw.split(b"\n")):
        return raw
    try:
        body = loads(raw)
    except JsonError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        raise error_in_answer(body)
    shown = "an HTML page" if raw.lstrip()[:1] == b"<" else "a JSON body" if body is not None else "something else"
    raise malformed_upstream(f"{shown} came where an event stream was asked for")
