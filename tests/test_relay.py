"""A stream's relay by itself: what it leaves behind when it is closed in the middle."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from pllm.core.clock import ManualClock
from pllm.core.record import RequestRecord
from pllm.relay import LiveStream
from pllm.wire.openai_chat.relay import ChatRelay

_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'


@dataclass
class Response:
    """Says its pieces and then nothing more. `watched`: whether somebody still waits for it."""

    pieces: tuple[bytes, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    watched: bool = False

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
        """There is no connection."""


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
