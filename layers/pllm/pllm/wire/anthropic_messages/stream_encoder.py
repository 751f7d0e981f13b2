"""Neutral events, to the exact grammar of an Anthropic stream.

One message_start; blocks one after another, numbered from 0, each opened and closed once; one message_delta, which carries
stop_reason and the final usage; message_stop. Where the provider interleaves the deltas of several tool calls, the later
ones wait until the earlier one is whole.
"""

from collections.abc import Iterable

from pllm.core.errors import GatewayError, broken_stream
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire import sse
from pllm.wire.anthropic_messages.encode_answer import message_head
from pllm.wire.anthropic_messages.errors import error_event
from pllm.wire.anthropic_messages.stream_writer import BlockEvent, BlockStream
from pllm.wire.anthropic_messages.vocabulary import cache_split, ending_of, tier_field, usage_fields
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import (
    End,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    Ping,
    RefusalDelta,
    Start,
    Usage,
    UsageUpdate,
)

_PING = sse.encode(b'{"type":"ping"}', "ping")
_STOP = sse.encode(b'{"type":"message_stop"}', "message_stop")


class StreamEncoder:
    """One a stream. After End or Failure it writes nothing more."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._out: list[bytes] = []
        self._blocks = BlockStream(self._write)
        self._queue = _Turns(self._blocks)
        self._started = False
        self._over = False
        self._usage: Usage | None = None
        self._said_usage: Usage | None = None
        self._finish: Finish | None = None
        self._refused: str | None = None
        self.error: GatewayError | None = None

    def feed(self, events: Iterable[Event]) -> bytes:
        for event in events:
            if not self._over and getattr(event, "choice", 0) == 0:
                self._take(event)
        written = b"".join(self._out)
        self._out.clear()
        return written

    def _take(self, event: Event) -> None:
        match event:
            case Failure(error):
                self._over = True
                self._out.append(error_event(error))
            case Start():
                self._usage = event.usage or self._usage
                self._start(event)
            case Ping():
                if self._started:
                    self._out.append(_PING)
            case UsageUpdate(usage):
                self._usage = usage
            case Finish():
                self._finish = event
                self._queue.finish()
            case LogprobsDelta():
                pass
            case End():
                self._end()
            case RefusalDelta(_, text):
                self._start(Start())
                self._refused = (self._refused or "") + text
            case _:
                self._start(Start())
                self._queue.take(event)

    def _start(self, start: Start) -> None:
        if self._started:
            return
        self._started = True
        self._said_usage = self._usage or Usage()
        usage = {**usage_fields(self._said_usage), **cache_split(self._said_usage), **tier_field(start.service_tier)}
        head = message_head(start.id, self._context)
        message = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        self._write("message_start", {"message": message})

    def _end(self) -> None:
        self._over = True
        if self._finish is None:
            self.error = broken_stream("it ended without saying why")
            self._out.append(error_event(self.error))
            return
        self._start(Start())
        self._queue.finish()
        delta = ending_of(self._finish.reason, self._finish.stop_sequence, self._refused)
        self._write("message_delta", {"delta": delta, "usage": self._final_usage()})
        self._out.append(_STOP)

    def _final_usage(self) -> JsonObject:
        """Cumulative, input side included: message_start may have gone out before the provider said anything of it."""
        usage = self._usage or Usage()
        fields = usage_fields(usage)
        if usage.cache_write_1h and self._said_usage is not None and usage.cache_write_1h != self._said_usage.cache_write_1h:
            fields.update(cache_split(usage))
        return fields

    def _write(self, name: str, fields: JsonObject) -> None:
        self._out.append(sse.encode(dumps({"type": name, **fields}), name))


class _Turns:
    """Lets one block speak at a time. A tool call keeps the floor until it is stopped; text and thinking give way, since
    what they go on to say can stand in a block of its own."""

    def __init__(self, blocks: BlockStream) -> None:
        self._blocks = blocks
        self._waiting: dict[int, list[BlockEvent]] = {}

    def take(self, event: BlockEvent) -> None:
        speaker = self._blocks.speaker
        if speaker is not None and speaker != event.index and self._blocks.holds_the_floor:
            self._waiting.setdefault(event.index, []).append(event)
            return
        self._blocks.write(event)
        while self._blocks.speaker is None and self._waiting:
            index = next(iter(self._waiting))
            for waiting in self._waiting.pop(index):
                self._blocks.write(waiting)

    def finish(self) -> None:
        for events in self._waiting.values():
            self._blocks.close()
            for event in events:
                self._blocks.write(event)
        self._waiting.clear()
        self._blocks.close()
