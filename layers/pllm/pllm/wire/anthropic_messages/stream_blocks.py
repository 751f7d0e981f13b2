"""The open content blocks of an Anthropic stream: one small state each, from content_block_start to content_block_stop."""

from typing import Any, Protocol

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.anthropic_messages.vocabulary import DIALECT, ORIGIN, read_citation
from pllm.wire.neutral import (
    CitationDelta,
    Event,
    Opaque,
    OpaqueBlock,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)


class Block(Protocol):
    """What the decoder asks of an open block. `stop` gives what is still owed; the BlockStop itself is the decoder's.
    `said`: whether any event was given, hence whether the block exists for those who read events."""

    said: bool

    def start(self, raw: JsonObject) -> list[Event]: ...

    def delta(self, delta: JsonObject) -> list[Event]: ...

    def stop(self) -> list[Event]: ...


def open_block(raw: JsonObject, index: int, hidden_tool: str | None) -> Block:
    match raw.get("type"):
        case "text":
            return TextBlock(index)
        case "thinking" | "redacted_thinking":
            return _ThinkingBlock(index)
        case "tool_use":
            return HiddenBlock(index) if raw.get("name") == hidden_tool else ToolBlock(index)
        case str():
            return _OpaqueBlock(index, raw)
        case _:
            raise malformed_upstream("a content block without type")


def text_of(raw: JsonObject, name: str) -> str:
    value = raw.get(name)
    if value is not None and not isinstance(value, str):
        raise malformed_upstream(f"{name!r} is not a string")
    return value or ""


class TextBlock:
    def __init__(self, index: int) -> None:
        self._index = index
        self.said = False

    def start(self, raw: JsonObject) -> list[Event]:
        events = [event for citation in raw.get("citations") or () for event in self.delta({"citation": citation})]
        return self.delta({"text": raw.get("text")}) + events

    def delta(self, delta: JsonObject) -> list[Event]:
        events: list[Event] = []
        if text := text_of(delta, "text"):
            events.append(TextDelta(self._index, text))
        if isinstance(citation := delta.get("citation"), dict):
            events.append(CitationDelta(self._index, read_citation(citation)))
        self.said = self.said or bool(events)
        return events

    def stop(self) -> list[Event]:
        return []


class _ThinkingBlock:
    def __init__(self, index: int) -> None:
        self._index = index
        self.said = False

    def start(self, raw: JsonObject) -> list[Event]:
        if raw["type"] == "redacted_thinking":
            self.said = True
            return [ThinkingDelta(self._index, redacted=text_of(raw, "data"), origin=ORIGIN)]
        return self.delta(raw)

    def delta(self, delta: JsonObject) -> list[Event]:
        text, signature = text_of(delta, "thinking"), text_of(delta, "signature")
        if not text and not signature:
            return []
        self.said = True
        return [ThinkingDelta(self._index, text, signature or None, origin=ORIGIN)]

    def stop(self) -> list[Event]:
        return []


class _CallBlock:
    """A call's arguments come as fragments; a provider that puts them whole into the start is understood as well."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._whole: Any = None
        self._fragments = False
        self.said = True

    def start(self, raw: JsonObject) -> list[Event]:
        self._whole = raw.get("input")
        return [ToolCallStart(self._index, text_of(raw, "id"), text_of(raw, "name"))]

    def delta(self, delta: JsonObject) -> list[Event]:
        fragment = text_of(delta, "partial_json")
        if not fragment:
            return []
        self._fragments = True
        return [ToolCallDelta(self._index, fragment)]

    def stop(self) -> list[Event]:
        return [] if self._fragments else [ToolCallDelta(self._index, dumps(self._whole or {}).decode())]


class ToolBlock(_CallBlock):
    """A call of one of the client's own tools."""


class HiddenBlock(_CallBlock):
    """The hidden tool of case 19: its arguments are the answer's text."""

    def start(self, raw: JsonObject) -> list[Event]:
        return self._shown(super().start(raw))

    def delta(self, delta: JsonObject) -> list[Event]:
        return self._shown(super().delta(delta))

    def stop(self) -> list[Event]:
        return self._shown(super().stop())

    def _shown(self, events: list[Event]) -> list[Event]:
        return [TextDelta(event.index, event.fragment) for event in events if isinstance(event, ToolCallDelta)]


class _OpaqueBlock:
    """A block we do not read: its deltas are put together and it is passed on whole."""

    def __init__(self, index: int, raw: JsonObject) -> None:
        self._index = index
        self._raw = dict(raw)
        self._input: list[str] = []
        self.said = True

    def start(self, raw: JsonObject) -> list[Event]:
        return []

    def delta(self, delta: JsonObject) -> list[Event]:
        if delta.get("type") == "input_json_delta":
            self._input.append(text_of(delta, "partial_json"))
            return []
        for name, value in delta.items():
            if name != "type":
                self._raw[name] = _joined(self._raw.get(name), value)
        return []

    def stop(self) -> list[Event]:
        if text := "".join(self._input):
            try:
                self._raw["input"] = loads(text)
            except JsonError as error:
                raise malformed_upstream(f"the input of a {self._raw['type']} block is not JSON: {error}") from None
        return [OpaqueBlock(self._index, Opaque(DIALECT, self._raw["type"], self._raw))]


def _joined(had: Any, more: Any) -> Any:
    if isinstance(had, str) and isinstance(more, str):
        return had + more
    if isinstance(had, list) and isinstance(more, list):
        return [*had, *more]
    return more
