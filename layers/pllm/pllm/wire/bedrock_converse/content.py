"""Turns and system text of the neutral form as Converse's content blocks."""

from collections.abc import Iterable
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonError, JsonObject, loads
from pllm.wire.bedrock_converse.ledger import Ledger
from pllm.wire.bedrock_converse.media import audio_block, document_block, image_block
from pllm.wire.bedrock_converse.vocabulary import ANTHROPIC, DIALECT, TOOL_NAME, tool_use_id, write_redacted
from pllm.wire.lane import Target
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

DOCUMENT_TEXT = "See the attached document."
"""Converse wants text beside a document in the same turn."""

NO_OUTPUT = "(no output)"
"""Converse wants content in a tool result; a tool may well have said nothing."""


def cache_point(mark: CacheMark) -> JsonObject:
    """Five minutes is what a cache point means unless it says otherwise."""
    return {"cachePoint": {"type": "default"} if mark.ttl == "5m" else {"type": "default", "ttl": mark.ttl}}


def system_blocks(system: Iterable[Text]) -> list[JsonObject]:
    blocks: list[JsonObject] = []
    for text in system:
        if text.text.strip():
            blocks.append({"text": text.text})
        if text.cache is not None and blocks and "cachePoint" not in blocks[-1]:
            blocks.append(cache_point(text.cache))
    return blocks


class Turns:
    """Encodes the turns of one request; counts its documents, whose names must differ over the whole conversation."""

    def __init__(self, target: Target, ledger: Ledger) -> None:
        self._target = target
        self._ledger = ledger
        self._documents = 0

    def encode(self, turns: Iterable[Message]) -> list[JsonObject]:
        """Expects arranged turns (`history.arrange`). Raises GatewayError(400) naming what cannot be said."""
        encoded: list[JsonObject] = []
        for turn in turns:
            blocks = self._blocks(turn)
            if encoded and encoded[-1]["role"] == turn.role:  # the turn between said nothing that could be carried
                encoded[-1]["content"] += blocks
            elif blocks:
                encoded.append({"role": turn.role, "content": blocks})
        return encoded

    def _blocks(self, turn: Message) -> list[JsonObject]:
        blocks: list[JsonObject] = []
        for part in turn.parts:
            blocks += self._part(part, turn.path or "messages")
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            blocks.append({"text": DOCUMENT_TEXT})
            self._ledger.emulate(f"{turn.path or 'messages'}.text")
        return blocks

    def _part(self, part: Part, path: str) -> list[JsonObject]:
        match part:
            case Text():
                return [*self._text(part, path), *_mark(part.cache)]
            case Thinking():
                return self._thinking(part, path)
            case ToolCall():
                return [_tool_use(part, path), *_mark(part.cache)]
            case ToolResult():
                return self._tool_result(part, path)
            case Image() | Document() | Audio():
                return self._media(part, path)
            case Refusal(text):
                return [{"text": text}] if text.strip() else []
            case Opaque():
                return self._opaque(part, path)

    def _text(self, part: Text, path: str) -> list[JsonObject]:
        native = [dict(citation.raw) for citation in part.citations if citation.origin == DIALECT and citation.raw]
        if len(native) < len(part.citations):
            self._ledger.drop(f"{path}.citations")
        if native:
            return [{"citationsContent": {"content": [{"text": part.text}], "citations": native}}]
        return [{"text": part.text}]

    def _thinking(self, part: Thinking, path: str) -> list[JsonObject]:
        """Verbatim and whole where its maker will read it, else not at all (case 10)."""
        if part.redacted and (part.origin == DIALECT or (part.origin == ANTHROPIC and self._proofs_count())):
            return [{"reasoningContent": {"redactedContent": write_redacted(part.redacted, part.origin)}}]
        if part.signature and part.origin == ANTHROPIC and self._proofs_count():
            return [{"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}]
        self._ledger.drop(f"{path}.thinking")
        return []

    def _proofs_count(self) -> bool:
        """Only Claude reads Claude's proofs. An unknown model is given the benefit of the doubt."""
        profile = self._target.profile
        return not profile.known or profile.thinking in ("budget", "adaptive")

    def _tool_result(self, part: ToolResult, path: str) -> list[JsonObject]:
        content = [block for inner in part.content for block in self._result_part(inner, path)]
        if not content:
            content = [{"text": NO_OUTPUT}]
            self._ledger.emulate(f"tool_result:{part.call_id}")
        result: JsonObject = {"toolUseId": tool_use_id(part.call_id), "content": content}
        if part.is_error:
            result["status"] = "error"
        inner_marks = [inner.cache for inner in part.content if inner.cache is not None]
        return [{"toolResult": result}, *_mark(part.cache or next(iter(inner_marks), None))]

    def _result_part(self, part: Text | Image | Document, path: str) -> list[JsonObject]:
        if isinstance(part, Text):
            return [{"text": part.text}] if part.text.strip() else []
        return [self._medium(part, path)]

    def _media(self, part: Image | Document | Audio, path: str) -> list[JsonObject]:
        block = self._medium(part, path)
        if isinstance(part, Audio) or part.cache is None:
            return [block]
        # A cache point straight behind a document is refused; behind the shortest text it is taken.
        between: list[JsonObject] = [{"text": "\n"}] if isinstance(part, Document) else []
        return [block, *between, cache_point(part.cache)]

    def _medium(self, part: Image | Document | Audio, path: str) -> JsonObject:
        kind = "image" if isinstance(part, Image) else "audio" if isinstance(part, Audio) else "file"
        if kind not in self._target.profile.modalities:
            raise invalid(f"Model {self._target.public_name!r} does not read {kind} input ('{path}').", path)
        if isinstance(part, Image):
            return image_block(part, f"{path}.image")
        if isinstance(part, Audio):
            return audio_block(part, f"{path}.audio")
        self._documents += 1
        return document_block(part, f"Document {self._documents}", f"{path}.document")

    def _opaque(self, part: Opaque, path: str) -> list[JsonObject]:
        if part.dialect == DIALECT:
            return [dict(part.raw)]
        self._ledger.refuse(f"{path}.{part.type}", f"only a provider of the {part.dialect} dialect understands this block")
        return []


def _mark(mark: CacheMark | None) -> list[JsonObject]:
    return [] if mark is None else [cache_point(mark)]


def _tool_use(call: ToolCall, path: str) -> JsonObject:
    if not TOOL_NAME.fullmatch(call.name):
        raise invalid(f"'{path}' calls a tool named {call.name!r}; names have 1 to 64 of a-z, A-Z, 0-9, _ and -.", path)
    return {"toolUse": {"toolUseId": tool_use_id(call.id), "name": call.name, "input": _arguments(call, path)}}


def _arguments(call: ToolCall, path: str) -> Any:
    try:
        arguments = loads(call.arguments or "{}")
    except JsonError as error:
        raise invalid(f"The arguments of tool call {call.id!r} in '{path}' are not JSON: {error}.", path) from None
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise invalid(f"The arguments of tool call {call.id!r} in '{path}' must be a JSON object.", path)
    return arguments
