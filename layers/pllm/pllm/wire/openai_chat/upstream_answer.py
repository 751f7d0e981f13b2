"""Answers of a Chat upstream as neutral ones, buffered and streamed."""

from collections.abc import Iterator, Mapping
from typing import Any

from pllm.core.errors import GatewayError, malformed_upstream
from pllm.core.jsontext import JsonObject
from pllm.wire.folding import fold
from pllm.wire.neutral import End, Event, Failure, Response, Start, Usage, UsageUpdate
from pllm.wire.openai_chat.choice_reader import ChoiceReader
from pllm.wire.openai_chat.framing import Frame, FrameReader, choice_number, stated_finish
from pllm.wire.openai_chat.lane import read_answer
from pllm.wire.openai_chat.usage import read_usage
from pllm.wire.translator import Encoded


def decode_answer(body: bytes, encoded: Encoded) -> Response:
    """Raises GatewayError(UPSTREAM_PROTOCOL) for a body that is not a chat completion, or the error that it holds."""
    answer = read_answer(body)
    events: list[Event] = [start(answer)]
    for position, choice in enumerate(answer["choices"]):
        message = choice.get("message")
        if not isinstance(message, Mapping):
            raise malformed_upstream("a choice has no message")
        reader = ChoiceReader(choice["index"] if isinstance(choice.get("index"), int) else position, encoded.hidden_tool)
        events += reader.read(choice, message)
        events += reader.finish(stated_finish(choice), choice.get("stop_reason"))
    if (usage := read_usage(answer.get("usage"))) is not None:
        events.append(UsageUpdate(usage))
    return fold([*events, End()])


def start(frame: JsonObject) -> Start:
    created = frame.get("created")
    return Start(
        id=_text(frame.get("id")) or "",
        model=_text(frame.get("model")) or "",
        created_s=int(created) if isinstance(created, int | float) and 0 <= created < 1e12 else None,
        service_tier=_text(frame.get("service_tier")),
        system_fingerprint=_text(frame.get("system_fingerprint")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


class ChatDecoder:
    """See `wire.lane.Decoder`. Finishes are given at the end marker: only then is it known that nothing else follows."""

    def __init__(self, hidden_tool: str | None = None, done_marker: bool = True) -> None:
        self._frames = FrameReader(done_marker)
        self._hidden_tool = hidden_tool
        self._started = False
        self._deaf = False
        self._usage: Usage | None = None
        self._choices: dict[int, ChoiceReader] = {}
        self._stop_sequences: dict[int, object] = {}

    def feed(self, data: bytes) -> list[Event]:
        return [] if self._deaf else self._events(self._frames.feed(data))

    def close(self) -> list[Event]:
        return [] if self._deaf else self._events(self._frames.close())

    def _events(self, frames: Iterator[Frame]) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in frames:
                events += self._take(frame)
        except GatewayError as error:
            self._deaf = True
            events += [*self._metered(), Failure(error)]
        return events

    def _take(self, frame: Frame) -> Iterator[Event]:
        if frame.chunk is not None:
            yield from self._chunk(frame.chunk)
        elif frame.done:
            self._deaf = True
            yield from self._end()

    def _chunk(self, chunk: JsonObject) -> Iterator[Event]:
        if not self._started and (chunk.get("id") or chunk.get("choices")):
            # Azure's first chunk, on the prompt's filters, has neither.
            self._started = True
            yield start(chunk)
        for choice in chunk.get("choices") or ():
            yield from self._choice(choice)
        yield from self._metered()

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[Event]:
        number = choice_number(choice)
        reader = self._choices.get(number)
        if reader is None:
            reader = self._choices[number] = ChoiceReader(number, self._hidden_tool)
        if isinstance(matched := choice.get("stop_reason"), str):
            self._stop_sequences[number] = matched
        delta = choice.get("delta")
        yield from reader.read(choice, delta if isinstance(delta, Mapping) else {})

    def _metered(self) -> Iterator[Event]:
        usage = self._frames.usage
        if usage is not None and usage is not self._usage:
            self._usage = usage
            yield UsageUpdate(usage)

    def _end(self) -> Iterator[Event]:
        finishes = self._frames.finishes
        for number, reader in sorted(self._choices.items()):
            yield from reader.finish(finishes.get(number), self._stop_sequences.get(number))
        yield End()
