"""When an environment reads what the fleet knows, and how old it may be."""

import pytest
from tests.state.health_world import START_S, Counting, admission, desk_of, opened
from tests.support.faulty import Fault, FaultyStore
from tests.support.fleet import DEP, fleet

from pllm.core.breaker import Admission
from pllm.core.clock import ManualClock


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S)


async def test_a_fresh_snapshot_is_not_asked_for_again(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    for _ in range(10):
        await a.look()
        clock.advance(0.3)
    assert store.queries == 1
    clock.advance(5)
    await a.look()
    assert store.queries == 2


async def test_an_aged_snapshot_is_used_while_the_next_one_comes(store: Counting, clock: ManualClock) -> None:
    a, b = fleet(store, [clock] * 2)
    await a.look()
    await opened(b)
    clock.advance(59)
    await a.health.refresh(wait=True)
    assert admission(a) is Admission.ALL, "the request does not wait"
    await a.health.settle()
    assert admission(a) is not Admission.ALL


async def test_after_a_thaw_a_choice_waits_for_the_truth(store: Counting, clock: ManualClock) -> None:
    a, b = fleet(store, [clock] * 2)
    await a.look()
    clock.advance(600)
    await opened(b)
    await a.health.refresh(wait=True)
    assert admission(a) is Admission.NONE


async def test_news_of_an_administrator_are_read_at_once_however_young_the_snapshot_is(
    store: Counting, clock: ManualClock
) -> None:
    (a,) = fleet(store, [clock])
    await a.look()
    await desk_of(store, clock).open(DEP, "ops")
    await a.health.refresh(wait=True)
    assert admission(a) is Admission.ALL
    await a.health.renew()
    assert (admission(a), store.queries) == (Admission.NONE, 2)


async def test_a_read_that_was_under_way_before_the_news_is_not_taken_for_them(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await a.health.refresh(wait=False)  # set out, and not asked yet
    await desk_of(store, clock).open(DEP, "ops")
    await a.health.renew()
    assert (admission(a), store.queries) == (Admission.NONE, 2)


async def test_news_that_cannot_be_read_leave_what_is_known(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(FaultyStore(store, always=Fault.THROTTLED), [clock])
    await a.health.renew()
    assert admission(a) is Admission.ALL


async def test_a_clock_that_jumps_back_does_not_freeze_the_snapshot(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await a.look()
    clock.advance(-3600)
    await a.look()
    assert store.queries == 2
