"""Content blocks of a Messages request, to neutral parts.

A block or field that only Anthropic understands is never lost here: blocks travel as `Opaque`, fields as extras under
their own path, and the upstream wire says what becomes of them.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.anthropic_messages import fields
from pllm.wire.anthropic_messages.seal import is_foreign, unseal
from pllm.wire.anthropic_messages.vocabulary import DIALECT, ORIGIN, read_citation
from pllm.wire.neutral import (
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Opaque,
    Part,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)

# Fields that say nothing to the model, or nothing that differs from the default.
_HARMLESS = {"caller": {"type": "direct"}}


class BlockReader:
    """Reads the blocks of one request. `extras` collects the fields without a neutral form, by their path."""

    def __init__(self) -> None:
        self.extras: dict[str, Any] = {}
        self._readers: dict[str, Callable[[JsonObject, str], Part | None]] = {
            "text": self.text,
            "image": self._image,
            "document": self._document,
            "thinking": self._thinking,
            "redacted_thinking": self._redacted,
            "tool_use": self._tool_use,
            "tool_result": self._tool_result,
        }

    def content(self, value: Any, path: str) -> tuple[Part, ...]:
        """A message's content: a string, or a list of blocks."""
        if isinstance(value, str):
            return (Text(value),)
        if not isinstance(value, list):
            fields.refuse(path, "a string or a list of content blocks")
        parts: list[Part] = []
        carried: tuple[str, str] | None = None
        for number, raw in enumerate(value):
            block = fields.mapping(raw, f"{path}[{number}]")
            if (found := _call_signature(block)) is not None:
                carried = found
                continue
            part = self._block(block, f"{path}[{number}]")
            if isinstance(part, ToolCall) and carried is not None:
                part, carried = replace(part, signature=carried[0], origin=carried[1]), None
            parts.append(part)
        return tuple(parts)

    def _block(self, block: JsonObject, path: str) -> Part:
        kind = fields.named(block.get("type"), f"{path}.type")
        reader = self._readers.get(kind)
        part = reader(block, path) if reader else None
        return Opaque(DIALECT, kind, block) if part is None else part

    def text(self, block: JsonObject, path: str) -> Text:
        said = fields.string(block.get("text"), f"{path}.text")
        citations = tuple(
            read_citation(fields.mapping(raw, f"{path}.citations[{number}]"))
            for number, raw in enumerate(fields.sequence(block.get("citations") or [], f"{path}.citations"))
        )
        self.keep_unknown(block, path, ("type", "text", "citations", "cache_control"))
        return Text(said, cache_mark(block, path), citations)

    def _image(self, block: JsonObject, path: str) -> Image | None:
        source = self._source(block, path, image=True)
        if source is None or _beyond(block, ("type", "source", "cache_control")):
            return None
        return Image(source, None, cache_mark(block, path))

    def _document(self, block: JsonObject, path: str) -> Document | None:
        source = self._source(block, path, image=False)
        citations = block.get("citations") or {}
        known = ("type", "source", "cache_control", "title", "citations")
        if source is None or _beyond(block, known) or not isinstance(citations, dict) or set(citations) - {"enabled"}:
            return None
        name = fields.optional_text(block.get("title"), f"{path}.title")
        return Document(source, name, cache_mark(block, path), citations.get("enabled") is True)

    def _source(self, block: JsonObject, path: str, *, image: bool) -> Source | None:
        source = fields.mapping(block.get("source"), f"{path}.source")
        match source.get("type"):
            case "base64":
                media_type = fields.named(source.get("media_type"), f"{path}.source.media_type")
                return Inline(_bytes(source.get("data"), f"{path}.source.data"), media_type)
            case "url":
                return Url(fields.named(source.get("url"), f"{path}.source.url"))
            case "file":
                return FileId(fields.named(source.get("file_id"), f"{path}.source.file_id"))
            case "text" if not image:
                words = fields.string(source.get("data"), f"{path}.source.data")
                return Inline(words.encode("utf-8", "surrogatepass"), "text/plain")
            case _:
                return None

    def _thinking(self, block: JsonObject, path: str) -> Thinking:
        said = fields.string(block.get("thinking"), f"{path}.thinking")
        signature = fields.optional_text(block.get("signature"), f"{path}.signature")
        self.keep_unknown(block, path, ("type", "thinking", "signature"))
        if not is_foreign(signature):
            return Thinking(said, signature, origin=ORIGIN)
        sealed = unseal(signature or "")
        if sealed is None:
            return Thinking(said)
        if sealed.kind == "redacted":
            return Thinking(said, redacted=sealed.payload, origin=sealed.origin, id=sealed.id)
        return Thinking(said, sealed.payload, origin=sealed.origin, id=sealed.id)

    def _redacted(self, block: JsonObject, path: str) -> Thinking:
        self.keep_unknown(block, path, ("type", "data"))
        return Thinking(redacted=fields.named(block.get("data"), f"{path}.data"), origin=ORIGIN)

    def _tool_use(self, block: JsonObject, path: str) -> ToolCall:
        given = block.get("input")
        arguments = {} if given is None or given == "" else fields.mapping(given, f"{path}.input")
        self.keep_unknown(block, path, ("type", "id", "name", "input", "cache_control"))
        return ToolCall(
            fields.named(block.get("id"), f"{path}.id"),
            fields.named(block.get("name"), f"{path}.name"),
            dumps(arguments).decode(),
            cache=cache_mark(block, path),
        )

    def _tool_result(self, block: JsonObject, path: str) -> ToolResult:
        self.keep_unknown(block, path, ("type", "tool_use_id", "content", "is_error", "cache_control"))
        return ToolResult(
            fields.named(block.get("tool_use_id"), f"{path}.tool_use_id"),
            self._result_content(block.get("content"), f"{path}.content"),
            fields.flag(block.get("is_error"), f"{path}.is_error") is True,
            cache=cache_mark(block, path),
        )

    def _result_content(self, value: Any, path: str) -> tuple[Text | Image | Document, ...]:
        kept: list[Text | Image | Document] = []
        for number, part in enumerate(self.content([] if value is None else value, path)):
            if isinstance(part, Text | Image | Document):
                kept.append(part)
            elif isinstance(part, Opaque):
                self.extras[f"{path}[{number}].{part.type}"] = part.raw
            else:
                raise invalid(f"'{path}[{number}]' cannot stand in a tool result: send text, images or documents.", path)
        return tuple(kept)

    def keep_unknown(self, block: JsonObject, path: str, known: Iterable[str]) -> None:
        for name in _beyond(block, known):
            self.extras[f"{path}.{name}"] = block[name]


def _beyond(block: JsonObject, known: Iterable[str]) -> list[str]:
    """The fields that say something and are not among `known`."""
    return [
        name
        for name, value in block.items()
        if name not in known and value is not None and value is not False and value != _HARMLESS.get(name)
    ]


def _call_signature(block: JsonObject) -> tuple[str, str] | None:
    """The tool-call signature and its origin that a block made by our encoder carries, else None."""
    if block.get("type") != "thinking" or not isinstance(block.get("signature"), str):
        return None
    sealed = unseal(block["signature"])
    return (sealed.payload, sealed.origin) if sealed is not None and sealed.kind == "call" else None


def cache_mark(block: JsonObject, path: str) -> CacheMark | None:
    value = block.get("cache_control")
    if value is None:
        return None
    mark = fields.mapping(value, f"{path}.cache_control")
    ttl = mark.get("ttl") or "5m"
    if mark.get("type") != "ephemeral" or ttl not in ("5m", "1h"):
        fields.refuse(f"{path}.cache_control", '{"type": "ephemeral"} with an optional "ttl" of "5m" or "1h"')
    lifetime: Literal["5m", "1h"] = "1h" if ttl == "1h" else "5m"
    return CacheMark(lifetime)


def _bytes(value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(fields.string(value, path), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"'{path}' is not valid base64.", path) from None
