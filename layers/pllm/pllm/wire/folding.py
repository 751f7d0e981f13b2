"""Folding a stream into the answer it amounts to, and back.

`fold(unfold(response)) == response` for every response our decoders make; a stream's fold equals the buffered answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pllm.wire.neutral import (
    BlockStop,
    Choice,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    Opaque,
    OpaqueBlock,
    Part,
    Ping,
    Refusal,
    RefusalDelta,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageUpdate,
)


class _Block:
    """The accumulating state of one block; mutable on purpose and private to `fold`."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.fragments: list[str] = []

    def finished(self) -> Part:
        text = "".join(self.fragments)
        if isinstance(self.part, ToolCall):
            return replace(self.part, arguments=text or "{}")
        if isinstance(self.part, Text | Refusal | Thinking):
            return replace(self.part, text=text)
        return self.part


def fold(events: Iterable[Event]) -> Response:
    """The buffered answer that a complete stream amounts to.

    Raises the GatewayError of a Failure event, and ValueError when the stream has no End or no Finish: an unfinished stream
    has no buffered equivalent.
    """
    start, usage, ended = Start(), None, False
    blocks: dict[int, dict[int, _Block]] = {}
    finishes: dict[int, Finish] = {}
    logprobs: dict[int, list[Mapping[str, Any]]] = {}
    for event in events:
        match event:
            case Failure(error):
                raise error
            case Start():
                start, usage = event, event.usage or usage
            case UsageUpdate(value):
                usage = value
            case Finish():
                finishes[event.choice] = event
            case LogprobsDelta(value, choice):
                logprobs.setdefault(choice, []).append(value)
            case End():
                ended = True
            case Ping() | BlockStop():
                pass
            case _:
                _grow(blocks.setdefault(event.choice, {}), event)
    if not ended or not finishes:
        raise ValueError("the stream did not end")
    choices = tuple(
        Choice(
            parts=tuple(block.finished() for _, block in sorted(blocks.get(number, {}).items())),
            finish=finish.reason,
            stop_sequence=finish.stop_sequence,
            logprobs=_join_logprobs(logprobs.get(number)),
        )
        for number, finish in sorted(finishes.items())
    )
    return Response(start.id, start.model, choices, usage, start.created_s, start.service_tier, start.system_fingerprint)


def _grow(
    blocks: dict[int, _Block],
    event: TextDelta | CitationDelta | RefusalDelta | ThinkingDelta | ToolCallStart | ToolCallDelta | OpaqueBlock,
) -> None:
    match event:
        case ToolCallStart():
            blocks[event.index] = _Block(ToolCall(event.id, event.name, "", event.signature, event.origin))
        case ToolCallDelta():
            blocks[event.index].fragments.append(event.fragment)
        case TextDelta():
            blocks.setdefault(event.index, _Block(Text(""))).fragments.append(event.text)
        case RefusalDelta():
            blocks.setdefault(event.index, _Block(Refusal(""))).fragments.append(event.text)
        case CitationDelta():
            block = blocks.setdefault(event.index, _Block(Text("")))
            if isinstance(block.part, Text):
                block.part = replace(block.part, citations=(*block.part.citations, event.citation))
        case ThinkingDelta():
            block = blocks.setdefault(event.index, _Block(Thinking()))
            block.fragments.append(event.text)
            if isinstance(block.part, Thinking):
                block.part = replace(
                    block.part,
                    signature=event.signature or block.part.signature,
                    redacted=event.redacted or block.part.redacted,
                    origin=event.origin or block.part.origin,
                    id=event.id or block.part.id,
                )
        case OpaqueBlock():
            blocks[event.index] = _Block(event.block)


def _join_logprobs(pieces: list[Mapping[str, Any]] | None) -> Mapping[str, Any] | None:
    if not pieces:
        return None
    joined: dict[str, Any] = {}
    for piece in pieces:
        for key, value in piece.items():
            if isinstance(value, list):
                joined[key] = [*(joined.get(key) or []), *value]
            else:
                joined.setdefault(key, value)
    return joined


def unfold(response: Response) -> list[Event]:
    """The shortest stream that folds to `response`: one delta a block."""
    events: list[Event] = [
        Start(
            response.id,
            response.model,
            None,
            response.created_s,
            response.service_tier,
            response.system_fingerprint,
        )
    ]
    for number, choice in enumerate(response.choices):
        for index, part in enumerate(choice.parts):
            events += _deltas(index, part, number)
            events.append(BlockStop(index, number))
        if choice.logprobs is not None:
            events.append(LogprobsDelta(choice.logprobs, number))
        events.append(Finish(choice.finish, choice.stop_sequence, number))
    if response.usage is not None:
        events.append(UsageUpdate(response.usage))
    events.append(End())
    return events


def _deltas(index: int, part: Part, choice: int) -> list[Event]:
    match part:
        case Text(text, _, citations):
            return [TextDelta(index, text, choice), *(CitationDelta(index, c, choice) for c in citations)]
        case Refusal(text):
            return [RefusalDelta(index, text, choice)]
        case Thinking():
            return [ThinkingDelta(index, part.text, part.signature, part.redacted, part.origin, part.id, choice)]
        case ToolCall():
            return [
                ToolCallStart(index, part.id, part.name, part.signature, part.origin, choice),
                ToolCallDelta(index, part.arguments, choice),
            ]
        case Opaque():
            return [OpaqueBlock(index, part, choice)]
        case _:
            raise ValueError(f"a model does not answer with {type(part).__name__}")
