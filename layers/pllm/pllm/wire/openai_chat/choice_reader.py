"""The deltas of one choice as neutral events. A buffered message is read as one big delta, so that both agree by design."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.neutral import (
    BlockStop,
    Citation,
    CitationDelta,
    Event,
    Finish,
    FinishReason,
    LogprobsDelta,
    Opaque,
    OpaqueBlock,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "refusal",
}

_BROKEN_OFF = frozenset({"error", "abort", "insufficient_system_resource", "malformed_function_call"})
"""Finish reasons of a generation that the provider itself did not complete."""


@dataclass(slots=True)
class _Call:
    """A tool call being received. It starts when its name is known; fragments before that wait."""

    index: int = -1
    id: str = ""
    name: str = ""
    signature: str | None = None
    waiting: str = ""
    hidden: bool = False


@dataclass(slots=True)
class ChoiceReader:
    """Mutable on purpose; one a choice. `hidden_tool` imitates json_schema: its arguments are the answer's text (case 19),
    and words around it are not part of that answer, so text is held back until it is known whether it was called."""

    number: int
    hidden_tool: str | None = None
    _next: int = 0
    _open: tuple[str, int] | None = None
    _calls: dict[object, _Call] = field(default_factory=dict)
    _audio: JsonObject = field(default_factory=dict)
    _custom: dict[int, JsonObject] = field(default_factory=dict)
    _held: list[str] = field(default_factory=list)
    _refused: bool = False

    def read(self, choice: Mapping[str, Any], delta: Mapping[str, Any]) -> Iterator[Event]:
        """The events of one chunk's choice; raises GatewayError for what is not the dialect."""
        yield from self._thinking(delta)
        yield from self._content(delta.get("content"))
        if refusal := delta.get("refusal"):
            self._refused = True
            yield from self._enter("refusal")
            yield RefusalDelta(self._index, str(refusal), self.number)
        for annotation in _list(delta, "annotations"):
            yield from self._enter("text")
            yield CitationDelta(self._index, citation(annotation), self.number)
        yield from self._tool_calls(delta)
        if isinstance(audio := delta.get("audio"), Mapping):
            _accumulate(self._audio, audio)
        if isinstance(logprobs := choice.get("logprobs"), Mapping):
            yield LogprobsDelta(logprobs, self.number)

    def finish(self, reason: str | None, stop_sequence: object = None) -> Iterator[Event]:
        """The end of the choice. Raises GatewayError where the provider broke it off."""
        if reason in _BROKEN_OFF:
            kind = ErrorKind.UPSTREAM_OVERLOADED if "resource" in reason else ErrorKind.UPSTREAM_ERROR
            raise GatewayError(kind, f"The provider broke the answer off ({reason}).")
        if any(not call.name for call in self._calls.values()):
            raise malformed_upstream("a tool call has no name")
        if self._held and not any(call.hidden for call in self._calls.values()):
            yield from self._enter("text")
            yield TextDelta(self._index, "".join(self._held), self.number)
        yield from self._opaque()
        yield from self._leave()
        matched = stop_sequence if reason == "stop" and isinstance(stop_sequence, str) else None
        yield Finish("stop_sequence" if matched else self._reason(reason), matched, self.number)

    def _reason(self, reason: str | None) -> FinishReason:
        called = bool(self._custom) or any(not call.hidden for call in self._calls.values())
        known = _FINISH.get(reason, "stop") if reason else "stop"
        if known in ("stop", "tool_calls"):
            if called:
                return "tool_calls"
            return "refusal" if self._refused else "stop"
        return known

    # --- Blocks: one is open at a time, numbered in order of appearance

    @property
    def _index(self) -> int:
        return self._open[1] if self._open else 0

    def _enter(self, kind: str, *, anew: bool = False) -> Iterator[Event]:
        if self._open is not None and self._open[0] == kind and not anew:
            return
        yield from self._leave()
        self._open = (kind, self._next)
        self._next += 1

    def _leave(self) -> Iterator[Event]:
        if self._open is not None:
            yield BlockStop(self._open[1], self.number)
            self._open = None

    # --- Text and thinking

    def _content(self, content: object) -> Iterator[Event]:
        if isinstance(content, str):
            yield from self._text(content)
        elif isinstance(content, list):
            for part in content:
                yield from self._part(part)

    def _text(self, text: str) -> Iterator[Event]:
        if text and self.hidden_tool is not None:
            self._held.append(text)
        elif text:
            yield from self._enter("text")
            yield TextDelta(self._index, text, self.number)

    def _part(self, part: object) -> Iterator[Event]:
        """Mistral's content parts: text, thinking and references beside each other."""
        match part:
            case {"type": "text", "text": str(text)}:
                yield from self._text(text)
            case {"type": "thinking", "thinking": str() | list() as thoughts}:
                yield from self._thought(thoughts if isinstance(thoughts, str) else _joined(thoughts))
            case {"type": "reference"}:
                yield from self._enter("text")
                yield CitationDelta(self._index, citation(part), self.number)
            case {"type": str(kind), **rest}:
                yield from self._enter(kind, anew=True)
                yield OpaqueBlock(self._index, Opaque("chat", kind, {"type": kind, **_named(rest)}), self.number)
            case _:
                raise malformed_upstream("a content part has no type")

    def _thinking(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        text = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(text, str):
            yield from self._thought(text)
        details = delta.get("reasoning_details")
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, Mapping):
                yield from self._detail(detail, with_text=not text)

    def _thought(self, text: str) -> Iterator[Event]:
        if text:
            yield from self._enter("thinking")
            yield ThinkingDelta(self._index, text, choice=self.number)

    def _detail(self, detail: Mapping[str, Any], *, with_text: bool) -> Iterator[Event]:
        """OpenRouter's account of reasoning: its format goes with the origin, since only that format can check it."""
        origin, item = f"openrouter:{detail.get('format') or ''}", _text(detail.get("id"))
        if with_text:
            yield from self._thought(str(detail.get("text") or detail.get("summary") or ""))
        if signature := _text(detail.get("signature")):
            yield from self._enter("thinking")
            yield ThinkingDelta(self._index, "", signature, None, origin, item, self.number)
        if data := _text(detail.get("data")):
            yield from self._enter("thinking", anew=True)
            yield ThinkingDelta(self._index, "", None, data, origin, item, self.number)
            yield from self._leave()

    # --- Tool calls

    def _tool_calls(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        for position, entry in enumerate(_list(delta, "tool_calls")):
            if not isinstance(entry, Mapping):
                raise malformed_upstream("a tool call is not an object")
            if isinstance(entry.get("custom"), Mapping):
                self._custom_call(entry, position)
            else:
                yield from self._call(self._key(entry, position), entry)
        if isinstance(legacy := delta.get("function_call"), Mapping):
            yield from self._call("function_call", {"function": legacy})

    def _key(self, entry: Mapping[str, Any], position: int) -> object:
        """Which call an entry belongs to. Some providers number all calls 0, some none: then the id decides."""
        index, call_id = entry.get("index"), _text(entry.get("id"))
        if not isinstance(index, int):
            return call_id or (next(reversed(self._calls), position) if self._calls else position)
        known = self._calls.get(index)
        if known is not None and call_id and known.id and known.id != call_id:
            return (index, call_id)
        latest = next(reversed(self._calls), index)
        return latest if isinstance(latest, tuple) and latest[0] == index and not call_id else index

    def _call(self, key: object, entry: Mapping[str, Any]) -> Iterator[Event]:
        function = entry.get("function")
        function = function if isinstance(function, Mapping) else {}
        call = self._calls.setdefault(key, _Call())
        call.id = call.id or _text(entry.get("id")) or ""
        call.signature = call.signature or _signature(entry)
        call.waiting += _arguments(function.get("arguments"))
        if call.index < 0 and (name := _text(function.get("name"))):
            call.name, call.hidden = name, name == self.hidden_tool
            yield from self._enter("call", anew=True)
            call.index = self._index
            if not call.hidden:
                origin = "gemini" if call.signature else ""
                yield ToolCallStart(call.index, call.id, call.name, call.signature, origin, self.number)
        if call.index >= 0 and call.waiting:
            fragment, call.waiting = call.waiting, ""
            delta = TextDelta if call.hidden else ToolCallDelta
            yield delta(call.index, fragment, self.number)

    def _custom_call(self, entry: Mapping[str, Any], position: int) -> None:
        index = entry.get("index")
        raw = self._custom.setdefault(index if isinstance(index, int) else position, {"type": "custom", "custom": {}})
        if entry.get("id"):
            raw["id"] = entry["id"]
        _accumulate(raw["custom"], entry["custom"])

    def _opaque(self) -> Iterator[Event]:
        """What only this dialect knows, whole at last: custom tool calls and spoken answers."""
        blocks = [Opaque("chat", "custom_tool_call", raw) for raw in self._custom.values()]
        if self._audio:
            blocks.append(Opaque("chat", "audio", self._audio))
        for block in blocks:
            yield from self._enter(block.type, anew=True)
            yield OpaqueBlock(self._index, block, self.number)


def _named(rest: Mapping[object, Any]) -> JsonObject:
    return {str(name): value for name, value in rest.items()}


def _joined(parts: list[Any]) -> str:
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))


def citation(annotation: object) -> Citation:
    """An annotation as a citation; what has no neutral form is in `raw`."""
    if not isinstance(annotation, Mapping):
        raise malformed_upstream("an annotation is not an object")
    told = annotation.get("url_citation")
    told = told if isinstance(told, Mapping) else {}
    start, end = told.get("start_index"), told.get("end_index")
    return Citation(
        url=_text(told.get("url")),
        title=_text(told.get("title")),
        quote=_text(told.get("content")),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
        origin="chat",
        raw=annotation,
    )


def _list(delta: Mapping[str, Any], name: str) -> list[Any]:
    value = delta.get(name) or []
    if not isinstance(value, list):
        raise malformed_upstream(f"'{name}' is not a list")
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _arguments(value: object) -> str:
    """Fragments come as text; some providers send the whole object unserialised (case 2)."""
    if isinstance(value, Mapping):
        return dumps(value).decode()
    return value if isinstance(value, str) else ""


def _signature(entry: Mapping[str, Any]) -> str | None:
    """Gemini's thought signature, where its OpenAI-compatible endpoint puts it (case 12)."""
    match entry.get("extra_content"):
        case {"google": {"thought_signature": str(signature)}}:
            return signature
        case _:
            return None


def _accumulate(whole: JsonObject, piece: Mapping[str, Any]) -> None:
    """Long texts come in pieces, everything else comes once."""
    for name, value in piece.items():
        if isinstance(value, str) and name in ("data", "transcript", "input"):
            whole[name] = whole.get(name, "") + value
        elif value is not None:
            whole[name] = value
