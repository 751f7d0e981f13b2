"""Sending a stream of events: whole events as they come, and a comment whenever there was nothing to send for a while."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from pllm.edge.http import Headers, Send, start_message
from pllm.wire.sse import KEEP_ALIVE

KEEP_ALIVE_S = 15.0


async def send_pieces(send: Send, headers: Headers, pieces: AsyncGenerator[bytes]) -> None:
    """Sends whole events as they come, and a comment whenever nothing was sent for KEEP_ALIVE_S. Raises what `send` raises, at
    once even while there is nothing to send: a client that left during a silence is found by the comment."""
    await send(start_message(200, headers))
    voice = _Voice(send)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                await voice.say(piece)
    except asyncio.CancelledError:
        if voice.failure is None or voice.consumer.uncancel():
            raise
        raise voice.failure from None
    finally:
        await voice.end()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Voice:
    """Says one thing at a time: a client that reads slowly keeps a send waiting, and a comment that was sent meanwhile would
    land in the middle of an event. `failure`: what a comment failed with while its `consumer` waited for the next piece; the
    consumer is cancelled then."""

    def __init__(self, send: Send) -> None:
        consumer = asyncio.current_task()
        assert consumer is not None
        self.consumer = consumer
        self.failure: BaseException | None = None
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._last_s = self._loop.time()
        self._saying = False
        self._comment: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(KEEP_ALIVE_S, self._beat)

    async def say(self, piece: bytes) -> None:
        self._saying = True
        if self._comment is not None:
            comment, self._comment = self._comment, None
            await comment
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        self._last_s = self._loop.time()
        self._saying = False

    async def end(self) -> None:
        self._saying = True  # whoever waits below must not be cancelled for the comment that it waits for
        self._timer.cancel()
        if self._comment is not None:
            # A comment that cannot be sent means the client is gone; the stream's own send says so.
            with suppress(Exception):
                await self._comment

    def _beat(self) -> None:
        due_s = self._last_s + KEEP_ALIVE_S - self._loop.time()
        if due_s <= 0:
            due_s = KEEP_ALIVE_S
            if not self._saying and (self._comment is None or self._comment.done()):
                self._comment = asyncio.ensure_future(self._keep_alive())
                self._comment.add_done_callback(self._commented)
        self._timer = self._loop.call_later(due_s, self._beat)

    async def _keep_alive(self) -> None:
        await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
        self._last_s = self._loop.time()

    def _commented(self, comment: "asyncio.Task[None]") -> None:
        failure = None if comment.cancelled() else comment.exception()
        if failure is not None and not self._saying and comment is self._comment:
            self.failure = failure
            self.consumer.cancel()
