"""The pool of connections: not trusted after a freeze, and never taken from under an answer that is still coming."""

import asyncio

from tests.support.upstream import STREAM_HEAD, Hang, chunk, upstream, whole

from pllm.core.clock import ManualClock
from pllm.providers.base import HttpRequest, Timeouts
from pllm.providers.transport import AiohttpTransport

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
        async with asyncio.timeout(2.0):
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
