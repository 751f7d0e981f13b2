"""The ledger of an environment: when it writes, and that what it wrote is neither lost nor counted twice."""

import asyncio
from typing import Any

from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.record import RequestRecord
from pllm.core.sketch import BUCKETS, Sketch, sketch_of
from pllm.core.usage_keys import floor_s, shard_of, spans
from pllm.core.usage_rows import Account, Amounts, total
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Refused, Update
from pllm.state.usage import LATEST_S, Ledger
from pllm.state.usage_table import Row, read_rows

ONE = Account("key1", "m", "m/1", "red", "2026-11-22")
REQUEST = Amounts(requests=1, prompt_tokens=10, cost_micro_usd=7)


class Setting:
    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.memory = MemoryStore()
        self.store = FaultyStore(self.memory)
        self.lines: list[dict[str, Any]] = []
        self.names = iter(f"{n:012x}" + "0" * 20 for n in range(100))
        self.ledger = self.environment(**options)

    def environment(self, **options: Any) -> Ledger:
        return Ledger(self.store, self.clock, lambda: next(self.names), self.lines.append, **options)

    async def rows(self) -> list[Row]:
        return await rows_of(self.memory, self.clock)


async def rows_of(store: MemoryStore, clock: ManualClock) -> list[Row]:
    now_s = floor_s("minute", clock.wall_s())
    found = [await read_rows(store, span) for span in spans("minute", now_s - 86_400, now_s + 60)]
    return [row for rows in found for row in rows]


def record(**changes: Any) -> RequestRecord:
    fields = {"model": "m", "principal": "key1", "deployment": "m/1", "team": "red", "ended_s": 0.25, "prompt_tokens": 10}
    made = RequestRecord("r", "chat", 0.0)
    for name, value in (fields | changes).items():
        setattr(made, name, value)
    return made


async def test_requests_of_a_minute_are_one_row_that_is_written_after_ten_seconds() -> None:
    here = Setting()
    for _ in range(3):
        here.ledger.add(record())
        here.clock.advance(3)
        await here.ledger.settle()
    assert (here.store.calls, here.ledger.unflushed.requests) == (0, 3)
    here.clock.advance(1)
    await here.ledger.settle()
    assert here.store.calls == 1
    [row] = await here.rows()
    assert row == (
        floor_s("minute", here.clock.wall_s()),
        Account("key1", "m", "m/1", "red"),
        Amounts(requests=3, prompt_tokens=30, latency_ms=750, latencies=sketch_of(250, 250, 250)),
    )
    assert here.ledger.unflushed == Amounts()
    await here.ledger.settle()
    assert here.store.calls == 1


async def test_a_row_is_an_item_as_the_design_has_it_and_expires_after_two_days() -> None:
    here = Setting(exact=True)
    here.clock.now_s = 1_795_356_180.0  # 2026-11-22 14:03:00 UTC
    here.ledger.count(ONE, REQUEST)
    await here.ledger.settle()
    name = f"{0:012x}"
    key = (f"U#m#20261122#{shard_of(name)}", "1403#key1#m#m/1#red#2026-11-22")
    expected = {"PK": key[0], "SK": key[1], "n": 1, "pt": 10, "us": 7, "exp": 1_795_356_180 + 48 * 3600, f"q{name}": 1}
    assert here.memory.items == {key: expected}


async def test_a_failed_request_is_told_at_once() -> None:
    here = Setting()
    here.ledger.add(record(error="upstream_error"))
    await here.ledger.settle()
    assert [row.amounts.errors for row in await here.rows()] == [1]


async def test_many_rows_are_written_at_once() -> None:
    here = Setting()
    for n in range(26):
        here.ledger.count(Account(f"key{n}", "m"), REQUEST)
        await here.ledger.settle()
        assert here.store.calls == (26 if n == 25 else 0)


async def test_exact_usage_is_written_after_each_request() -> None:
    here = Setting(exact=True)
    for n in (1, 2):
        here.ledger.add(record())
        await here.ledger.settle()
        assert [row.amounts.requests for row in await here.rows()] == [n]


async def test_a_clock_that_was_set_back_does_not_stop_the_writing() -> None:
    here = Setting()
    here.clock.advance(-3600)
    here.ledger.count(ONE, REQUEST)
    await here.ledger.settle()
    assert here.ledger.unflushed == Amounts()


async def test_a_request_for_no_model_makes_no_row() -> None:
    here = Setting(exact=True)
    here.ledger.add(record(model=""))
    await here.ledger.settle()
    assert here.store.calls == 0


async def test_a_table_that_is_out_of_reach_delays_the_rows_and_loses_none() -> None:
    here = Setting(exact=True)
    here.store.faults = [Fault.THROTTLED, Fault.LOST_REQUEST]
    for requests in (1, 2, 3):
        here.ledger.count(ONE, REQUEST)
        await here.ledger.settle()
        written = total(row.amounts for row in await here.rows())
        assert (written + here.ledger.unflushed).requests == requests
    assert here.ledger.unflushed == Amounts()
    assert here.lines == []


async def test_an_answer_that_was_lost_does_not_count_twice() -> None:
    here = Setting(exact=True)
    here.store.faults = [Fault.LOST_RESPONSE, Fault.LOST_RESPONSE]
    for _ in range(4):
        here.ledger.count(ONE, REQUEST)
        await here.ledger.settle()
    assert [row.amounts.requests for row in await here.rows()] == [4]


async def test_a_write_that_arrives_after_its_repetition_changes_nothing() -> None:
    here = Setting(exact=True)
    sent: list[Update] = []
    inner = here.store.inner.update

    async def noted(update: Update) -> Applied | Refused:
        sent.append(update)
        return await inner(update)

    here.memory.update = noted  # type: ignore[method-assign]
    for _ in range(3):
        here.ledger.count(ONE, REQUEST)
        await here.ledger.settle()
    for late in sent[:]:
        await noted(late)
    assert [row.amounts.requests for row in await here.rows()] == [3]


async def test_times_that_do_not_fit_into_one_write_go_with_the_next_ones_and_are_counted_once() -> None:
    here = Setting(exact=True)
    every = Sketch(dict.fromkeys(range(BUCKETS), 1))
    here.store.faults = [Fault.LOST_RESPONSE, Fault.NONE, Fault.LOST_REQUEST, Fault.THROTTLED]
    here.ledger.count(ONE, Amounts(requests=BUCKETS, latencies=every, firsts=every))
    for _ in range(4):
        await here.ledger.settle()
    assert here.ledger.unflushed == Amounts()
    assert [row.amounts for row in await here.rows()] == [Amounts(requests=BUCKETS, latencies=every, firsts=every)]


async def test_environments_of_a_shard_add_to_one_row() -> None:
    here = Setting(exact=True)
    others = [here.environment(exact=True) for _ in range(40)]
    for ledger in others:
        ledger.count(ONE, REQUEST)
    await asyncio.gather(*(ledger.settle() for ledger in others))
    rows = await here.rows()
    assert len(rows) == 8
    assert sum(row.amounts.requests for row in rows) == 40


async def test_an_environment_has_its_name_from_its_first_write_on() -> None:
    here = Setting(exact=True)
    assert next(here.names).startswith(f"{0:012x}")
    here.ledger.count(ONE, REQUEST)
    await here.ledger.settle()
    here.ledger.count(ONE, REQUEST)
    await here.ledger.settle()
    assert next(here.names).startswith(f"{2:012x}")


async def test_settling_twice_at_once_writes_once() -> None:
    here = Setting(exact=True)
    here.ledger.count(ONE, REQUEST)
    await asyncio.gather(here.ledger.settle(), here.ledger.settle(), here.ledger.flush())
    assert [row.amounts.requests for row in await here.rows()] == [1]


async def test_what_does_not_fit_is_dropped_oldest_first_and_said() -> None:
    here = Setting()
    here.store.always = Fault.THROTTLED
    for n in range(2_001):
        here.ledger.count(Account(f"key{n}", "m"), REQUEST)
        here.clock.advance(1)
    [line] = here.lines
    assert (line["level"], line["message"], line["rows"]) == ("ERROR", "usage dropped", 200)
    assert (line["requests"], line["prompt_tokens"], line["cost_micro_usd"]) == (200, 2000, 1400)
    assert line["since"] < line["until"]
    assert here.ledger.unflushed.requests == 1_801
    here.store.always = Fault.NONE
    await here.ledger.flush()
    assert {row.account.key for row in await here.rows()} == {f"key{n}" for n in range(200, 2_001)}


async def test_what_an_environment_tells_after_a_long_sleep_counts_when_it_is_told() -> None:
    here = Setting()
    here.ledger.count(ONE, REQUEST)
    here.clock.advance(LATEST_S + 120)
    await here.ledger.settle()
    [row] = await here.rows()
    assert (row.start_s, row.amounts) == (floor_s("minute", here.clock.wall_s()), REQUEST)


async def test_what_could_not_be_confirmed_for_hours_is_said_to_be_dropped() -> None:
    here = Setting(exact=True)
    here.store.always = Fault.LOST_REQUEST
    here.ledger.count(ONE, REQUEST)
    await here.ledger.settle()
    here.clock.advance(LATEST_S + 120)
    await here.ledger.settle()
    assert [(line["message"], line["requests"]) for line in here.lines] == [("usage dropped", 1)]
    assert here.ledger.unflushed == Amounts()


async def test_rows_that_may_not_wait_are_written_after_each_request() -> None:
    here = Setting(flush_s=0)
    for number in range(1, 4):
        here.ledger.add(record())
        await here.ledger.settle()
        assert sum(row.amounts.requests for row in await here.rows()) == number
