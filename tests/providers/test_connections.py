"""Kept connections: none is used that is dead or holds what nobody asked for, and no request is lost to one."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support.tls import contexts
from tests.support.upstream import Cut, Hang, Reset, Step, Upstream, chunk, upstream, whole

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import HttpRequest, Timeouts
from pllm.providers.transport import AiohttpTransport

STALE = whole(b"STALE", 408)


async def ask(transport: AiohttpTransport, url: str, body: bytes = b"x") -> bytes:
    answer = await transport.send(HttpRequest(f"{url}/", {}, body), Timeouts(first_byte_s=5.0, idle_s=5.0))
    try:
        return await answer.read()
    finally:
        await answer.close()


@asynccontextmanager
async def world(*scripts: tuple[Step, ...]) -> AsyncIterator[tuple[Upstream, AiohttpTransport]]:
    transport = AiohttpTransport(ManualClock(1_000.0))
    async with upstream() as up:
        for script in scripts:
            up.will(*script)
        try:
            yield up, transport
        finally:
            await transport.close()


@pytest.mark.parametrize("news", [b"", STALE], ids=["closed", "an answer to nothing"])
async def test_what_happened_to_a_connection_while_the_environment_was_frozen_is_seen_before_it_is_used(news: bytes) -> None:
    """The provider's side by hand: the loop must not run between what it does and the next request."""
    loop = asyncio.get_running_loop()
    transport = AiohttpTransport(ManualClock(1_000.0))
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for answer in (b"one", b"two"):
            asking = asyncio.create_task(ask(transport, url))
            connection, _ = await loop.sock_accept(listening)
            assert (await loop.sock_recv(connection, 9999)).startswith(b"POST / ")
            await loop.sock_sendall(connection, whole(answer))
            assert await asking == answer
            if news:
                connection.send(news)
            else:
                connection.close()
            accepted.append(connection)
        for connection in accepted:
            connection.close()
    await transport.close()


async def test_an_answer_to_nothing_is_not_taken_for_the_answer_to_the_next_request() -> None:
    said = asyncio.Event()
    async with world((whole(b"one"), Hang(said), STALE, Hang()), (whole(b"two"),)) as (up, transport):
        assert await ask(transport, up.base_url) == b"one"
        said.set()
        await asyncio.sleep(0.02)
        assert await ask(transport, up.base_url) == b"two"
        assert up.connections == 2


async def test_a_second_answer_behind_the_first_is_nobodys() -> None:
    async with world((whole(b"one") + STALE,)) as (up, transport):
        assert [await ask(transport, up.base_url) for _ in range(2)] == [b"one", b"one"]
        assert up.connections == 2


async def test_a_request_whose_answer_was_given_up_leaves_nothing_for_the_next() -> None:
    script = (b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf", Hang())
    async with world(script, (whole(b"two"),)) as (up, transport):
        asking = asyncio.create_task(ask(transport, up.base_url))
        await up.asked.wait()
        await asyncio.sleep(0.01)
        asking.cancel()
        assert await ask(transport, up.base_url) == b"two"
        await asyncio.wait_for(up.hung_up.wait(), 5)
        assert up.connections == 2


async def test_an_answer_that_is_too_large_leaves_nothing_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.providers.transport.MAX_ANSWER_BYTES", 1_000_000)
    async with world((whole(b"l" * 3_000_000),), (whole(b"two"),)) as (up, transport):
        with pytest.raises(GatewayError, match="larger than 1000000 bytes"):
            await ask(transport, up.base_url)
        assert await ask(transport, up.base_url) == b"two"
        assert up.connections == 2


@pytest.mark.parametrize("end", [Cut(), Reset()], ids=["closed", "reset"])
async def test_a_request_that_a_dying_connection_took_along_is_sent_again(end: Step) -> None:
    async with world((whole(b"one"),), (end,), (whole(b"two"),)) as (up, transport):
        assert await ask(transport, up.base_url) == b"one"
        assert await ask(transport, up.base_url, b"b" * 1_000_000) == b"two"
        assert [len(request.body) for request in up.requests] == [1, 1_000_000, 1_000_000]


@pytest.mark.parametrize("end", [Cut(), Reset()], ids=["closed", "reset"])
async def test_a_new_connection_without_an_answer_is_the_providers_failure(end: Step) -> None:
    async with world((end,), (whole(b"two"),)) as (up, transport):
        with pytest.raises(GatewayError, match="closed the connection without an answer") as caught:
            await ask(transport, up.base_url)
        assert caught.value.kind is ErrorKind.UPSTREAM_UNREACHABLE
        assert len(up.requests) == 1


async def test_a_request_that_was_worked_on_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.providers.connections._STALE_WITHIN_S", 0.0)
    async with world((whole(b"one"),), (Cut(),), (whole(b"three"),)) as (up, transport):
        assert await ask(transport, up.base_url) == b"one"
        with pytest.raises(GatewayError, match="without an answer"):
            await ask(transport, up.base_url)
        assert len(up.requests) == 2


async def test_a_request_whose_answer_had_begun_is_not_sent_again() -> None:
    async with world((whole(b"one"),), (b"HTTP/1.1 200 O", Cut()), (whole(b"three"),)) as (up, transport):
        assert await ask(transport, up.base_url) == b"one"
        with pytest.raises(GatewayError, match="without an answer"):
            await ask(transport, up.base_url)
        assert len(up.requests) == 2


async def test_tls_connections_are_kept() -> None:
    """What a server says of its own accord, session tickets, must not look like news."""
    server, trusting = contexts("localhost")
    transport = AiohttpTransport(ManualClock(1_000.0), verify=trusting)
    async with upstream(server) as up:
        up.will(whole(b"one"))
        url = up.base_url.replace("127.0.0.1", "localhost")
        assert [await ask(transport, url) for _ in range(3)] == [b"one"] * 3
        assert up.connections == 1
        await transport.close()


async def test_a_kept_connection_that_breaks_unused_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    said = asyncio.Event()
    async with world((chunked(b"one"), Hang(said), Reset())) as (up, transport):
        assert await ask(transport, up.base_url) == b"one"
        said.set()
        await asyncio.sleep(0.02)
        up.will(whole(b"two"))
        up.scripts.pop(0)
        assert await ask(transport, up.base_url) == b"two"
    assert not caplog.records


def chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n"
