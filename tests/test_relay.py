"""A stream's relay by itself: what it leaves behind when it is closed in the middle."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pllm.core.clock import ManualClock
from pllm.core.errors import broken_stream
from pllm.core.record import RequestRecord
from pllm.relay import LiveStream
from pllm.wire.openai_chat.relay import ChatRelay

_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'


@dataclass
class Response:
    """Says its pieces and then nothing more. `watched`: whether somebody still waits for it. `closed`: its connection."""

    pieces: tuple[bytes, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    watched: bool = False
    closed: bool = False

    async def chunks(self) -> AsyncGenerator[bytes]:
        self.watched = True
        try:
            for piece in self.pieces:
                yield piece
            await asyncio.Event().wait()
        finally:
            self.watched = False

    async def read(self) -> bytes:
        return b"".join(self.pieces)

    async def close(self) -> None:
        self.closed = True


@dataclass
class Breaking(Response):
    """Breaks off when it is told to."""

    breaks: asyncio.Event = field(default_factory=asyncio.Event)

    async def chunks(self) -> AsyncGenerator[bytes]:
        await self.breaks.wait()
        for piece in self.pieces:
            yield piece
        raise broken_stream("it was told to")


def _live(response: Response) -> LiveStream:
    relay = ChatRelay(usage_asked=False, usage_forced=False)
    return LiveStream(response, relay, RequestRecord("r", "chat", 0.0), ManualClock())


async def test_a_stream_that_its_client_left_is_not_watched_any_longer() -> None:
    response = Response((_EVENT, _EVENT))
    live = _live(response)
    await live.open(None)
    pieces = live.pieces()
    assert await anext(pieces) == _EVENT
    await pieces.aclose()
    await live.close()
    assert not response.watched


async def test_a_stream_that_is_given_up_before_its_first_event_is_not_watched_any_longer() -> None:
    response = Response(())
    live = _live(response)
    await live.open(0.0)
    await asyncio.sleep(0)
    assert response.watched
    await live.close()
    assert not response.watched


async def test_a_stream_that_breaks_when_nobody_is_left_to_be_told_leaves_no_error_behind() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, complaint: complaints.append(complaint))
    breaks = asyncio.Event()
    live = _live(Breaking((), breaks=breaks))
    await live.open(0.0)
    breaks.set()
    for _ in range(5):
        await asyncio.sleep(0)
    await live.close()
    del live
    gc.collect()
    assert complaints == []


async def test_a_close_that_is_cancelled_closes_the_connection_all_the_same() -> None:
    response = Response((b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',))
    live = _live(response)
    await live.open(None)
    assert live.whole
    closing = asyncio.create_task(live.close())
    for _ in range(3):  # until it waits for the rest of the stream
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert response.closed
    assert not response.watched
