"""The pool of connections: not trusted after a freeze, never taken from under an answer that is still coming. And how a body
ends: nothing that arrived is lost, and silence is the provider's only while we listen."""

import asyncio
import gc
import gzip
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.upstream import STREAM_HEAD, Cut, Hang, Reset, Step, chunk, upstream, whole

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import HttpRequest, Timeouts, UpstreamResponse
from pllm.providers.transport import AiohttpTransport

Leap = Callable[[float], Awaitable[None]]

_TIMEOUTS = Timeouts(first_byte_s=5.0, idle_s=5.0)


async def test_a_request_after_a_long_silence_leaves_the_stream_beside_it_alone() -> None:
    clock = ManualClock(1_000.0)
    transport = AiohttpTransport(clock)
    released = asyncio.Event()
    async with upstream() as provider:
        provider.will(STREAM_HEAD, chunk(b"one"), Hang(released), chunk(b"two"), b"0\r\n\r\n")
        provider.will(whole(b"beside"))
        stream = await transport.send(HttpRequest(f"{provider.base_url}/a", {}, b"x"), _TIMEOUTS)
        chunks = stream.chunks()
        assert await anext(chunks) == b"one"
        clock.advance(60.0)
        beside = await transport.send(HttpRequest(f"{provider.base_url}/b", {}, b"x"), _TIMEOUTS)
        assert await beside.read() == b"beside"
        await beside.close()
        released.set()
        async with asyncio.timeout(20.0):
            assert [piece async for piece in chunks] == [b"two"]
        await stream.close()
        await transport.close()


async def test_connections_that_were_idle_for_long_are_not_used_again() -> None:
    clock = ManualClock(1_000.0)
    transport = AiohttpTransport(clock)
    async with upstream() as provider:
        provider.will(whole(b"one"), Hang())
        provider.will(whole(b"two"))
        for expected in (b"one", b"two"):
            answer = await transport.send(HttpRequest(f"{provider.base_url}/", {}, b"x"), _TIMEOUTS)
            assert await answer.read() == expected
            await answer.close()
            clock.advance(60.0)
        await provider.hung_up.wait()
        await transport.close()


async def test_what_had_arrived_before_a_break_is_read_before_it_is_told() -> None:
    released = asyncio.Event()
    async with answered(chunk(b"one"), Hang(released), chunk(b"two"), Cut()) as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        released.set()
        await _known_to_be_over(answer)
        assert await anext(chunks) == b"two"
        with pytest.raises(GatewayError, match="closed before the answer was complete"):
            await anext(chunks)


async def test_a_reader_that_takes_its_time_is_no_silence_of_the_provider(leap: Leap) -> None:
    async with answered(chunk(b"one"), Hang(released := asyncio.Event()), chunk(b"two"), b"0\r\n\r\n") as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        await leap(3 * _TIMEOUTS.idle_s)
        released.set()
        assert [piece async for piece in chunks] == [b"two"]


async def test_a_provider_that_is_silent_after_a_slow_reader_is_found_out(leap: Leap) -> None:
    async with answered(chunk(b"one"), Hang()) as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        await leap(3 * _TIMEOUTS.idle_s)
        waiting = asyncio.ensure_future(anext(chunks))
        await leap(0.0)  # from here on somebody listens
        await leap(0.9 * _TIMEOUTS.idle_s)
        assert not waiting.done()
        await leap(0.2 * _TIMEOUTS.idle_s)
        with pytest.raises(GatewayError, match="sent nothing for 5 s"):
            await waiting


@pytest.mark.parametrize("reads_slowly", [False, True], ids=["reading", "reading slowly"])
async def test_chunks_that_are_none_break_an_answer_at_once(reads_slowly: bool) -> None:
    released = asyncio.Event()
    async with answered(chunk(b"one"), Hang(released), b"no size\r\nand so on", Hang()) as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        released.set()
        if reads_slowly:
            await asyncio.sleep(0.02)
        with pytest.raises(GatewayError) as caught:
            await anext(chunks)
        assert caught.value.kind is ErrorKind.STREAM_BROKEN


@pytest.mark.parametrize(("end", "error"), [(Cut(), None), (Reset(), "the connection was reset")], ids=["closed", "reset"])
async def test_a_body_without_a_length_is_whole_when_its_connection_is_closed_and_not_when_it_is_reset(
    end: Step, error: str | None
) -> None:
    released = asyncio.Event()
    async with answered(b"one", Hang(released), end, head=b"HTTP/1.1 200 OK\r\n\r\n") as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        released.set()
        if error is None:
            assert [piece async for piece in chunks] == []
        else:
            with pytest.raises(GatewayError, match=error):
                await anext(chunks)


GZIP_HEAD = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")


async def test_what_was_compressed_is_read_and_known_to_be_whole() -> None:
    packed = gzip.compress(b"one and two")
    async with answered(chunk(packed[:12]), chunk(packed[12:]), b"0\r\n\r\n", head=GZIP_HEAD) as answer:
        assert await answer.read() == b"one and two"
    async with answered(chunk(packed[:-9]), b"0\r\n\r\n", head=GZIP_HEAD) as answer:
        with pytest.raises(GatewayError, match="its gzip data ended early"):
            await answer.read()


@pytest.mark.parametrize(
    ("bytes_of_it", "why"),
    [
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP: Bad status line"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "does not speak HTTP: Transfer-Encoding can't",
        ),
    ],
)
async def test_what_is_no_http_is_called_so(bytes_of_it: bytes, why: str) -> None:
    with pytest.raises(GatewayError, match=why) as caught:
        async with answered(head=bytes_of_it):
            pass
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


@asynccontextmanager
async def answered(*steps: Step, head: bytes = STREAM_HEAD) -> AsyncIterator[UpstreamResponse]:
    """The answer to one request: `head`, then `steps`."""
    transport = AiohttpTransport(ManualClock(1_000.0))
    try:
        async with upstream() as provider:
            provider.will(head, *steps)
            answer = await transport.send(HttpRequest(f"{provider.base_url}/", {}, b"x"), _TIMEOUTS)
            try:
                yield answer
            finally:
                await answer.close()
    finally:
        await transport.close()


async def _known_to_be_over(answer: Any) -> None:
    """Until the client knows of the end, though nobody has read up to it."""
    async with asyncio.timeout(20.0):
        while answer._response.content.exception() is None:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0)


@pytest.fixture
async def leap(monkeypatch: pytest.MonkeyPatch) -> Leap:
    """Lets seconds pass for the timers of the loop, at once. No other time passes for them."""
    loop = asyncio.get_running_loop()
    start_s, ahead_s = loop.time(), 0.0

    async def leapt(seconds: float) -> None:
        nonlocal ahead_s
        ahead_s += seconds
        for _ in range(5):  # a timer that is due, what it wakes, and what that wakes
            await asyncio.sleep(0)

    monkeypatch.setattr(loop, "time", lambda: start_s + ahead_s)
    return leapt


async def test_of_a_burst_that_arrived_at_once_the_first_events_are_given_before_the_rest() -> None:
    transport = AiohttpTransport(ManualClock(1_000.0))
    burst = b"".join(b"data: %d\n\n" % number for number in range(5_000))
    async with upstream() as provider:
        provider.will(STREAM_HEAD + chunk(burst) + b"0\r\n\r\n")
        answer = await transport.send(HttpRequest(provider.base_url, {}, b"x"), _TIMEOUTS)
        pieces = [piece async for piece in answer.chunks()]
        assert b"".join(pieces) == burst
        assert len(pieces[0]) <= 4_096
        await answer.close()
        await transport.close()


@pytest.mark.parametrize("header", [{"authorization": "Bearer sk\n"}, {"x": "a\x00"}])
async def test_a_request_that_cannot_be_written_is_not_called_a_connection_that_the_provider_closed(
    header: dict[str, str],
) -> None:
    transport = AiohttpTransport(ManualClock(1_000.0))
    async with upstream() as provider:
        with pytest.raises(GatewayError, match=r"cannot be sent: its address, or a header \(a key\?\)") as raised:
            await transport.send(HttpRequest(provider.base_url, header, b"x"), _TIMEOUTS)
        assert raised.value.kind is ErrorKind.UPSTREAM_UNREACHABLE
        assert "sk" not in str(raised.value)
        assert provider.requests == []
    await transport.close()


@pytest.mark.parametrize("ended_by", ["silence", "us"])
async def test_nothing_is_kept_of_an_answer_that_was_ended_while_somebody_read_it(ended_by: str, leap: Leap) -> None:
    transport = AiohttpTransport(ManualClock(1_000.0))
    async with upstream() as provider:
        provider.will(STREAM_HEAD + chunk(b"one"), Hang())
        answer = await transport.send(HttpRequest(provider.base_url, {}, b"x"), _TIMEOUTS)
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        reading = asyncio.ensure_future(anext(chunks))
        await leap(0.0)
        await (leap(_TIMEOUTS.idle_s + 1) if ended_by == "silence" else answer.close())
        with pytest.raises(GatewayError):
            await reading
        await answer.close()
        kept = weakref.ref(answer)
        del answer, chunks, reading
        await asyncio.sleep(0)
        gc.collect()
        assert kept() is None
    await transport.close()
