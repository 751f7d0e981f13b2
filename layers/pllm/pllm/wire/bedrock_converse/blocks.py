"""The content blocks of one answer, as they grow: Converse's block events in, neutral events out.

Blocks get the neutral numbers 0, 1, 2, ... when they first say something, because a Converse block may say nothing at all
(an empty text delta) and Converse's own numbers count those too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, loads
from pllm.wire.bedrock_converse.vocabulary import ANTHROPIC, DIALECT, expect, read_citation, read_redacted
from pllm.wire.neutral import (
    BlockStop,
    CitationDelta,
    Event,
    Opaque,
    OpaqueBlock,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)


@dataclass
class _Block:
    """One open block. `kind`: what it holds, "" until it says something; `native` is a block that only Converse has, whose
    head is `raw` and whose pieces are put together at its end."""

    kind: str = ""
    index: int = -1
    has_input: bool = False
    raw_type: str = ""
    raw: JsonObject = field(default_factory=dict)
    pieces: list[Any] = field(default_factory=list)


class Blocks:
    """The blocks of one answer. Raises GatewayError for an order or a shape that Converse cannot have meant."""

    def __init__(self) -> None:
        self._open: dict[int, _Block] = {}
        self._seen: set[int] = set()
        self._next = 0

    def start(self, number: int, start: JsonObject) -> list[Event]:
        block = self._begin(number)
        match start:
            case {"toolUse": dict(tool)} if tool.get("type") != "server_tool_use":
                return self._call(block, tool)
            case {"toolUse": dict(raw)}:
                self._native(block, "toolUse", raw)
            case {"toolResult": dict(raw)}:
                self._native(block, "toolResult", raw)
            case {"image": dict(raw)}:
                self._native(block, "image", raw)
            case _:
                pass  # text and reasoning begin with their first delta, and say so by no start or by an empty one
        return []

    def delta(self, number: int, delta: JsonObject) -> list[Event]:
        block = self._open.get(number) or self._begin(number)
        for kind, value in delta.items():
            if (reader := _DELTAS.get(kind)) is not None:
                return reader(self, block, value)
        return []  # a kind of delta that is newer than this table

    def stop(self, number: int) -> list[Event]:
        block = self._open.pop(number, None)
        if block is None or not block.kind:
            return []
        if block.kind == "native":
            return [OpaqueBlock(block.index, Opaque(DIALECT, block.raw_type, _assembled(block))), BlockStop(block.index)]
        no_input = block.kind == "call" and not block.has_input
        return [*([ToolCallDelta(block.index, "{}")] if no_input else []), BlockStop(block.index)]

    def end(self) -> list[Event]:
        """The message is over, and with it every block that is still open."""
        return [event for number in sorted(self._open) for event in self.stop(number)]

    def whole(self, number: int, kind: str, block: JsonObject) -> list[Event]:
        """A buffered block that only Converse has."""
        opened = self._begin(number)
        self._becomes(opened, "native")
        del self._open[number]
        return [OpaqueBlock(opened.index, Opaque(DIALECT, kind, block)), BlockStop(opened.index)]

    def _begin(self, number: int) -> _Block:
        if number in self._seen:
            raise malformed_upstream(f"content block {number} begins twice or goes on after its end")
        self._seen.add(number)
        self._open[number] = _Block()
        return self._open[number]

    def _becomes(self, block: _Block, kind: str) -> None:
        if block.kind not in ("", kind):
            raise malformed_upstream(f"a content block that began as {block.kind} goes on as {kind}")
        if not block.kind:
            block.kind, block.index = kind, self._next
            self._next += 1

    def _native(self, block: _Block, raw_type: str, raw: JsonObject) -> None:
        self._becomes(block, "native")
        block.raw_type, block.raw = raw_type, raw

    def _call(self, block: _Block, tool: JsonObject) -> list[Event]:
        call_id = expect(tool.get("toolUseId"), str, "toolUse.toolUseId")
        name = expect(tool.get("name"), str, "toolUse.name")
        self._becomes(block, "call")
        return [ToolCallStart(block.index, call_id, name)]

    # --- Deltas, by kind ---

    def _text(self, block: _Block, value: Any) -> list[Event]:
        text = expect(value, str, "a text delta")
        if not text:
            return []
        self._becomes(block, "text")
        return [TextDelta(block.index, text)]

    def _citation(self, block: _Block, value: Any) -> list[Event]:
        citation = read_citation(expect(value, dict, "a citation"))
        self._becomes(block, "text")
        return [CitationDelta(block.index, citation)]

    def _reasoning(self, block: _Block, value: Any) -> list[Event]:
        match expect(value, dict, "reasoningContent"):
            case {"text": str(text)} if text:
                self._becomes(block, "reasoning")
                return [ThinkingDelta(block.index, text)]
            case {"signature": str(signature)} if signature:
                self._becomes(block, "reasoning")
                return [ThinkingDelta(block.index, signature=signature, origin=ANTHROPIC)]
            case {"redactedContent": str(blob)} if blob:
                self._becomes(block, "reasoning")
                redacted, origin = read_redacted(blob)
                return [ThinkingDelta(block.index, redacted=redacted, origin=origin)]
            case _:
                return []

    def _input(self, block: _Block, value: Any) -> list[Event]:
        fragment = expect(expect(value, dict, "a toolUse delta").get("input"), str, "toolUse.input")
        if block.kind not in ("call", "native"):
            raise malformed_upstream("the input of a tool call comes before the call")
        if not fragment:
            return []
        if block.kind == "native":
            block.pieces.append(fragment)
            return []
        block.has_input = True
        return [ToolCallDelta(block.index, fragment)]

    def _piece(self, block: _Block, value: Any) -> list[Event]:
        if block.kind != "native":
            raise malformed_upstream("a delta of a native block comes before the block")
        block.pieces.append(value)
        return []


_DELTAS: Mapping[str, Callable[[Blocks, _Block, Any], list[Event]]] = {
    "text": Blocks._text,
    "citation": Blocks._citation,
    "reasoningContent": Blocks._reasoning,
    "toolUse": Blocks._input,
    "toolResult": Blocks._piece,
    "image": Blocks._piece,
}


def _assembled(block: _Block) -> JsonObject:
    """A native block as a buffered answer would hold it, from its head and its pieces."""
    whole = dict(block.raw)
    if block.raw_type == "toolUse":
        whole["input"] = _json_or_text("".join(block.pieces))
    elif block.raw_type == "toolResult":
        whole["content"] = [item for piece in block.pieces for item in expect(piece, list, "a toolResult delta")]
    else:
        for piece in block.pieces:
            whole.update(expect(piece, dict, f"a delta of {block.raw_type}"))
    return {block.raw_type: whole}


def _json_or_text(text: str) -> Any:
    try:
        return loads(text or "{}")
    except JsonError:
        return text
