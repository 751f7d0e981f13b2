"""The breaker on the table itself."""

from random import Random

import pytest
from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.state.guard import GuardedStore
from pllm.state.memory import MemoryStore
from pllm.state.store import StateError, Update

WRITE = Update("p", "s", add={"n": 1})


async def failure(store: GuardedStore) -> str:
    with pytest.raises(StateError) as error:
        await store.update(WRITE)
    return error.value.reason


async def test_after_three_failures_in_a_row_the_table_is_left_alone_for_about_two_seconds() -> None:
    clock, faulty = ManualClock(), FaultyStore(MemoryStore(), always=Fault.THROTTLED)
    store = GuardedStore(faulty, clock, Random(1))
    assert [await failure(store) for _ in range(5)] == ["throttled"] * 3 + ["quiet"] * 2
    assert store.degraded
    assert faulty.calls == 3
    clock.advance(0.9)
    assert await failure(store) == "quiet"
    clock.advance(2.2)
    assert [await failure(store) for _ in range(3)] == ["throttled", "quiet", "quiet"]


async def test_one_success_ends_it() -> None:
    clock, faulty = ManualClock(), FaultyStore(MemoryStore(), [Fault.THROTTLED] * 3)
    store = GuardedStore(faulty, clock, Random(1))
    for _ in range(3):
        await failure(store)
    clock.advance(3.1)
    await store.update(WRITE)
    assert not store.degraded
    assert await store.get("p", "s") == {"PK": "p", "SK": "s", "n": 1}
    assert len(await store.query("p")) == 1
    await store.delete("p", "s")


async def test_failures_that_are_not_in_a_row_are_tolerated() -> None:
    faulty = FaultyStore(MemoryStore(), [Fault.THROTTLED, Fault.THROTTLED, Fault.NONE, Fault.THROTTLED, Fault.THROTTLED])
    store = GuardedStore(faulty, ManualClock(), Random(1))
    await failure(store)
    await failure(store)
    await store.update(WRITE)
    await failure(store)
    await failure(store)
    assert not store.degraded


async def test_a_clock_that_jumps_back_does_not_silence_the_table_for_long() -> None:
    clock, faulty = ManualClock(), FaultyStore(MemoryStore(), [Fault.THROTTLED] * 3)
    store = GuardedStore(faulty, clock, Random(1))
    for _ in range(3):
        await failure(store)
    clock.advance(-3600)
    await store.update(WRITE)


async def test_a_conflict_is_an_answer_and_transactions_are_guarded_too() -> None:
    faulty = FaultyStore(MemoryStore(), [Fault.THROTTLED, Fault.THROTTLED, *[Fault.CONFLICT] * 5])
    store = GuardedStore(faulty, ManualClock(), Random(1))
    for reason in ["throttled"] * 2 + ["conflict"] * 5:
        with pytest.raises(StateError) as error:
            await store.transact((WRITE,), "t")
        assert error.value.reason == reason
    assert not store.degraded
    assert await store.transact((WRITE,), "t") is None
    assert await store.get("p", "s") == {"PK": "p", "SK": "s", "n": 1}


async def test_a_question_that_the_table_will_not_take_silences_nobody_else() -> None:
    faulty = FaultyStore(MemoryStore(), [Fault.INVALID] * 5)
    store = GuardedStore(faulty, ManualClock(), Random(1))
    assert [await failure(store) for _ in range(5)] == ["ValidationException"] * 5
    assert not store.degraded
    await store.update(WRITE)
