"""Neutral events as chat.completion.chunk events, for one client."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import (
    BlockStop,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    Opaque,
    OpaqueBlock,
    Ping,
    RefusalDelta,
    Request,
    Start,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageUpdate,
)
from pllm.wire.openai_chat.client_answer import (
    about,
    annotation,
    call_id,
    document_citation,
    extra_content,
    finish_reason,
    is_call,
    provider_block,
    thinking_block,
)
from pllm.wire.openai_chat.errors import error_body
from pllm.wire.openai_chat.framing import DONE
from pllm.wire.openai_chat.usage import usage_json
from pllm.wire.sse import KEEP_ALIVE, encode


@dataclass(slots=True)
class _ChoiceState:
    """What a choice's later chunks depend on. `calls` maps a block to its ordinal among the calls (case 1), `bare` holds the
    calls that have no arguments yet (case 2), `thoughts` a block's thinking text, `lengths` and `places` where text stands.
    """

    opened: bool = False
    calls: dict[int, int] = field(default_factory=dict)
    bare: set[int] = field(default_factory=set)
    thoughts: dict[int, str] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    length: int = 0
    lists: dict[str, int] = field(default_factory=dict)

    def numbered(self, name: str, entry: JsonObject) -> JsonObject:
        """An entry of a list that grows over several chunks: accumulators want to know its place."""
        index = self.lists.get(name, 0)
        self.lists[name] = index + 1
        return {name: [{"index": index, **entry}]}


class ChatEncoder:
    """See `wire.lane.Encoder`."""

    error: GatewayError | None = None  # there is a word for everything

    def __init__(self, request: Request, context: AnswerContext) -> None:
        self._context = context
        self._legacy = bool(request.echo.get("functions"))
        self._wants_usage = request.include_usage
        self._frame: JsonObject = {}
        self._choices: dict[int, _ChoiceState] = {}
        self._usage: Usage | None = None
        self._begin(Start())

    def feed(self, events: Iterable[Event]) -> bytes:
        out: list[bytes | JsonObject] = []
        for event in events:
            self._take(event, out)
        return b"".join(item if isinstance(item, bytes) else encode(dumps(item)) for item in out)

    def _take(self, event: Event, out: list[bytes | JsonObject]) -> None:
        match event:
            case Start():
                self._begin(event)
                out.append(self._chunk(0, {}))
            case UsageUpdate(usage):
                self._usage = usage
            case Ping():
                out.append(KEEP_ALIVE)
            case Failure(error):
                out.append(encode(error_body(error)))
            case End():
                self._end(out)
            case LogprobsDelta():
                self._logprobs(event, out)
            case Finish():
                self._finish(event, out)
            case _:
                delta = self._delta(event, self._choices.setdefault(event.choice, _ChoiceState()))
                if delta:
                    out.append(self._chunk(event.choice, delta))

    # --- The frame

    def _begin(self, start: Start) -> None:
        self._usage = start.usage or self._usage
        self._frame = {
            "id": start.id or f"chatcmpl-{self._context.id_seed}",
            "object": "chat.completion.chunk",
            "created": self._context.created_s if start.created_s is None else start.created_s,
            "model": self._context.model,
            **about(start.service_tier, start.system_fingerprint),
        }

    def _chunk(self, number: int, delta: JsonObject, finish: str | None = None) -> JsonObject:
        state = self._choices.setdefault(number, _ChoiceState())
        if not state.opened:
            state.opened = True
            delta = {"role": "assistant", "content": None, **delta}
        choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._frame, "choices": [choice]}
        return {**chunk, "usage": None} if self._wants_usage else chunk

    def _end(self, out: list[bytes | JsonObject]) -> None:
        if self._wants_usage and self._usage is not None:
            out.append({**self._frame, "choices": [], "usage": usage_json(self._usage)})
        out.append(DONE)

    def _logprobs(self, event: LogprobsDelta, out: list[bytes | JsonObject]) -> None:
        """Beside the text that they are about, if that is still in hand."""
        last = out[-1] if out else None
        if not isinstance(last, dict) or not last["choices"] or last["choices"][0]["index"] != event.choice:
            out.append(last := self._chunk(event.choice, {}))
        if last["choices"][0]["logprobs"] is not None:
            out.append(last := self._chunk(event.choice, {}))
        last["choices"][0]["logprobs"] = dict(event.logprobs)

    def _finish(self, event: Finish, out: list[bytes | JsonObject]) -> None:
        state = self._choices.setdefault(event.choice, _ChoiceState())
        out += [self._chunk(event.choice, self._arguments(state, index, "{}")) for index in sorted(state.bare)]
        reason = finish_reason(event.reason, bool(state.calls), self._legacy)
        out.append(self._chunk(event.choice, {}, reason))

    # --- Deltas

    def _delta(
        self,
        event: TextDelta
        | CitationDelta
        | RefusalDelta
        | ThinkingDelta
        | ToolCallStart
        | ToolCallDelta
        | OpaqueBlock
        | BlockStop,
        state: _ChoiceState,
    ) -> JsonObject:
        match event:
            case TextDelta(index, text):
                state.places.setdefault(index, state.length)
                state.length += len(text)
                return {"content": text}
            case RefusalDelta(_, text):
                return {"refusal": text} if text else {}
            case ThinkingDelta():
                return _thinking(event, state)
            case CitationDelta(index, citation):
                told = annotation(citation, state.places.get(index, state.length), state.length)
                return state.numbered("annotations", told) if told else state.numbered("citations", document_citation(citation))
            case ToolCallStart():
                return self._call(event, state)
            case ToolCallDelta(index, fragment):
                return self._arguments(state, index, fragment)
            case OpaqueBlock(index, block):
                return _opaque(index, block, state)
            case BlockStop(index):
                return self._arguments(state, index, "{}") if index in state.bare else {}

    def _call(self, event: ToolCallStart, state: _ChoiceState) -> JsonObject:
        ordinal = state.calls[event.index] = len(state.calls)
        state.bare.add(event.index)
        function = {"name": event.name, "arguments": ""}
        if self._legacy:
            return {"function_call": function} if ordinal == 0 else {}
        made = call_id(event.id, event.choice, ordinal, self._context)
        call = {"index": ordinal, "id": made, "type": "function", "function": function, **extra_content(event.signature)}
        return {"tool_calls": [call]}

    def _arguments(self, state: _ChoiceState, index: int, fragment: str) -> JsonObject:
        if not fragment:
            return {}
        state.bare.discard(index)
        ordinal = state.calls[index]
        if self._legacy:
            return {"function_call": {"arguments": fragment}} if ordinal == 0 else {}
        return {"tool_calls": [{"index": ordinal, "function": {"arguments": fragment}}]}


def _thinking(event: ThinkingDelta, state: _ChoiceState) -> JsonObject:
    text = state.thoughts[event.index] = state.thoughts.get(event.index, "") + event.text
    delta: JsonObject = {"reasoning_content": event.text} if event.text else {}
    if event.signature is None and event.redacted is None:
        return delta
    return {**delta, **state.numbered("thinking_blocks", thinking_block(event, text))}


def _opaque(index: int, block: Opaque, state: _ChoiceState) -> JsonObject:
    if is_call(block):
        ordinal = state.calls[index] = len(state.calls)
        return {"tool_calls": [{"index": ordinal, **block.raw}]}
    if block.dialect == "chat" and block.type == "audio":
        return {"audio": dict(block.raw)}
    return state.numbered("provider_blocks", provider_block(block))
