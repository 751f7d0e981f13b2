"""Neutral parts, to content blocks of a Messages request."""

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonError, JsonObject, loads
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.anthropic_messages.vocabulary import DIALECT, ORIGIN, cache_field
from pllm.wire.neutral import (
    Audio,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Part,
    Refusal,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_LEGAL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/csv")


def own_thinking_only(messages: Iterable[Message], report: Report) -> list[Message]:
    """Thinking that Anthropic signed, in its place; anyone else's, and what carries no proof, is left out (case 10)."""
    return [replace(message, parts=_own_thinking(message, report)) for message in messages]


def _own_thinking(message: Message, report: Report) -> tuple[Part, ...]:
    kept = tuple(part for part in message.parts if not isinstance(part, Thinking) or is_own(part))
    if len(kept) < len(message.parts):
        report.dropped(f"{message.path or 'messages'}.thinking")
    return kept


def is_own(thinking: Thinking) -> bool:
    return thinking.origin == ORIGIN and bool(thinking.signature or thinking.redacted)


class BlockWriter:
    """Writes the blocks of one request; tool-call ids outside Anthropic's alphabet get a legal spelling of their own."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._ids: dict[str, str] = {}
        self._taken: set[str] = set()

    def message(self, message: Message) -> JsonObject:
        path = message.path or "messages"
        if message.name:
            self._report.dropped(f"{path}.name")
        return {"role": message.role, "content": [self._block(part, path) for part in message.parts]}

    def text(self, text: Text) -> JsonObject:
        block: JsonObject = {"type": "text", "text": text.text, **cache_field(text.cache)}
        citations = [dict(c.raw) for c in text.citations if c.origin == ORIGIN and c.raw is not None]
        if citations:
            block["citations"] = citations
        return block

    def _block(self, part: Part, path: str) -> JsonObject:
        match part:
            case Text():
                return self.text(part)
            case Refusal(text):
                return {"type": "text", "text": text}
            case Image():
                return self._image(part, path)
            case Document():
                return self._document(part, path)
            case Thinking():
                return _thinking(part)
            case ToolCall():
                return self._tool_use(part, path)
            case ToolResult():
                return self._tool_result(part, path)
            case Audio():
                raise self._report.refusal(f"{path}.content.input_audio", "Anthropic's API takes no audio.")
            case Opaque(dialect, kind, raw):
                if dialect != DIALECT:
                    raise self._report.refusal(f"{path}.content.{kind}", f"only the {dialect} dialect has such a block.")
                return dict(raw)

    def _image(self, image: Image, path: str) -> JsonObject:
        if image.detail not in (None, "auto"):
            self._report.dropped(f"{path}.content.image_url.detail")
        source = _source(image.source, lambda inline: _image_bytes(inline, path))
        return {"type": "image", "source": source, **cache_field(image.cache)}

    def _document(self, document: Document, path: str) -> JsonObject:
        source = _source(document.source, lambda inline: _document_bytes(inline, path))
        block: JsonObject = {"type": "document", "source": source, **cache_field(document.cache)}
        if document.name:
            block["title"] = document.name
        if document.citations:
            block["citations"] = {"enabled": True}
        return block

    def _tool_use(self, call: ToolCall, path: str) -> JsonObject:
        block = {"type": "tool_use", "id": self._id(call.id), "name": call.name, "input": _arguments(call, path)}
        return {**block, **cache_field(call.cache)}

    def _tool_result(self, result: ToolResult, path: str) -> JsonObject:
        block: JsonObject = {"type": "tool_result", "tool_use_id": self._id(result.call_id)}
        content = [self._block(part, path) for part in result.content if not (isinstance(part, Text) and not part.text.strip())]
        if content:
            block["content"] = content
        if result.is_error:
            block["is_error"] = True
        return {**block, **cache_field(result.cache)}

    def _id(self, call_id: str) -> str:
        if call_id not in self._ids:
            legal = call_id if _LEGAL_ID.fullmatch(call_id) else re.sub(r"[^a-zA-Z0-9_-]", "_", call_id) or "call"
            while legal in self._taken:
                legal += "_"
            self._taken.add(legal)
            self._ids[call_id] = legal
        return self._ids[call_id]


def _thinking(thinking: Thinking) -> JsonObject:
    if thinking.redacted is not None:
        return {"type": "redacted_thinking", "data": thinking.redacted}
    return {"type": "thinking", "thinking": thinking.text, "signature": thinking.signature}


def _arguments(call: ToolCall, path: str) -> Json:
    try:
        arguments = loads(call.arguments or "{}")
    except JsonError as error:
        raise invalid(f"The arguments of tool call {call.id!r} ({call.name}) are not JSON: {error}.", path) from None
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise invalid(f"The arguments of tool call {call.id!r} ({call.name}) must be a JSON object.", path)
    return arguments


def _source(source: Source, inline: Callable[[Inline], JsonObject]) -> JsonObject:
    match source:
        case Url(url):
            return {"type": "url", "url": url}
        case FileId(file_id):
            return {"type": "file", "file_id": file_id}
        case Inline():
            return inline(source)


def _image_bytes(inline: Inline, path: str) -> JsonObject:
    media_type = inline.media_type.partition(";")[0].strip().lower().replace("image/jpg", "image/jpeg")
    if media_type not in _IMAGE_TYPES:
        raise invalid(f"Images must be JPEG, PNG, GIF or WebP for this model, not {inline.media_type!r}.", path)
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(inline.data).decode()}


def _document_bytes(inline: Inline, path: str) -> JsonObject:
    media_type = inline.media_type.partition(";")[0].strip().lower()
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": base64.b64encode(inline.data).decode()}
    if not media_type.startswith("text/") and media_type not in _TEXT_TYPES:
        raise invalid(f"Documents must be PDF or text for this model, not {inline.media_type!r}.", path)
    try:
        return {"type": "text", "media_type": "text/plain", "data": inline.data.decode("utf-8-sig")}
    except UnicodeDecodeError:
        raise invalid("A text document must be UTF-8.", path) from None
