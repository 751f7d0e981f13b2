"""Percentiles of a range are those of its requests, whoever counted them, when, and however often it was rolled up.

Environments count and write, answers of the table get lost, the roll-up runs twice, is killed at any of its calls and runs
again. What is then read by the minute, the hour and the day has every time once, and its percentiles are within the stated
error of the exact ones.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import ceil
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.sketch import RELATIVE_ERROR, Sketch, sketch_of
from pllm.core.usage_keys import PERIODS
from pllm.core.usage_report import parse_query
from pllm.core.usage_rows import Account, Amounts, total
from pllm.state.memory import MemoryStore
from pllm.state.usage import Ledger
from pllm.state.usage_reader import UsageReader
from pllm.state.usage_rollup import RollUp

ACCOUNTS = [Account("k1", "m", "d1"), Account("k1", "m", "d2"), Account("k2", "n", "d1", "team")]
TIMES = st.one_of(st.floats(1, 900_000), st.sampled_from([1.0, 2.0, 250.0, 250.1, 60_000.0]))
STEPS = st.tuples(
    st.integers(0, 2),  # which environment
    st.sampled_from(ACCOUNTS),
    st.lists(TIMES, max_size=8),
    st.sampled_from([0, 7, 61, 1800, 3600, 4 * 3600]),  # then so many seconds pass
    st.sampled_from([None, 0, 1, 5, 20]),  # with a roll-up every hour, killed after so many calls
)
Step = tuple[int, Account, list[float], int, int | None]
HOUR_S = 3600


class _KilledError(Exception):
    """The function was stopped here."""


class _Mortal(FaultyStore):
    """A store whose caller is killed at one of its calls."""

    def __init__(self, inner: MemoryStore, calls: int) -> None:
        super().__init__(inner)
        self.left = calls

    async def _faulty(self, call: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _KilledError
        return await super()._faulty(call)


async def _at_once(seconds: float) -> None:
    """No pause."""


async def _lived(store: MemoryStore, clock: ManualClock, steps: Sequence[Step]) -> None:
    """Everything that was counted is in the table at the end, and the roll-up has run since."""
    stores = [FaultyStore(store) for _ in range(3)]
    fleet = [Ledger(one, clock, partial(str, f"{place:012x}"), _nobody) for place, one in enumerate(stores)]
    for which, account, times_ms, seconds, calls in steps:
        stores[which].faults = [Fault.LOST_RESPONSE, Fault.THROTTLED] if len(times_ms) % 2 else []
        firsts = sketch_of(*(time_ms / 3 for time_ms in times_ms if time_ms >= 3))
        fleet[which].count(account, Amounts(requests=len(times_ms), latencies=sketch_of(*times_ms), firsts=firsts))
        await fleet[which].settle()
        await _pass(store, clock, seconds, calls)
    for one, ledger in zip(stores, fleet, strict=True):
        one.faults = []
        await ledger.flush()
        assert ledger.unflushed == Amounts()
    await _pass(store, clock, HOUR_S, None)


async def _pass(store: MemoryStore, clock: ManualClock, seconds: int, calls: int | None) -> None:
    for _ in range(seconds // HOUR_S):
        clock.advance(HOUR_S)
        with suppress(_KilledError):
            await RollUp(_Mortal(store, 10_000 if calls is None else calls), clock, _nobody, _at_once).run()
    clock.advance(seconds % HOUR_S)


def _nobody(line: object) -> None:
    """Log lines are not looked at here."""


def _near(sketch: Sketch, times_ms: list[float]) -> bool:
    for share in (0.5, 0.95, 0.99):
        told_ms = sketch.percentile_ms(share)
        exact_ms = sorted(times_ms)[ceil(share * len(times_ms)) - 1] if times_ms else None
        if exact_ms is None or told_ms is None:
            assert told_ms is exact_ms is None
        else:
            assert told_ms == pytest.approx(exact_ms, rel=RELATIVE_ERROR + 1e-9)
    return sketch.number == len(times_ms)


@settings(max_examples=60, deadline=None)
# Told late, after the last run that came to its end for hours.
@example([(0, ACCOUNTS[0], [1.0], 1800, None), (1, ACCOUNTS[0], [], 3600, None), (0, ACCOUNTS[0], [2.0], 14400, 0)], 1)
@given(st.lists(STEPS, min_size=1, max_size=10), st.integers(0, 24))
def test_percentiles_of_any_period_are_those_of_its_requests(steps: list[Step], hour: int) -> None:
    store, clock = MemoryStore(), ManualClock(1_795_305_600.0 + hour * HOUR_S)
    start_s = clock.wall_s()
    asyncio.run(_lived(store, clock, steps))
    for _ in range(2):
        asyncio.run(_judged(store, clock, steps, start_s))
        before = dict(store.items)
        asyncio.run(RollUp(store, clock, _nobody, _at_once).run())
        assert store.items == before


async def _judged(store: MemoryStore, clock: ManualClock, steps: Sequence[Step], start_s: float) -> None:
    every = [time_ms for _, _, times_ms, _, _ in steps for time_ms in times_ms]
    for period in PERIODS:
        asked: dict[str, list[str]] = {"period": [period], "from": [str(int(start_s))], "group_by": ["deployment"]}
        found = await UsageReader(store, clock).summary(parse_query(asked, clock.wall_s()))
        assert _near(found.whole.latencies, every)
        assert _near(found.whole.firsts, [time_ms / 3 for time_ms in every if time_ms >= 3])
        assert total(line.amounts for line in found.periods) == found.whole
        for line in found.groups:
            (deployment,) = line.group
            assert _near(
                line.amounts.latencies, [ms for _, one, times, _, _ in steps for ms in times if one.deployment == deployment]
            )
