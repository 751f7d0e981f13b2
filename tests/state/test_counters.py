"""The fleet's counters: many environments, one sum; trouble may lose counts, never double them."""

from itertools import count

import pytest
from tests.support.faulty import Fault, FaultyStore
from tests.support.stores import store_of

from pllm.core.clock import ManualClock
from pllm.core.counters import Series
from pllm.core.histogram import bucket_of
from pllm.core.record import RequestRecord
from pllm.state.counters import Counters, read_counters
from pllm.state.memory import MemoryStore

DONE = Series("chat", "m", "d", "p", 200)


def request(**known: object) -> RequestRecord:
    record = RequestRecord("r", "chat", 0.0, model="m", deployment="d", provider="p", status=200, ended_s=1.0, attempts=1)
    for name, value in known.items():
        setattr(record, name, value)
    return record


@pytest.mark.parametrize("kind", ["memory", "moto"])
async def test_environments_add_up_and_a_new_one_begins_where_they_ended(kind: str) -> None:
    clock, numbers = ManualClock(), count()
    async with store_of(kind) as store:
        for _ in range(20):
            environment = Counters(store, clock, lambda: f"e{next(numbers)}")
            environment.add(request(prompt_tokens=2))
            environment.add(request(prompt_tokens=3))
            await environment.flush()
        tally = (await read_counters(store))[DONE]
    assert (tally.requests, tally.prompt_tokens, tally.at_ms) == (40, 100, int(clock.wall_s() * 1000))
    assert tally.buckets == {bucket_of(1_000): 40}


async def test_no_partition_takes_the_whole_fleets_writes() -> None:
    store, numbers = MemoryStore(), count()
    for _ in range(20):
        environment = Counters(store, ManualClock(), lambda: f"e{next(numbers)}")
        environment.add(request())
        await environment.flush()
    assert len({pk for pk, _ in store.items}) > 4


async def test_nothing_is_written_before_it_is_time() -> None:
    store, clock = FaultyStore(MemoryStore()), ManualClock()
    counters = Counters(store, clock, lambda: "e")
    await counters.settle()
    for _ in range(30):
        counters.add(request())
        await counters.settle()
    assert store.calls == 0
    clock.advance(10)
    await counters.settle()
    assert store.calls == 1
    assert (await read_counters(store.inner))[DONE].requests == 30


async def test_many_series_do_not_wait() -> None:
    store = FaultyStore(MemoryStore())
    counters = Counters(store, ManualClock(), lambda: "e")
    for status in range(26):
        counters.add(request(status=200 + status))
    await counters.settle()
    assert store.calls == 26


async def test_what_certainly_did_not_arrive_is_sent_later_and_what_may_have_is_not() -> None:
    store, clock = FaultyStore(MemoryStore()), ManualClock()
    counters = Counters(store, clock, lambda: "e")
    store.faults = [Fault.THROTTLED, Fault.LOST_RESPONSE, Fault.NONE]
    counters.add(request())
    await counters.flush()
    counters.add(request())
    await counters.flush()
    await counters.flush()
    assert (await read_counters(store.inner))[DONE].requests == 2
    assert store.calls == 2


async def test_counts_that_may_not_wait_are_written_after_each_request() -> None:
    store = MemoryStore()
    counters = Counters(store, ManualClock(), lambda: "e", flush_s=0)
    for number in range(1, 4):
        counters.add(request())
        await counters.settle()
        assert (await read_counters(store))[DONE].requests == number
