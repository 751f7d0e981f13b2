"""Anthropic's event stream, to neutral events. The grammar is checked: what breaks it becomes a Failure.

message_start (content_block_start content_block_delta* content_block_stop)* message_delta+ message_stop
with ping anywhere, and error in place of the rest
"""

from collections.abc import Callable

from pllm.core.errors import ErrorKind, GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, loads
from pllm.wire.anthropic_messages.decode_answer import finish_shown
from pllm.wire.anthropic_messages.errors import read_event_error
from pllm.wire.anthropic_messages.stream_blocks import Block, HiddenBlock, TextBlock, ToolBlock, open_block
from pllm.wire.anthropic_messages.vocabulary import finish_reason, read_tier, read_usage, refusal_text
from pllm.wire.neutral import (
    BlockStop,
    End,
    Event,
    Failure,
    Finish,
    Ping,
    RefusalDelta,
    Start,
    UsageUpdate,
)
from pllm.wire.sse import SseDecoder, SseError, SseEvent


class StreamDecoder:
    """Incremental: feed bytes at any chunk boundary, then close. Never raises; deaf after End or Failure."""

    def __init__(self, hidden_tool: str | None = None) -> None:
        self._sse = SseDecoder()
        self._reader = _MessageReader(hidden_tool)
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        return self._read(lambda: self._sse.feed(data))

    def close(self) -> list[Event]:
        events = self._read(self._sse.close)
        last = events[-1] if events else None
        if isinstance(last, Failure):
            events[-1] = Failure(at_the_end(last.error))
        elif not self._over:
            events.append(Failure(at_the_end(None)))
        self._over = True
        return events

    def _read(self, blocks: Callable[[], list[SseEvent]]) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        try:
            for block in blocks():
                if block.data is not None:
                    events += self._reader.read(parse_event(block.data))
                if events and isinstance(events[-1], End):
                    self._over = True
                    break
        except GatewayError as error:
            events.append(Failure(error))
            self._over = True
        except SseError as error:
            events.append(Failure(malformed_upstream(str(error))))
            self._over = True
        return events


def at_the_end(error: GatewayError | None) -> GatewayError:
    """Why a stream ended early. `error`: what was wrong with its last bytes, of which what cannot be read was cut."""
    if error is None:
        return broken_stream("it ended before its message_stop event")
    return broken_stream("it ended in the middle of an event") if error.kind is ErrorKind.UPSTREAM_PROTOCOL else error


def parse_event(data: bytes) -> JsonObject:
    """Raises GatewayError(UPSTREAM_PROTOCOL) for what is not an event of this dialect, or the error that it reports."""
    try:
        event = loads(data)
    except JsonError as error:
        raise malformed_upstream(f"a stream event is not JSON: {error}") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise malformed_upstream("a stream event has no type")
    if event["type"] == "error":
        raise read_event_error(event)
    return event


class _MessageReader:
    """The state of one message. Raises GatewayError where the events break the grammar."""

    def __init__(self, hidden_tool: str | None) -> None:
        self._hidden_tool = hidden_tool
        self._blocks: dict[int, tuple[int, Block]] = {}
        self._count = 0
        self._usage: JsonObject | None = None
        self._finished = False
        self._calls = 0
        self._shown = False
        self._held: list[Event] = []
        self._handlers: dict[str, Callable[[JsonObject], list[Event]]] = {
            "content_block_delta": self._delta,
            "content_block_start": self._start_block,
            "content_block_stop": self._stop_block,
            "message_start": self._start,
            "message_delta": self._message_delta,
            "message_stop": self._stop,
        }

    def read(self, event: JsonObject) -> list[Event]:
        """Event types newer than this module are passed over, as Anthropic asks of its clients."""
        if event["type"] == "ping":
            return [Ping()]
        handler = self._handlers.get(event["type"])
        if handler is None:
            return []
        if self._usage is None and handler != self._start:
            raise malformed_upstream(f"{event['type']} came before message_start")
        return handler(event)

    def _start(self, event: JsonObject) -> list[Event]:
        if self._usage is not None:
            raise malformed_upstream("message_start came twice")
        message = _object(event, "message")
        usage = message.get("usage")
        self._usage = dict(usage) if isinstance(usage, dict) else {}
        return [
            Start(
                str(message.get("id") or ""),
                str(message.get("model") or ""),
                read_usage(self._usage) if self._usage else None,
                service_tier=read_tier(self._usage),
            )
        ]

    def _start_block(self, event: JsonObject) -> list[Event]:
        number, raw = _index(event), _object(event, "content_block")
        if number in self._blocks:
            raise malformed_upstream(f"content block {number} was started twice")
        block = open_block(raw, self._count, self._hidden_tool)
        self._blocks[number] = (self._count, block)
        self._count += 1
        self._calls += isinstance(block, ToolBlock)
        self._shown = self._shown or isinstance(block, HiddenBlock)
        return self._hold(block, block.start(raw))

    def _delta(self, event: JsonObject) -> list[Event]:
        block = self._open(event)[1]
        return self._hold(block, block.delta(_object(event, "delta")))

    def _stop_block(self, event: JsonObject) -> list[Event]:
        index, block = self._open(event)
        del self._blocks[_index(event)]
        return self._close(index, block)

    def _open(self, event: JsonObject) -> tuple[int, Block]:
        found = self._blocks.get(_index(event))
        if found is None:
            raise malformed_upstream(f"{event['type']} for content block {event['index']}, which is not open")
        return found

    def _close(self, index: int, block: Block) -> list[Event]:
        events = block.stop()
        if block.said:
            events.append(BlockStop(index))
        elif index == self._count - 1:
            self._count = index
        return self._hold(block, events)

    def _hold(self, block: Block, events: list[Event]) -> list[Event]:
        """Words beside a hidden tool wait for the end: if it is called, its input is the whole text (case 19)."""
        if self._hidden_tool is None or not isinstance(block, TextBlock):
            return events
        self._held += events
        return []

    def _message_delta(self, event: JsonObject) -> list[Event]:
        delta, usage = _object(event, "delta"), event.get("usage")
        events: list[Event] = []
        if isinstance(usage, dict) and self._usage is not None:
            # Cumulative: what it says replaces, what it leaves out still holds (case 15).
            self._usage.update({name: value for name, value in usage.items() if value is not None})
            events.append(UsageUpdate(read_usage(self._usage)))
        if isinstance(delta.get("stop_reason"), str) and not self._finished:
            self._finished = True
            events = self._finish(delta) + events
        return events

    def _finish(self, delta: JsonObject) -> list[Event]:
        events: list[Event] = []
        for index, block in self._blocks.values():
            events += self._close(index, block)
        self._blocks.clear()
        reason = finish_reason(delta["stop_reason"])
        if self._shown:
            reason = finish_shown(reason, self._calls > 0)
        else:
            events += self._held
        if reason == "refusal" and (words := refusal_text(delta.get("stop_details"))) is not None:
            events += [RefusalDelta(self._count, words), BlockStop(self._count)]
        sequence = delta.get("stop_sequence")
        return [*events, Finish(reason, sequence if isinstance(sequence, str) else None)]

    def _stop(self, event: JsonObject) -> list[Event]:
        if not self._finished:
            raise broken_stream("message_stop came without a stop_reason before it")
        return [End()]


def _object(event: JsonObject, name: str) -> JsonObject:
    value = event.get(name)
    if not isinstance(value, dict):
        raise malformed_upstream(f"{event['type']} has no {name}")
    return value


def _index(event: JsonObject) -> int:
    value = event.get("index")
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed_upstream(f"{event['type']} has no index")
    return value
