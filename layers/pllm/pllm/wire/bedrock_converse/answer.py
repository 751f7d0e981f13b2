"""One answer of Converse as it comes in: events by name, in the order of the stream, to neutral events.

A buffered answer is read as the stream it amounts to, so that both mean the same by construction.

A stream is whole when both `messageStop` and `metadata` have come: every recorded stream of Bedrock ends with these two, and
one that stops between them was cut, since nothing else carries the tokens that are billed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.bedrock_converse.blocks import Blocks
from pllm.wire.bedrock_converse.hidden_tool import HiddenTool
from pllm.wire.bedrock_converse.vocabulary import (
    ADDITIONAL_FIELDS,
    expect,
    finish_reason,
    listed,
    matched_stop_sequence,
    read_usage,
)
from pllm.wire.folding import fold
from pllm.wire.neutral import End, Event, Finish, Response, Start, ToolCallStart, UsageUpdate


class Answer:
    """The state of one answer. `whole`: its end was seen. Methods raise GatewayError for what Converse cannot have meant."""

    def __init__(self, model: str, hidden_tool: str | None = None) -> None:
        self._model = model
        self._blocks = Blocks()
        self._hidden = HiddenTool(hidden_tool) if hidden_tool is not None else None
        self._called = False
        self._started = False
        self._stopped = False
        self._metered = False

    @property
    def whole(self) -> bool:
        return self._stopped and self._metered

    def on(self, name: str, data: JsonObject) -> list[Event]:
        """The neutral events that the Converse event `name` amounts to. Names newer than this table are passed over."""
        handler = _HANDLERS.get(name)
        if handler is None or self.whole:
            return []
        events = handler(self, data)
        return [*events, End()] if self.whole else events

    def _message_start(self, data: JsonObject) -> list[Event]:
        if self._started:
            raise malformed_upstream("a second messageStart")
        self._started = True
        return [Start(model=self._model)]

    def _block_start(self, data: JsonObject) -> list[Event]:
        return self._pass_on(self._blocks.start(self._number(data), expect(data.get("start") or {}, dict, "a block's start")))

    def _block_delta(self, data: JsonObject) -> list[Event]:
        return self._pass_on(self._blocks.delta(self._number(data), expect(data.get("delta"), dict, "a block's delta")))

    def _block_stop(self, data: JsonObject) -> list[Event]:
        return self._pass_on(self._blocks.stop(self._number(data)))

    def native_block(self, number: int, kind: str, block: JsonObject) -> list[Event]:
        return self._pass_on(self._blocks.whole(number, kind, block))

    def _message_stop(self, data: JsonObject) -> list[Event]:
        self._expect_open("messageStop")
        self._stopped = True
        events = self._pass_on(self._blocks.end())
        if self._hidden is not None:
            events += self._hidden.end()
        reason = finish_reason(expect(data.get("stopReason"), str, "stopReason"), called=self._called)
        matched = matched_stop_sequence(data.get(ADDITIONAL_FIELDS)) if reason in ("stop_sequence", "stop") else None
        return [*events, Finish("stop_sequence" if matched else reason, matched)]

    def _metadata(self, data: JsonObject) -> list[Event]:
        if not self._started:
            raise malformed_upstream("metadata before messageStart")
        self._metered = True
        usage = read_usage(data.get("usage"))
        return [UsageUpdate(usage)] if usage is not None else []

    def _number(self, data: JsonObject) -> int:
        self._expect_open("a content block")
        number: int = expect(data.get("contentBlockIndex"), int, "contentBlockIndex")
        return number

    def _expect_open(self, what: str) -> None:
        if not self._started:
            raise malformed_upstream(f"{what} before messageStart")
        if self._stopped:
            raise malformed_upstream(f"{what} after messageStop")

    def _pass_on(self, events: list[Event]) -> list[Event]:
        if self._hidden is not None:
            events = self._hidden.through(events)
        self._called = self._called or any(isinstance(event, ToolCallStart) for event in events)
        return events


_HANDLERS: Mapping[str, Callable[[Answer, JsonObject], list[Event]]] = {
    "messageStart": Answer._message_start,
    "contentBlockStart": Answer._block_start,
    "contentBlockDelta": Answer._block_delta,
    "contentBlockStop": Answer._block_stop,
    "messageStop": Answer._message_stop,
    "metadata": Answer._metadata,
}


# --- Buffered answers -----------------------------------------------------------------------------------------------


def read_answer(body: bytes, model: str, hidden_tool: str | None) -> Response:
    """Raises GatewayError(UPSTREAM_PROTOCOL) when `body` is not an answer of Converse."""
    try:
        whole = expect(loads(body), dict, "the answer")
    except JsonError as error:
        raise malformed_upstream(str(error)) from None
    message = expect(expect(whole.get("output"), dict, "output").get("message"), dict, "output.message")
    answer = Answer(model, hidden_tool)
    events = answer.on("messageStart", {})
    for number, block in enumerate(expect(message.get("content") or [], list, "output.message.content")):
        events += _block_events(answer, number, expect(block, dict, "a content block"))
    events += answer.on("messageStop", whole)
    events += answer.on("metadata", whole)
    return fold(events)


def _block_events(answer: Answer, number: int, block: JsonObject) -> list[Event]:
    streamed = _as_stream(block)
    if streamed is None:
        kind = next(iter(block), "")
        return answer.native_block(number, kind, block) if kind else []
    start, deltas = streamed
    events = answer.on("contentBlockStart", {"contentBlockIndex": number, "start": start}) if start else []
    for delta in deltas:
        events += answer.on("contentBlockDelta", {"contentBlockIndex": number, "delta": delta})
    return events + answer.on("contentBlockStop", {"contentBlockIndex": number})


def _as_stream(block: JsonObject) -> tuple[JsonObject, list[JsonObject]] | None:
    """(start, deltas) as a stream would bring `block`; None for a block that only Converse has."""
    match block:
        case {"text": text}:
            return {}, [{"text": text}]
        case {"toolUse": dict(tool)} if tool.get("type") != "server_tool_use":
            return {"toolUse": tool}, [{"toolUse": {"input": _arguments(tool.get("input"))}}]
        case {"reasoningContent": dict(content)}:
            return {}, [{"reasoningContent": piece} for piece in _reasoning_pieces(content)]
        case {"citationsContent": dict(content)}:
            citations = [{"citation": raw} for raw in listed(content.get("citations"))]
            texts = [{"text": piece.get("text")} for piece in listed(content.get("content")) if isinstance(piece, dict)]
            return {}, [*citations, *texts]
        case _:
            return None


def _arguments(value: Any) -> str:
    return dumps({} if value is None else value).decode()


def _reasoning_pieces(content: JsonObject) -> list[JsonObject]:
    said = content.get("reasoningText")
    if isinstance(said, dict):
        return [{key: said[key]} for key in ("text", "signature") if said.get(key)]
    return [content]
