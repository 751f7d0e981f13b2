"""Citations and token probabilities of a candidate, in neutral form."""

from collections.abc import Iterator, Mapping
from typing import Any

from pllm.core.jsontext import Json, JsonObject
from pllm.wire.neutral import Citation

_SOURCES = ("web", "retrievedContext", "maps", "image")


def citations(candidate: Mapping[str, Any], text: str) -> Iterator[Citation]:
    """What the answer's `text` (all of it so far) leans on: grounding supports, then recitations.

    Gemini counts positions in UTF-8 bytes of one of its parts; the neutral form counts characters of the text. A position
    that does not fit the quoted words is looked up, and left out where that fails.
    """
    grounding = candidate.get("groundingMetadata")
    if isinstance(grounding, dict):
        chunks = _objects(grounding.get("groundingChunks"))
        for support in _objects(grounding.get("groundingSupports")):
            yield from _support(support, chunks, text)
    recited = candidate.get("citationMetadata")
    if isinstance(recited, dict):
        for source in _objects(recited.get("citations") or recited.get("citationSources")):
            yield _recitation(source, text)


def _support(support: JsonObject, chunks: list[JsonObject], text: str) -> Iterator[Citation]:
    segment = support.get("segment")
    segment = segment if isinstance(segment, dict) else {}
    quote = segment.get("text") if isinstance(segment.get("text"), str) else None
    start, end = _span(segment, quote, text)
    indices = support.get("groundingChunkIndices")
    for index in indices if isinstance(indices, list) else []:
        if isinstance(index, int) and 0 <= index < len(chunks):
            url, title = _source(chunks[index])
            yield Citation(
                url, title, quote, start, end, "gemini", {"groundingSupport": support, "groundingChunk": chunks[index]}
            )


def _source(chunk: JsonObject) -> tuple[str | None, str | None]:
    source: JsonObject = next((chunk[kind] for kind in _SOURCES if isinstance(chunk.get(kind), dict)), {})
    return _text(source, "uri", "sourceUri"), _text(source, "title", "fileSearchStore")


def _recitation(source: JsonObject, text: str) -> Citation:
    start, end = _span(source, None, text)
    return Citation(_text(source, "uri"), _text(source, "title"), None, start, end, "gemini", {"citation": source})


def _span(segment: JsonObject, quote: str | None, text: str) -> tuple[int | None, int | None]:
    first, last = segment.get("startIndex") or 0, segment.get("endIndex")
    if isinstance(first, int) and isinstance(last, int):
        data = text.encode("utf-8", "replace")
        start, end = (len(data[:position].decode("utf-8", "ignore")) for position in (first, last))
        if quote is None or text[start:end] == quote:
            return start, end
    found = text.find(quote) if quote else -1
    return (found, found + len(quote or "")) if found >= 0 else (None, None)


def _text(source: JsonObject, *names: str) -> str | None:
    return next((value for name in names if isinstance(value := source.get(name), str)), None)


def _objects(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def logprobs(result: Json) -> JsonObject | None:
    """logprobsResult as OpenAI's logprobs object."""
    if not isinstance(result, dict):
        return None
    chosen = _objects(result.get("chosenCandidates"))
    tops = _objects(result.get("topCandidates"))
    content: list[JsonObject] = []
    for position, candidate in enumerate(chosen):
        best = _objects(tops[position].get("candidates")) if position < len(tops) else []
        content.append({**_token(candidate), "top_logprobs": [_token(top) for top in best]})
    return {"content": content, "refusal": None} if content else None


def _token(candidate: JsonObject) -> JsonObject:
    token = candidate.get("token")
    token = token if isinstance(token, str) else ""
    probability = candidate.get("logProbability")
    # A certain token has probability 1, and proto3 JSON leaves zeros out.
    value = float(probability) if isinstance(probability, int | float) else 0.0
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}
