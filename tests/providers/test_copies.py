"""One request sent several times, over real connections."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

import pytest
from tests.support.gateway import RealClock
from tests.support.upstream import STREAM_HEAD, Cut, Hang, Upstream, chunk, upstream, whole

from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import HttpRequest, Timeouts, UpstreamResponse
from pllm.providers.copies import send_copies
from pllm.providers.transport import AiohttpTransport
from pllm.wire.frames import bodies, frames

TIMEOUTS = Timeouts(5, 5, 5)


async def send(up: Upstream, copies: int, timeouts: Timeouts = TIMEOUTS) -> tuple[AiohttpTransport, UpstreamResponse]:
    transport = AiohttpTransport(RealClock())
    try:
        return transport, await send_copies(transport, HttpRequest(up.base_url, {}, b"{}"), timeouts, copies)
    except BaseException:
        await transport.close()
        raise


async def test_one_copy_is_an_ordinary_call() -> None:
    async with upstream() as up:
        up.will(whole(b"plain"))
        transport, response = await send(up, 1)
        assert await response.read() == b"plain"
        await transport.close()


async def test_copies_are_sent_at_once_and_read_as_one_body() -> None:
    async with upstream() as up:
        for text in (b"a", b"b", b"c"):
            up.will(whole(text))
        transport, response = await send(up, 3)
        assert sorted(bodies(await response.read())) == [b"a", b"b", b"c"]
        assert len(up.requests) == 3
        await response.close()
        await transport.close()


async def test_streams_come_in_frames_each_with_its_end() -> None:
    async with upstream() as up:
        up.will(STREAM_HEAD, chunk(b"x"), chunk(b"y"), b"0\r\n\r\n")
        transport, response = await send(up, 2)
        got = [part async for piece in response.chunks() for part in frames(piece)]
        for branch in (0, 1):
            mine = [data for number, data in got if number == branch]
            assert (b"".join(mine), mine[-1]) == (b"xy", b"")
        await response.close()
        await transport.close()


class Buggy:
    """An answer that cannot even be read."""

    status = 200
    headers: Mapping[str, str] = {}

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield b""
        raise LookupError("a bug")

    async def read(self) -> bytes:
        return b""

    async def close(self) -> None:
        """There is no connection."""


class BuggyTransport:
    async def send(self, request: HttpRequest, timeouts: Timeouts) -> Buggy:
        return Buggy()


async def test_a_bug_in_reading_one_of_them_leaves_nobody_waiting() -> None:
    response = await send_copies(BuggyTransport(), HttpRequest("http://x", {}, b"{}"), TIMEOUTS, 2)
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(anext(response.chunks()), 5)
    assert caught.value.kind is ErrorKind.INTERNAL


async def test_one_error_is_the_answer_and_the_other_calls_are_let_go() -> None:
    async with upstream() as up:
        up.will(STREAM_HEAD, chunk(b"x"), Hang())
        up.will(whole(b"slow down", 429, retry_after="3"))
        transport, response = await send(up, 2)
        assert (response.status, response.headers["retry-after"], await response.read()) == (429, "3", b"slow down")
        await asyncio.wait_for(up.hung_up.wait(), 5)
        await response.close()
        await transport.close()


async def test_a_connection_that_fails_ends_all_and_leaves_none_running() -> None:
    async with upstream() as up:
        up.will(Cut())
        up.will(Hang())
        with pytest.raises(GatewayError) as caught:
            await send(up, 2)
        assert caught.value.kind is ErrorKind.UPSTREAM_UNREACHABLE


async def test_a_stream_that_breaks_breaks_the_whole() -> None:
    async with upstream() as up:
        up.will(STREAM_HEAD, chunk(b"x"), Hang())
        up.will(STREAM_HEAD, chunk(b"x"), Cut())
        transport, response = await send(up, 2)
        with pytest.raises(GatewayError) as caught:
            async for _ in response.chunks():
                pass
        assert caught.value.kind is ErrorKind.STREAM_BROKEN
        await response.close()
        await asyncio.wait_for(up.hung_up.wait(), 5)
        await transport.close()


async def test_silence_in_one_stream_is_noticed() -> None:
    async with upstream() as up:
        up.will(STREAM_HEAD, chunk(b"x"), Hang())
        transport, response = await send(up, 2, Timeouts(5, 5, 0.3))
        with pytest.raises(GatewayError) as caught:
            async for _ in response.chunks():
                pass
        assert caught.value.kind is ErrorKind.UPSTREAM_TIMEOUT
        await response.close()
        await transport.close()


async def test_closing_wakes_whoever_waits_for_more() -> None:
    async with upstream() as up:
        up.will(STREAM_HEAD, chunk(b"x"), Hang())
        transport, response = await send(up, 2)

        async def read() -> None:
            async for _ in response.chunks():
                pass

        reading = asyncio.create_task(read())
        await asyncio.wait_for(up.asked.wait(), 5)
        await response.close()
        with pytest.raises(GatewayError):
            await asyncio.wait_for(reading, 5)
        await transport.close()
