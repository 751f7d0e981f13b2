"""Breakers and latencies while the table is out of reach, and what is told when it is back."""

import asyncio

import pytest
from tests.state.health_world import FAILURE, START_S, Counting, admission, opened, state
from tests.support.faulty import Fault
from tests.support.fleet import DEP, fleet

from pllm.core.breaker import Admission, Circuit
from pllm.core.clock import ManualClock
from pllm.state.breakers import partition, read_minute


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S)


async def test_without_the_table_the_same_machine_runs_here_alone(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await a.look()
    a.faulty.always = Fault.THROTTLED
    await opened(a)
    assert a.health.degraded
    assert store.writes == 0
    clock.advance(30)
    probe = await a.health.claim(DEP, 10)
    assert probe is not None
    assert probe.local
    assert await a.health.claim(DEP, 10) is None
    await a.request(FAILURE, probe)
    assert a.health.view([DEP])[DEP].opens_in_ms == 60_000
    clock.advance(60)
    await a.request(probe=await a.health.claim(DEP, 10))
    assert admission(a) is Admission.ALL


async def test_what_could_not_be_told_is_told_later(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    a.faulty.always = Fault.THROTTLED
    for _ in range(2):
        await a.request(FAILURE)
    await a.request()
    a.faulty.always = Fault.NONE
    clock.advance(3.1)
    await a.request(FAILURE)
    sums = read_minute((await store.query(partition("main")))[0])
    assert (sums.ok, sums.failed) == (1, 3)
    assert await state(a) is Circuit.OPEN
    assert not a.health.degraded


async def test_numbers_that_may_have_arrived_are_not_sent_twice(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    a.faulty.faults = [Fault.LOST_RESPONSE]
    await a.request(FAILURE)
    await a.request(FAILURE)
    assert read_minute((await store.query(partition("main")))[0]).failed == 2


async def test_a_verdict_that_was_lost_is_told_again(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await opened(a)
    clock.advance(30)
    probe = await a.health.claim(DEP, 600)
    a.faulty.faults = [Fault.LOST_REQUEST]
    a.health.observe(DEP, probe).succeeded(10)
    await asyncio.sleep(0)
    assert admission(a) is Admission.ALL
    await a.health.settle()
    assert await state(a) is Circuit.CLOSED


async def test_a_claim_whose_answer_was_lost_is_not_used_but_taken_up_by_the_next_request(
    store: Counting, clock: ManualClock
) -> None:
    (a,) = fleet(store, [clock])
    await opened(a)
    clock.advance(30)
    a.faulty.faults = [Fault.LOST_RESPONSE]
    assert await a.health.claim(DEP, 600) is None
    assert await state(a) is Circuit.HALF_OPEN
    assert await a.health.claim(DEP, 600) is not None


@pytest.mark.parametrize(("after_s", "told"), [(7, Admission.NONE), (31, Admission.ALL)])
async def test_a_trip_decided_alone_is_told_when_the_table_is_back_unless_it_is_over(
    store: Counting, clock: ManualClock, after_s: float, told: Admission
) -> None:
    a, b = fleet(store, [clock] * 2)
    a.faulty.always = Fault.LOST_REQUEST
    await opened(a)
    a.faulty.always = Fault.NONE
    clock.advance(after_s)
    await a.look()
    await b.look()
    assert admission(a) is admission(b) is told


async def test_a_slow_read_does_not_undo_what_a_write_has_just_answered(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    before = dict(store.items)
    await opened(a)
    now, store.items = store.items, before  # an eventually consistent read of a moment ago
    await a.look()
    assert admission(a) is Admission.NONE
    store.items = now
