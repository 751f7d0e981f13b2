"""The roll-up: due hours and days, made again and again, caught up with after an outage."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.usage_keys import KEPT_S, LENGTH_S, Period, floor_s, row_key, spans
from pllm.core.usage_rows import Account, Amounts, attributes
from pllm.state.memory import MemoryStore
from pllm.state.store import StateError, Update
from pllm.state.usage_rollup import RollUp
from pllm.state.usage_table import Row, read_mark, read_rows, set_row

ONE, TWO = Account("k1", "m", "d"), Account("k2", "m", "d")


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]


class Setting:
    def __init__(self, now_s: int) -> None:
        self.clock = ManualClock(float(now_s))
        self.memory = MemoryStore()
        self.store = FaultyStore(self.memory)
        self.lines: list[dict[str, Any]] = []
        self.naps: list[float] = []
        self.rollup = RollUp(self.store, self.clock, self.lines.append, self._nap)

    async def _nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def spend(self, time_s: int, account: Account = ONE, requests: int = 1, shard: int = 0) -> None:
        key = row_key("minute", floor_s("minute", time_s), account, shard)
        await self.memory.update(Update(*key, add=attributes(Amounts(requests=requests, cost_micro_usd=requests * 7))))

    async def rows(self, period: Period, start_s: int) -> dict[str, int]:
        [span] = spans(period, start_s, start_s + LENGTH_S[period])
        return {row.account.key: row.amounts.requests for row in await read_rows(self.memory, span)}


async def test_an_hour_is_the_sum_of_its_minutes_over_all_shards_and_a_day_of_its_hours() -> None:
    here = Setting(at(2026, 11, 23, 0, 5))
    for shard in range(8):
        await here.spend(at(2026, 11, 22, 22, 59), shard=shard)
    await here.spend(at(2026, 11, 22, 23, 0), requests=10)
    await here.spend(at(2026, 11, 22, 23, 30), TWO, 5)
    await here.spend(at(2026, 11, 23, 0, 1), requests=100)
    await here.rollup.run()
    assert await here.rows("hour", at(2026, 11, 22, 22)) == {"k1": 8}
    assert await here.rows("hour", at(2026, 11, 22, 23)) == {"k1": 10, "k2": 5}
    assert await here.rows("hour", at(2026, 11, 23, 0)) == {}
    assert await here.rows("day", at(2026, 11, 22)) == {"k1": 18, "k2": 5}
    assert await read_mark(here.memory) == at(2026, 11, 23)
    expiries = {key[0][:4]: item.get("exp") for key, item in here.memory.items.items() if key[0][2] in "hd"}
    assert expiries["U#h#"] == at(2026, 11, 22, 23) + (KEPT_S["hour"] or 0)
    assert expiries["U#d#"] is None


async def test_running_again_changes_nothing() -> None:
    here = Setting(at(2026, 11, 23, 0, 5))
    await here.spend(at(2026, 11, 22, 23, 0))
    await here.rollup.run()
    before = dict(here.memory.items)
    await here.rollup.run()
    assert here.memory.items == before


async def test_an_hour_is_not_made_before_the_environments_had_time_to_tell() -> None:
    here = Setting(at(2026, 11, 22, 14, 1))
    await here.rollup.run()
    assert await read_mark(here.memory) == at(2026, 11, 22, 13)


async def test_what_is_told_late_is_seen_by_the_next_runs() -> None:
    here = Setting(at(2026, 11, 22, 12, 5))
    await here.rollup.run()
    await here.spend(at(2026, 11, 22, 11, 59))
    here.clock.advance(3600)
    await here.rollup.run()
    assert await here.rows("hour", at(2026, 11, 22, 11)) == {"k1": 1}


async def test_once_a_day_the_whole_day_before_is_made_again() -> None:
    here = Setting(at(2026, 11, 22, 20, 5))
    await here.rollup.run()
    await here.spend(at(2026, 11, 22, 3, 30))
    for _ in range(5):  # until 01:05
        here.clock.advance(3600)
        await here.rollup.run()
    assert await here.rows("hour", at(2026, 11, 22, 3)) == {}
    here.clock.advance(3600)
    await here.rollup.run()
    assert await here.rows("hour", at(2026, 11, 22, 3)) == {"k1": 1}
    assert await here.rows("day", at(2026, 11, 22)) == {"k1": 1}


async def test_after_an_outage_it_goes_on_where_it_was() -> None:
    here = Setting(at(2026, 11, 21, 10, 5))
    await here.rollup.run()
    await here.spend(at(2026, 11, 21, 12, 0))
    here.clock.advance(40 * 3600)
    await here.rollup.run()
    assert await here.rows("hour", at(2026, 11, 21, 12)) == {"k1": 1}
    assert await here.rows("day", at(2026, 11, 21)) == {"k1": 1}
    assert await read_mark(here.memory) == at(2026, 11, 23, 2)


async def test_after_a_longer_one_it_says_what_is_lost_and_makes_the_days_of_the_hours_there_are() -> None:
    here = Setting(at(2026, 11, 18, 10, 5))
    await here.spend(at(2026, 11, 18, 9, 30))
    await here.rollup.run()
    here.clock.advance(4 * 86_400)
    await here.rollup.run()
    [line] = [line for line in here.lines if line["level"] == "ERROR"]
    assert (line["from"], line["to"]) == ("2026-11-18T10:00:00Z", "2026-11-20T12:00:00Z")
    assert await here.rows("day", at(2026, 11, 18)) == {"k1": 1}


async def test_an_hour_whose_minutes_may_be_gone_is_never_made_again() -> None:
    here = Setting(at(2026, 11, 22, 12, 5))
    old = at(2026, 11, 20, 12)
    await set_row(here.memory, "hour", Row(old, ONE, Amounts(requests=99)))
    await here.rollup.run()
    assert await here.rows("hour", old) == {"k1": 99}


async def test_a_busy_table_is_asked_again_and_an_absent_one_is_an_error() -> None:
    here = Setting(at(2026, 11, 22, 12, 5))
    here.store.faults = [Fault.THROTTLED, Fault.LOST_RESPONSE]
    await here.rollup.run()
    assert here.naps == [0.1, 0.5]
    here.store.always = Fault.THROTTLED
    with pytest.raises(StateError):
        await here.rollup.run()


async def test_the_mark_moves_forward_only() -> None:
    here = Setting(at(2026, 11, 22, 12, 5))
    await here.rollup.run()
    here.clock.advance(-7200)
    await here.rollup.run()
    assert await read_mark(here.memory) == at(2026, 11, 22, 12)
