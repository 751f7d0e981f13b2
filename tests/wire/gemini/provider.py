"""A Gemini that answers as told: whole answers and the streams they arrive as. Test-side encoder, judged by google-genai."""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from tests.wire.gemini.judge import answers

from pllm.core.jsontext import JsonObject

SIGNATURE = "c2lnbmF0dXJl"

USAGE: JsonObject = {
    "promptTokenCount": 20,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 32,
}


def text(words: str, *, thought: bool = False, signature: str | None = None) -> JsonObject:
    return {
        "text": words,
        **({"thought": True} if thought else {}),
        **({"thoughtSignature": signature} if signature else {}),
    }


def call(name: str, args: JsonObject | None = None, *, signature: str | None = None, call_id: str | None = None) -> JsonObject:
    inner: JsonObject = {"name": name, "args": args or {}}
    if call_id:
        inner["id"] = call_id
    return {"functionCall": inner, **({"thoughtSignature": signature} if signature else {})}


def answer(*parts: JsonObject, finish: str | None = "STOP", usage: JsonObject | None = None, **extra: Any) -> JsonObject:
    candidate: JsonObject = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **extra}
    if finish:
        candidate["finishReason"] = finish
    return answers(
        {
            "candidates": [candidate],
            "usageMetadata": USAGE if usage is None else usage,
            "modelVersion": "gemini-x-001",
            "responseId": "resp_1-A",
            "createTime": "2026-02-15T07:50:37.854117Z",
        }
    )


def sse(*objects: object) -> bytes:
    return b"".join(b"data: " + json.dumps(entry, ensure_ascii=False).encode() + b"\r\n\r\n" for entry in objects)


@dataclass(frozen=True)
class Script:
    """Candidates' parts and finish reasons, and where a stream cuts its texts and its chunks."""

    candidates: list[tuple[list[JsonObject], str]]
    cuts: list[int] = field(default_factory=list)
    usage: JsonObject = field(default_factory=lambda: dict(USAGE))

    def whole(self) -> JsonObject:
        return answers(self._object([(n, parts, finish) for n, (parts, finish) in enumerate(self.candidates)], self.usage))

    def stream(self) -> list[JsonObject]:
        """The same answer in chunks: candidates take turns, a text comes in pieces, a signature with its last one, the
        finishReason with or after the last part, the full usage in the last chunk."""
        cuts = iter(self.cuts * 50)
        queues = [self._pieces(number, cuts) for number in range(len(self.candidates))]
        chunks: list[JsonObject] = []
        turn = 0
        while any(queues):
            queue = queues[turn % len(queues)]
            turn += 1
            if queue:
                chunks.append(self._object([queue.pop(0)], {"promptTokenCount": 20, "totalTokenCount": 20 + turn}))
        chunks[-1]["usageMetadata"] = self.usage
        return [answers(chunk) for chunk in chunks]

    def _pieces(self, number: int, cuts: Any) -> list[tuple[int, list[JsonObject], str | None]]:
        parts, finish = self.candidates[number]
        pieces: list[JsonObject] = []
        for part in parts:
            if "text" not in part or not self.cuts:
                pieces.append(part)
                continue
            words, at = part["text"], next(cuts, 0) % (len(part["text"]) + 1)
            first = {key: value for key, value in part.items() if key != "thoughtSignature"}
            pieces += [{**first, "text": words[:at]}, {**part, "text": words[at:]}]
        queue: list[tuple[int, list[JsonObject], str | None]] = []
        while pieces:
            size = 1 + next(cuts, 0) % 2
            queue.append((number, pieces[:size], None))
            pieces = pieces[size:]
        if queue and next(cuts, 0) % 2:
            queue[-1] = (number, queue[-1][1], finish)
        else:
            queue.append((number, [text("")], finish))
        return queue

    def _object(self, candidates: list[tuple[int, list[JsonObject], Any]], usage: JsonObject) -> JsonObject:
        return {
            "candidates": [
                {
                    "content": {"role": "model", "parts": parts},
                    "index": number,
                    **({"finishReason": finish} if finish else {}),
                }
                for number, parts, finish in candidates
            ],
            "usageMetadata": usage,
            "modelVersion": "gemini-x-001",
            "responseId": "resp_1-A",
        }


_words = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)
_signature = st.sampled_from([None, None, SIGNATURE, "QUJD"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_words, inner, max_size=2),
    max_leaves=4,
)
_parts = st.one_of(
    st.builds(text, _words, thought=st.booleans(), signature=_signature),
    st.builds(call, st.sampled_from(["look", "find_it"]), st.dictionaries(_words, _json, max_size=2), signature=_signature),
    st.just({"executableCode": {"language": "PYTHON", "code": "print(1)"}, "thoughtSignature": SIGNATURE}),
    st.just({"inlineData": {"mimeType": "image/png", "data": "QUJD"}}),
)
_finishes = st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "RECITATION"])

scripts = st.builds(
    Script,
    st.lists(st.tuples(st.lists(_parts, max_size=5), _finishes), min_size=1, max_size=3),
    st.lists(st.integers(0, 30), max_size=8),
)
