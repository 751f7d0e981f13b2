"""URL sources in a client's own body, for the places that serve Claude but fetch nothing (Vertex AI)."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.addressed_media import MediaKind, Wanted
from pllm.wire.neutral import Inline

_KINDS: Mapping[str, MediaKind] = {"image": "image", "document": "document"}


def url_sources(body: JsonObject) -> list[Wanted]:
    """Every image and document that `body` names by address, in order. What is malformed is left to the provider."""
    found: list[Wanted] = []

    def note(block: JsonObject, path: str) -> JsonObject:
        found.append(Wanted(block["source"]["url"], _KINDS[block["type"]], path))
        return block

    _mapped(body, note)
    return found


def with_inline_sources(body: JsonObject, fetched: Mapping[str, Inline]) -> JsonObject:
    """`body`, itself unchanged, with the bytes in place of the addresses."""

    def inlined(block: JsonObject, path: str) -> JsonObject:
        return {**block, "source": _source(fetched[block["source"]["url"]])}

    return _mapped(body, inlined)


def _source(file: Inline) -> JsonObject:
    if file.media_type.startswith("text/"):
        return {"type": "text", "media_type": "text/plain", "data": file.data.decode("utf-8")}
    return {"type": "base64", "media_type": file.media_type, "data": b64encode(file.data).decode("ascii")}


_Change = Callable[[JsonObject, str], JsonObject]


def _mapped(body: JsonObject, change: _Change) -> JsonObject:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return {**body, "messages": [_message(one, f"messages[{number}]", change) for number, one in enumerate(messages)]}


def _message(message: Any, path: str, change: _Change) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    return {**message, "content": [_block(one, f"{path}.content[{n}]", change) for n, one in enumerate(message["content"])]}


def _block(block: Any, path: str, change: _Change) -> Any:
    if not isinstance(block, dict):
        return block
    source = block.get("source")
    if (
        block.get("type") in _KINDS
        and isinstance(source, dict)
        and source.get("type") == "url"
        and isinstance(source.get("url"), str)
    ):
        return change(block, path)
    if block.get("type") == "tool_result" and isinstance(block.get("content"), list):
        return {**block, "content": [_block(one, f"{path}.content[{n}]", change) for n, one in enumerate(block["content"])]}
    return block
