"""Citations as Responses annotations."""

from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import Citation

_TYPES = frozenset({"url_citation", "file_citation", "container_file_citation", "file_path"})


def annotation(citation: Citation, text_chars: int) -> JsonObject:
    """OpenAI's own annotation as it came, else a URL or file citation. A source without positions covers the whole part of
    `text_chars` characters. A cited document of the request has no file id: "document_<number>" stands for it."""
    raw = dict(citation.raw or {})
    if citation.origin == "openai" and raw.get("type") in _TYPES:
        return _flat(raw)
    if citation.url:
        return {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title or "",
            "start_index": citation.start or 0,
            "end_index": text_chars if citation.end is None else citation.end,
        }
    return {
        "type": "file_citation",
        "file_id": _text(raw.get("file_id")) or f"document_{raw.get('document_index', 0)}",
        "filename": citation.title or "",
        "index": text_chars if citation.end is None else citation.end,
    }


def _flat(raw: JsonObject) -> JsonObject:
    """Chat nests an annotation under its type's name, Responses does not."""
    nested = raw.get(str(raw["type"]))
    return {"type": raw["type"], **nested} if isinstance(nested, dict) else raw


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
