"""A second attempt beside a silent first one: who is asked, who answers, and what is held and given back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from tests.support.gateway import Harness, gateway
from tests.support.pair import answer, delta, two, who
from tests.support.upstream import Hang, Upstream, event, upstream, whole

from pllm.admission import Admissions
from pllm.core.clock import ManualClock
from pllm.core.limits import GateLimits, Reservation
from pllm.state.gate import Gates
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Refused, Update


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_first_attempt_gets_a_second_beside_it_and_the_loser_is_cancelled(stream: bool) -> None:
    async with upstream() as slow, upstream() as fast, gateway(two(slow, fast), hedge_after_s=0.02) as gw:
        slow.will(Hang())
        fast.will_stream(delta("x"), delta(finish="stop"), event("[DONE]")) if stream else fast.will_answer(answer("ok"))
        response = await gw.chat(stream=stream)
        assert response.headers["x-pllm-deployment"] == "m/good"
        await asyncio.wait_for(slow.hung_up.wait(), 5)
        line = gw.log()
        assert (line["deployment"], line["attempts"], line["failed_attempts"]) == ("m/good", 2, ["m/bad: slower"])
        assert line.get("estimated", False) is stream  # this stream tells no usage
        view = gw.health.view(["m/bad", "m/good"])
        assert (view["m/bad"].requests, view["m/good"].requests) == (0, 1)
        assert (view["m/bad"].latency_ms or 0) >= 20


@pytest.mark.parametrize("way", [{"hedge_after_s": 0.5}, {"attempt_timeout_s": 0.5}], ids=["hedged", "timed out"])
async def test_the_silence_of_an_attempt_that_gave_no_answer_is_the_upstreams_time_and_no_overhead(
    way: dict[str, Any],
) -> None:
    async with upstream() as slow, upstream() as fast, gateway(two(slow, fast), **way) as gw:
        slow.will(Hang())
        fast.will_answer(answer("ok"))
        response = await gw.chat()
        assert response.headers["x-pllm-deployment"] == "m/good"
        line = gw.log()
        assert line["latency_ms"] - line["overhead_ms"] >= 490


async def test_a_first_attempt_that_is_quick_enough_is_alone() -> None:
    async with upstream() as first, upstream() as second, gateway(two(first, second), hedge_after_s=5) as gw:
        first.will_answer(answer("ok"))
        assert await who(gw) == "m/bad"
        assert second.requests == []


async def test_a_hedge_that_fails_leaves_the_first_to_answer() -> None:
    released = asyncio.Event()
    async with upstream() as slow, upstream() as bad, gateway(two(slow, bad), hedge_after_s=0.02) as gw:
        body = json.dumps(answer("late")).encode()
        slow.will(Hang(released), whole(body, content_type="application/json"))
        bad.will(whole(b"", 500))
        asking = asyncio.create_task(gw.chat())
        await bad.asked.wait()
        released.set()
        response = await asking
        assert response.headers["x-pllm-deployment"] == "m/bad"
        assert gw.log()["failed_attempts"] == ["m/good: upstream_error"]


async def test_when_both_fail_the_client_hears_of_it_once() -> None:
    released = asyncio.Event()
    async with upstream() as slow, upstream() as bad, gateway(two(slow, bad), hedge_after_s=0.02) as gw:
        slow.will(Hang(released), whole(b"", 502))
        bad.will(whole(b"", 500))
        asking = asyncio.create_task(gw.chat())
        await bad.asked.wait()
        released.set()
        assert (await asking).status_code == 502
        assert sorted(gw.log()["failed_attempts"]) == ["m/bad: upstream_error", "m/good: upstream_error"]


async def test_a_client_that_leaves_takes_both_attempts_with_it() -> None:
    async with upstream() as slow, upstream() as other, gateway(two(slow, other), hedge_after_s=0.01) as gw:
        slow.will(Hang())
        other.will(Hang())
        asking = asyncio.create_task(gw.chat())
        await other.asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(asyncio.gather(slow.hung_up.wait(), other.hung_up.wait()), 5)


class SlowTable(MemoryStore):
    """Holds back the answers about gates whose name has `slow` in it. `given_back` is set when a permit was."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = "nobody"
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.given_back = asyncio.Event()

    async def update(self, update: Update) -> Applied | Refused:
        if self.slow in update.pk:
            self.asked.set()
            await self.go.wait()
        if update.add.get("r", 0) > 0:
            self.given_back.set()
        return await super().update(update)


@dataclass
class Gated:
    """A first deployment that is not limited, and a second one that is, with the gateway in front of them."""

    first: Upstream
    second: Upstream
    table: SlowTable
    gates: Gates
    gw: Harness

    async def taken(self) -> int:
        image = await self.gates.look(GateLimits("dep/m/good"))
        return 0 if image is None or image.requests_limit is None else image.requests_limit - image.requests_left

    def ask_first(self, then: bytes) -> "tuple[asyncio.Task[Any], asyncio.Event]":
        """A question, and what makes its first upstream answer."""
        released = asyncio.Event()
        self.first.will(Hang(released), then)
        return asyncio.create_task(self.gw.chat()), released


@asynccontextmanager
async def gated(rpm: int) -> AsyncIterator[Gated]:
    table = SlowTable()
    gates = Gates(table, ManualClock(), Random(1))
    async with upstream() as first, upstream() as second:
        one, other = two(first, second)
        options: dict[str, Any] = {"hedge_after_s": 0.02, "admissions": Admissions(lambda: gates)}
        async with gateway([one, replace(other, rpm=rpm)], **options) as gw:
            yield Gated(first, second, table, gates, gw)


LATE = whole(json.dumps(answer("late")).encode(), content_type="application/json")


async def test_a_hedge_goes_to_a_limited_deployment_that_has_room_and_counts_there() -> None:
    async with gated(rpm=2) as here:
        here.first.will(Hang())
        here.second.will_answer(answer("ok"))
        assert [await who(here.gw) for _ in range(2)] == ["m/good", "m/good"]
        assert await here.taken() == 2


async def test_a_hedge_does_not_go_where_there_is_no_room() -> None:
    async with gated(rpm=1) as here:
        others = Gates(here.table, ManualClock(), Random(2))
        await others.admit([GateLimits("dep/m/good", rpm=1)], Reservation(1, 0))
        here.table.go.set()
        here.table.slow = "m/good"
        asking, released = here.ask_first(LATE)
        await here.table.asked.wait()
        released.set()
        assert (await asking).headers["x-pllm-deployment"] == "m/bad"
        assert here.second.requests == []
        assert await here.taken() == 1


async def test_the_first_attempt_does_not_wait_for_the_gate_of_the_second_which_then_holds_nothing() -> None:
    async with gated(rpm=5) as here:
        here.table.slow = "m/good"
        asking, released = here.ask_first(LATE)
        await here.table.asked.wait()
        released.set()
        response = await asyncio.wait_for(asking, 5)
        assert (response.headers["x-pllm-deployment"], here.gw.log()["attempts"]) == ("m/bad", 1)
        here.table.go.set()
        await asyncio.wait_for(here.table.given_back.wait(), 5)
        assert await here.taken() == 0
        assert here.second.requests == []


async def test_a_first_attempt_that_fails_meanwhile_is_followed_by_the_second() -> None:
    async with gated(rpm=5) as here:
        here.table.slow = "m/good"
        here.second.will_answer(answer("ok"))
        asking, released = here.ask_first(whole(b"", 500))
        await here.table.asked.wait()
        released.set()
        await asyncio.wait({asking}, timeout=0.1)
        here.table.go.set()
        assert (await asyncio.wait_for(asking, 5)).headers["x-pllm-deployment"] == "m/good"
        await asyncio.wait_for(here.table.given_back.wait(), 5)
        assert await here.taken() == 1


async def test_when_the_second_fails_last_it_is_the_one_that_the_request_ended_with() -> None:
    released = asyncio.Event()
    async with upstream() as slow, upstream() as bad, gateway(two(slow, bad), hedge_after_s=0.02, retries=0) as gw:
        slow.will(Hang(released), whole(b"", 502))
        bad.will(Hang(then := asyncio.Event()), whole(b"", 500))
        asking = asyncio.create_task(gw.chat())
        await bad.asked.wait()
        released.set()
        for _ in range(1_000_000):
            if gw.health.view(["m/bad"])["m/bad"].error_ratio:
                break
            await asyncio.sleep(0)
        then.set()
        assert (await asking).status_code >= 500
        line = gw.log()
        assert line["failed_attempts"] == ["m/bad: upstream_error", "m/good: upstream_error"]
        assert line["deployment"] == "m/good"


async def test_an_answer_that_overtakes_the_second_says_nothing_of_how_fast_that_is() -> None:
    released = asyncio.Event()
    async with upstream() as slow, upstream() as other, gateway(two(slow, other), hedge_after_s=0.05) as gw:
        slow.will(Hang(released), LATE)
        other.will(Hang())
        asking = asyncio.create_task(gw.chat())
        await other.asked.wait()
        released.set()
        assert (await asking).headers["x-pllm-deployment"] == "m/bad"
        assert gw.log()["failed_attempts"] == ["m/good: slower"]
        assert gw.health.view(["m/good"])["m/good"].latency_ms is None


@pytest.mark.parametrize("hedge_after_s", [None, 5])
async def test_what_is_refused_before_anything_was_sent_is_no_attempt(hedge_after_s: float | None) -> None:
    gates = Gates(MemoryStore(), ManualClock(), Random(1))
    options: dict[str, Any] = {"hedge_after_s": hedge_after_s, "admissions": Admissions(lambda: gates)}
    async with upstream() as first, upstream() as second:
        places = [replace(one, dialects=("messages",), provider="anthropic", rpm=5) for one in two(first, second)]
        async with gateway(places, **options) as gw:
            assert (await gw.chat(messages="none")).status_code == 400
            assert (gw.log()["attempts"], first.requests, second.requests) == (0, [], [])
            image = await gates.look(GateLimits("dep/m/bad"))
            assert image is not None
            assert image.requests_left == 5


async def test_a_client_that_leaves_at_any_moment_leaves_nobody_in_flight() -> None:
    async with upstream() as first, upstream() as second, gateway(two(first, second), hedge_after_s=5) as gw:
        for steps in range(40):
            first.will(Hang())
            asking = asyncio.create_task(gw.chat())
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert gw.health.view(["m/bad"])["m/bad"].in_flight == 0, steps
