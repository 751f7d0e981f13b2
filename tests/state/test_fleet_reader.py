"""The fleet as the table has it: what health, counters and ledgers wrote, and nothing older than the window."""

import pytest
from tests.support.faulty import Fault, FaultyStore
from tests.support.stores import store_of

from pllm.core.breaker import Circuit
from pllm.core.breaker_moves import force_open
from pllm.core.clock import ManualClock
from pllm.core.fleet import WINDOW_MINUTES
from pllm.core.health import Sums
from pllm.core.sketch import sketch_of
from pllm.core.usage_rows import Account, Amounts
from pllm.state.breakers import add_minute, move_breaker
from pllm.state.fleet_reader import FleetReader
from pllm.state.memory import MemoryStore
from pllm.state.store import StateError
from pllm.state.usage import Ledger

DEP = "m@openai/x#1"


@pytest.mark.parametrize("kind", ["memory", "moto"])
async def test_it_reads_what_was_written_within_the_window(kind: str) -> None:
    clock = ManualClock()
    minute = int(clock.wall_s()) // 60
    async with store_of(kind) as store:
        for back in (0, WINDOW_MINUTES - 1, WINDOW_MINUTES):
            await store.update(add_minute("main", minute - back, DEP, Sums(ok=1, latencies=1, latency_ms=70)))
        fleet = await FleetReader(store, clock).read()
    assert fleet.window(DEP) == Sums(ok=2, latencies=2, latency_ms=140)
    assert fleet.this_minute(DEP).ok == 1
    assert fleet.window_start_s == (minute - WINDOW_MINUTES + 1) * 60
    assert fleet.usable(DEP)


async def test_a_breaker_is_seen_whatever_its_age() -> None:
    store, clock = MemoryStore(), ManualClock()
    await store.update(move_breaker("main", DEP, force_open(0, int(clock.wall_s() * 1000))))
    clock.advance(3600)
    fleet = await FleetReader(store, clock).read()
    assert fleet.breaker(DEP).state is Circuit.OPEN
    assert not fleet.usable(DEP)


async def test_callers_and_answers_are_of_the_window_and_counted_once() -> None:
    store, clock = MemoryStore(), ManualClock()
    for name in ("a", "b"):
        ledger = Ledger(store, clock, lambda name=name: name, lambda line: None)  # type: ignore[misc]
        for key in ("k1", "k2"):
            ledger.count(Account(key, "m", DEP), Amounts(requests=1, latencies=sketch_of(70)))
        await ledger.flush()
    fleet = await FleetReader(store, clock).read()
    assert fleet.active_users == 2
    assert fleet.answers == {DEP: Amounts(requests=4, latencies=sketch_of(70, 70, 70, 70))}
    clock.advance(WINDOW_MINUTES * 60)
    fleet = await FleetReader(store, clock).read()
    assert (fleet.active_users, fleet.answers) == (0, {})


async def test_a_table_that_cannot_be_asked_is_said_so() -> None:
    with pytest.raises(StateError):
        await FleetReader(FaultyStore(MemoryStore(), always=Fault.THROTTLED), ManualClock()).read()
