"""The blocks of one outgoing Anthropic stream: opened, filled and closed one at a time."""

from collections.abc import Callable

from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.anthropic_messages.encode_answer import call_signature_block, carried_signature, is_redacted_block
from pllm.wire.anthropic_messages.vocabulary import DIALECT, write_citation
from pllm.wire.neutral import (
    BlockStop,
    CitationDelta,
    OpaqueBlock,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)

Write = Callable[[str, JsonObject], None]
"""Takes an event's type and its other fields."""


BlockEvent = TextDelta | CitationDelta | ThinkingDelta | ToolCallStart | ToolCallDelta | OpaqueBlock | BlockStop


class BlockStream:
    """`speaker` is the neutral index of the open block, None between blocks; numbers on the wire are our own."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._number = 0
        self._kind = ""
        self._proof = ThinkingDelta(0)
        self.speaker: int | None = None

    @property
    def holds_the_floor(self) -> bool:
        """A tool call cannot be continued in a second block."""
        return self._kind == "tool_use"

    def write(self, event: BlockEvent) -> None:
        match event:
            case TextDelta(index, text):
                self._ensure(index, "text", {"text": ""})
                self._delta("text_delta", {"text": text})
            case CitationDelta(index, citation):
                self._ensure(index, "text", {"text": ""})
                self._delta("citations_delta", {"citation": write_citation(citation)})
            case ThinkingDelta():
                self._think(event)
            case ToolCallStart():
                self._call(event)
            case ToolCallDelta(index, fragment):
                if self.speaker == index and fragment:
                    self._delta("input_json_delta", {"partial_json": fragment})
            case OpaqueBlock(index, block):
                if block.dialect == DIALECT:
                    self._whole(index, dict(block.raw))
            case BlockStop(index):
                if self.speaker == index:
                    self.close()

    def close(self) -> None:
        """Ends the open block, if there is one. The proof of thinking is the last delta of its block (case 10)."""
        if self.speaker is None:
            return
        if self._kind == "thinking":
            proof = self._proof
            signature = carried_signature(proof.origin, proof.signature, proof.redacted, proof.id)
            if signature:
                self._delta("signature_delta", {"signature": signature})
        self._write("content_block_stop", {"index": self._number})
        self._number += 1
        self._kind = ""
        self.speaker = None

    def _open(self, index: int, block: JsonObject) -> None:
        self.close()
        self.speaker, self._kind = index, block["type"]
        self._write("content_block_start", {"index": self._number, "content_block": block})

    def _ensure(self, index: int, kind: str, empty: JsonObject) -> None:
        if self.speaker != index or self._kind != kind:
            self._open(index, {"type": kind, **empty})

    def _delta(self, kind: str, fields: JsonObject) -> None:
        self._write("content_block_delta", {"index": self._number, "delta": {"type": kind, **fields}})

    def _think(self, event: ThinkingDelta) -> None:
        if self.speaker != event.index or self._kind != "thinking":
            if event.redacted is not None and is_redacted_block(event.text, event.origin):
                self._open(event.index, {"type": "redacted_thinking", "data": event.redacted})
                return
            self._open(event.index, {"type": "thinking", "thinking": "", "signature": ""})
            self._proof = ThinkingDelta(event.index)
        if event.text:
            self._delta("thinking_delta", {"thinking": event.text})
        self._proof = ThinkingDelta(
            event.index,
            signature=event.signature or self._proof.signature,
            redacted=event.redacted or self._proof.redacted,
            origin=event.origin or self._proof.origin,
            id=event.id or self._proof.id,
        )

    def _call(self, event: ToolCallStart) -> None:
        if event.signature:
            carrier = call_signature_block(event.signature, event.origin)
            self._open(event.index, {**carrier, "signature": ""})
            self._kind = "carrier"
            self._delta("signature_delta", {"signature": carrier["signature"]})
            self.close()
        self._open(event.index, {"type": "tool_use", "id": event.id, "name": event.name, "input": {}})

    def _whole(self, index: int, raw: JsonObject) -> None:
        """A block known in full; its input goes as a delta, where the official SDK looks for it."""
        given = raw.get("input")
        self._open(index, {**raw, "input": {}} if isinstance(given, dict) else raw)
        self._kind = "opaque"
        if isinstance(given, dict) and given:
            self._delta("input_json_delta", {"partial_json": dumps(given).decode()})
        self.close()
