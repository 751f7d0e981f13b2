"""The blocks an answer is made of, each with the events that open, grow and close it.

A block writes its final form into its output item when it closes; what it returns are event payloads, complete but for
their sequence number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import Citation, ThinkingDelta, ToolCallStart
from pllm.wire.openai_responses.annotations import annotation
from pllm.wire.openai_responses.seal import seal, thinking_of

Payloads = list[JsonObject]

_EXTRA_CONTENT_KEY = {"gemini": "google"}


class Item:
    """One element of `output`, at its place. `json` is what the finished answer shows."""

    __slots__ = ("done", "index", "json")

    def __init__(self, index: int, json: JsonObject) -> None:
        self.index = index
        self.json = json
        self.done = False

    def added(self, **changes: Any) -> JsonObject:
        return {"type": "response.output_item.added", "output_index": self.index, "item": {**self.json, **changes}}

    def finish(self, status: str) -> Payloads:
        """The closing event, once."""
        if self.done:
            return []
        self.done = True
        if "status" in self.json:
            self.json["status"] = status
        return [{"type": "response.output_item.done", "output_index": self.index, "item": self.json}]

    def at(self, event: str, **fields: Any) -> JsonObject:
        return {"type": event, "item_id": self.json["id"], "output_index": self.index, **fields}


class Block:
    """One block of the neutral form. `stopped`: no more deltas are due, but nothing closed it yet."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.stopped = False
        self.closed = False
        self.pieces: list[str] = []

    def open(self) -> Payloads:
        return []

    def grow(self, text: str) -> Payloads:
        raise NotImplementedError

    def close(self) -> Payloads:
        raise NotImplementedError

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class TextBlock(Block):
    """An output_text part of a message item."""

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.part: JsonObject = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self.content_index = len(item.json["content"])
        self.citations: list[Citation] = []
        item.json["content"].append(self.part)

    def open(self) -> Payloads:
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        return [self._at("response.content_part.added", part=part)]

    def grow(self, text: str) -> Payloads:
        if not text:
            return []
        self.pieces.append(text)
        return [self._at("response.output_text.delta", delta=text, logprobs=[])]

    def add_logprobs(self, found: Sequence[Mapping[str, Any]]) -> Payloads:
        """Figures for text already sent: an event of their own, with an empty delta."""
        known = [_logprob(token) for token in found]
        self.part["logprobs"] = [*self.part["logprobs"], *known]
        return [] if self.closed or not known else [self._at("response.output_text.delta", delta="", logprobs=known)]

    def close(self) -> Payloads:
        """Annotations come last: a provider may cite before it has finished the text that the positions count in."""
        self.closed = True
        self.part["text"] = text = self.text
        events: Payloads = []
        for number, citation in enumerate(self.citations):
            found = annotation(citation, len(text))
            self.part["annotations"].append(found)
            events.append(
                self._at("response.output_text.annotation.added", annotation_index=number, annotation=found),
            )
        done = self._at("response.output_text.done", text=text, logprobs=list(self.part["logprobs"]))
        return [*events, done, self._at("response.content_part.done", part=self.part)]

    def _at(self, event: str, **fields: Any) -> JsonObject:
        return self.item.at(event, content_index=self.content_index, **fields)


class RefusalBlock(Block):
    """A refusal part of a message item."""

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.part: JsonObject = {"type": "refusal", "refusal": ""}
        self.content_index = len(item.json["content"])
        item.json["content"].append(self.part)

    def open(self) -> Payloads:
        return [self._at("response.content_part.added", part={"type": "refusal", "refusal": ""})]

    def grow(self, text: str) -> Payloads:
        if not text:
            return []
        self.pieces.append(text)
        return [self._at("response.refusal.delta", delta=text)]

    def close(self) -> Payloads:
        self.closed = True
        self.part["refusal"] = text = self.text
        return [
            self._at("response.refusal.done", refusal=text),
            self._at("response.content_part.done", part=self.part),
        ]

    def _at(self, event: str, **fields: Any) -> JsonObject:
        return self.item.at(event, content_index=self.content_index, **fields)


class ThinkingBlock(Block):
    """A reasoning item with one summary part, or none when the block is encrypted."""

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.proof = ThinkingDelta(0)

    def prove(self, delta: ThinkingDelta) -> None:
        self.proof = ThinkingDelta(
            0,
            signature=delta.signature or self.proof.signature,
            redacted=delta.redacted or self.proof.redacted,
            origin=delta.origin or self.proof.origin,
        )

    def grow(self, text: str) -> Payloads:
        if not text:
            return []
        events: Payloads = []
        if not self.pieces:
            part = {"type": "summary_text", "text": ""}
            events.append(self.item.at("response.reasoning_summary_part.added", summary_index=0, part=part))
        self.pieces.append(text)
        events.append(self.item.at("response.reasoning_summary_text.delta", summary_index=0, delta=text))
        return events

    def close(self) -> Payloads:
        self.closed = True
        if (encrypted := seal(thinking_of(self.proof))) is not None:
            self.item.json["encrypted_content"] = encrypted
        if not self.pieces:
            return []
        part = {"type": "summary_text", "text": self.text}
        self.item.json["summary"] = [part]
        return [
            self.item.at("response.reasoning_summary_text.done", summary_index=0, text=part["text"]),
            self.item.at("response.reasoning_summary_part.done", summary_index=0, part=part),
        ]


class CallBlock(Block):
    """A function_call item. A call without arguments ends as "{}" (case 2)."""

    def grow(self, text: str) -> Payloads:
        if not text:
            return []
        self.pieces.append(text)
        return [self.item.at("response.function_call_arguments.delta", delta=text)]

    def close(self) -> Payloads:
        events = [] if self.pieces else self.grow("{}")
        self.closed = True
        self.item.json["arguments"] = text = self.text
        done = self.item.at("response.function_call_arguments.done", arguments=text)
        return [*events, done]


def call_item(start: ToolCallStart, item_id: str) -> JsonObject:
    """A function_call item before its arguments. Gemini's thought signature stands where Chat's clients look (case 12)."""
    item: JsonObject = {
        "type": "function_call",
        "id": f"fc_{item_id}",
        "call_id": start.id or f"call_{item_id}",
        "name": start.name,
        "arguments": "",
        "status": "in_progress",
    }
    if start.signature:
        vendor = _EXTRA_CONTENT_KEY.get(start.origin, start.origin)
        item["extra_content"] = {vendor: {"thought_signature": start.signature}}
    return item


def _logprob(token: Mapping[str, Any]) -> JsonObject:
    """A token of Chat's `logprobs.content`. Responses wants its bytes always."""
    return {**_token(token), "top_logprobs": [_token(other) for other in token.get("top_logprobs") or ()]}


def _token(token: Mapping[str, Any]) -> JsonObject:
    text = str(token.get("token", ""))
    found = token.get("bytes")
    return {
        "token": text,
        "logprob": token.get("logprob", 0.0),
        "bytes": list(text.encode("utf-8", "replace")) if found is None else found,
    }
