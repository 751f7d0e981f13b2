"""What the edge does between the events of a stream, and when its client goes or does not read."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from tests.support.gateway import KEY, Harness, RealClock, deployment, gateway
from tests.support.upstream import Hang, chunk, event, upstream

from pllm.admission import Admissions
from pllm.core.allowances import Allowances
from pllm.edge import event_stream
from pllm.edge.app import Gateway
from pllm.relay import LiveStream
from pllm.state.gate import Gates
from pllm.state.memory import MemoryStore

DELTA = event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
USAGE = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
LAST = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


@dataclass
class Context:
    """Lambda's, as far as it tells the time that is left."""

    remaining_s: float

    def get_remaining_time_in_millis(self) -> int:
        return int(self.remaining_s * 1000)


async def ask(
    gw: Harness,
    seen: "asyncio.Queue[dict[str, Any]]",
    body: dict[str, Any],
    gone: int = 10**9,
    reads: asyncio.Event | None = None,
    remaining_s: float | None = None,
) -> None:
    """One streamed chat straight at the ASGI application; every message goes to `seen`. From message `gone` on, the client
    is not there any more, or, with `reads`, takes it only once that is set."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [(b"authorization", f"Bearer {KEY}".encode())],
    }
    if remaining_s is not None:
        scope["aws.context"] = Context(remaining_s)
    count = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message: Any) -> None:
        nonlocal count
        count += 1
        if count > gone:
            if reads is None:
                raise OSError("the client is gone")
            await reads.wait()
        seen.put_nowait(message)

    await Gateway(gw.edge)(scope, receive, send)


BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}


async def test_a_silent_upstream_is_bridged_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.02)
    go_on = asyncio.Event()
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(go_on), *_rest()))
        seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        asking = asyncio.create_task(ask(gw, seen, BODY))
        comments = 0
        while comments < 3:
            message = await asyncio.wait_for(seen.get(), 5)
            comments += message.get("body") == b": keep-alive\n\n"
        go_on.set()
        await asking
        rest = b"".join(seen.get_nowait().get("body", b"") for _ in range(seen.qsize()))
        assert rest.endswith(b"data: [DONE]\n\n")


def _rest() -> tuple[bytes, ...]:
    return chunk(LAST), chunk(event("[DONE]")), b"0\r\n\r\n"


async def test_an_upstream_that_answers_200_and_then_says_nothing_gets_its_status_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.02)
    opened = LiveStream.open

    async def impatient(self: LiveStream, patience_s: float) -> None:
        await opened(self, 0.02)

    monkeypatch.setattr(LiveStream, "open", impatient)
    go_on = asyncio.Event()
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(end=(Hang(go_on), *_rest()))
        seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        asking = asyncio.create_task(ask(gw, seen, BODY))
        assert (await asyncio.wait_for(seen.get(), 5))["status"] == 200
        assert (await asyncio.wait_for(seen.get(), 5))["body"] == b": keep-alive\n\n"
        go_on.set()
        await asking
        rest = b"".join(seen.get_nowait().get("body", b"") for _ in range(seen.qsize()))
        assert rest.endswith(b"data: [DONE]\n\n")


async def test_when_the_client_goes_the_upstream_is_cancelled_and_the_request_accounted() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(),))
        await ask(gw, asyncio.Queue(), BODY, gone=1)
        await asyncio.wait_for(up.hung_up.wait(), 5)
        assert gw.log()["client_gone"] is True
        assert "error" not in gw.log()


async def test_a_client_that_goes_during_a_silence_is_found_by_the_next_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.02)
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(),))
        await asyncio.wait_for(ask(gw, asyncio.Queue(), BODY, gone=2), 5)
        await asyncio.wait_for(up.hung_up.wait(), 5)
        assert gw.log()["client_gone"] is True
        assert "error" not in gw.log()
        assert gw.log()["estimated"] is True


async def test_no_comment_is_sent_while_a_slow_client_still_takes_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.01)
    sending, most = 0, 0
    reads = asyncio.Event()

    async def slow(message: Any) -> None:
        nonlocal sending, most
        sending += 1
        most = max(most, sending)
        if message.get("body"):
            await reads.wait()
        sending -= 1

    async def pieces() -> AsyncGenerator[bytes]:
        yield DELTA
        yield LAST

    asyncio.get_running_loop().call_later(0.05, reads.set)
    await event_stream.send_pieces(slow, (), pieces())
    assert most == 1


async def test_an_event_waits_for_a_comment_that_a_slow_client_still_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.01)
    commented, reads = asyncio.Event(), asyncio.Event()
    taken: list[bytes] = []

    async def slow(message: Any) -> None:
        if message.get("body", b"").startswith(b":"):
            commented.set()
            await reads.wait()
        taken.append(message.get("body", b""))

    async def pieces() -> AsyncGenerator[bytes]:
        await commented.wait()
        asyncio.get_running_loop().call_later(0.03, reads.set)
        yield DELTA

    await event_stream.send_pieces(slow, (), pieces())
    assert taken == [b"", b": keep-alive\n\n", DELTA, b""]


async def test_a_comment_that_fails_when_the_stream_has_ended_is_nobodys_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.01)
    commented, leaves = asyncio.Event(), asyncio.Event()
    taken: list[bytes] = []

    async def send(message: Any) -> None:
        if message.get("body", b"").startswith(b":"):
            commented.set()
            await leaves.wait()
            raise OSError("the client is gone")
        taken.append(message.get("body", b""))

    async def pieces() -> AsyncGenerator[bytes]:
        yield DELTA
        await commented.wait()
        asyncio.get_running_loop().call_later(0.02, leaves.set)

    await event_stream.send_pieces(send, (), pieces())
    assert taken == [b"", DELTA, b""]


@pytest.mark.parametrize("whole", [True, False], ids=["with the whole answer waiting", "in the middle"])
async def test_a_client_that_reads_nothing_until_the_deadline_is_accounted_for(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pllm.edge.exchange._LAST_WORDS_S", 0.05)
    never = asyncio.Event()
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        if whole:
            up.will_stream(
                DELTA, LAST, event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}), event("[DONE]")
            )
        else:
            up.will_stream(DELTA, end=(Hang(),))
        await asyncio.wait_for(ask(gw, asyncio.Queue(), BODY, gone=1, reads=never, remaining_s=2.0), 5)
        assert gw.log()["client_gone"] is True
        assert gw.log()["completion_tokens"] > 0
        if not whole:
            await asyncio.wait_for(up.hung_up.wait(), 5)


@pytest.mark.parametrize("finished", [True, False], ids=["a finished answer", "an unfinished answer"])
@pytest.mark.parametrize("gone", range(3))
async def test_a_client_that_goes_at_any_moment_leaves_no_slot_taken(gone: int, finished: bool) -> None:
    gates = Gates(MemoryStore(), RealClock(), Random(1))
    taken = asyncio.Event()  # the first event is there: the next ones come in a piece of their own

    class Taking(asyncio.Queue[dict[str, Any]]):
        def put_nowait(self, message: dict[str, Any]) -> None:
            if message.get("body"):
                taken.set()

    async with upstream() as up:
        place = deployment(up.base_url, max_parallel=1)
        async with gateway([place], admissions=Admissions(lambda: gates, Allowances())) as gw:
            if finished:
                up.will_stream(DELTA, DELTA, LAST, USAGE, event("[DONE]"))
            else:
                up.will_stream(DELTA, end=(Hang(taken), chunk(DELTA), chunk(DELTA), Hang()))
            await asyncio.wait_for(ask(gw, Taking(), BODY, gone=gone), 5)
            taken.set()
            if not finished:
                await asyncio.wait_for(up.hung_up.wait(), 5)
            assert "error" not in gw.log()
            assert finished or gw.log()["client_gone"] is True
            assert gw.log()["completion_tokens"] > 0
            assert gw.health.view(["m/1"])["m/1"].in_flight < 1
            up.scripts.clear()
            up.will_stream(DELTA, LAST, event("[DONE]"))
            seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            await ask(gw, seen, BODY)
            assert (await seen.get())["status"] == 200


async def test_a_slow_client_is_not_laid_at_the_providers_door() -> None:
    """It takes its time for every event, longer than the provider may be silent."""
    async with upstream() as up, gateway([deployment(up.base_url, stream_idle_timeout_s=0.2)]) as gw:
        up.will_stream(DELTA, DELTA, DELTA, LAST, event("[DONE]"))
        taken: list[bytes] = []

        class Slow(asyncio.Queue[dict[str, Any]]):
            def put_nowait(self, message: dict[str, Any]) -> None:
                taken.append(message.get("body", b""))

        reads = asyncio.Event()
        asyncio.get_running_loop().call_later(0.5, reads.set)
        await asyncio.wait_for(ask(gw, Slow(), BODY, gone=1, reads=reads), 5)
        assert b"".join(taken).endswith(b"data: [DONE]\n\n")
        assert "error" not in gw.log()
        assert gw.health.view(["m/1"])["m/1"].error_ratio == 0
