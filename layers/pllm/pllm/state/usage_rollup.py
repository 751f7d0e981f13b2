"""Usage by the hour and by the day, made of the minutes once an hour.

Every row is worked out anew from what it is made of, and set, not added to: a run may be repeated, be killed at any write or
run twice at once, and the next one mends it. A mark in the table says up to when the hours are made; after an outage the
work goes on from there, as far back as the minutes are kept.

Environments may be late to tell what they counted. So each run makes the last three hours again and, once a day, the whole
day before.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pllm.core.clock import Clock, rfc3339
from pllm.core.usage_keys import KEPT_S, LENGTH_S, Period, floor_s, spans
from pllm.core.usage_rows import Account, Amounts
from pllm.state.store import StateError, Store
from pllm.state.usage import LATEST_S, Tell
from pllm.state.usage_table import Row, move_mark, read_mark, read_rows, set_row

_HOUR_S, _DAY_S = LENGTH_S["hour"], LENGTH_S["day"]
_GRACE_S = 120
"""Environments tell within seconds: an hour is made a little after its end."""
_AGAIN_S = 3 * _HOUR_S
_DAY_AGAIN_AT_S = 2 * _HOUR_S
# The minutes of an hour may be deleted from 48 h on, and an hour made of half of them must not replace a whole one.
_REACH_S = 47 * _HOUR_S
_AT_ONCE = 8
_PAUSES_S = (0.1, 0.5, 2.0)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made:
    """What a run did."""

    hours: int
    days: int
    rows: int


class RollUp:
    """`sleep` takes seconds: a table that is busy is asked again, since every write is one that may be repeated."""

    def __init__(
        self, store: Store, clock: Clock, tell: Tell, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._store = store
        self._clock = clock
        self._tell = tell
        self._sleep = sleep

    async def run(self) -> Made:
        """Makes every hour and day that is due. Raises StateError; what was made until then stays made."""
        end_s = floor_s("hour", self._clock.wall_s() - _GRACE_S)
        oldest_s = floor_s("hour", self._clock.wall_s() - _REACH_S) + _HOUR_S
        mark_s = await self._patiently(partial(read_mark, self._store))
        start_s = oldest_s if mark_s is None else max(oldest_s, _start_s(mark_s, end_s))
        days, rows = 0, 0
        if mark_s is not None and mark_s < oldest_s:
            days, rows = await self._after_a_long_outage(mark_s, oldest_s)
        for hour_s in range(start_s, end_s, _HOUR_S):
            rows += await self._make("hour", hour_s, "minute")
            day_s = hour_s + _HOUR_S - _DAY_S
            if day_s % _DAY_S == 0:
                rows += await self._make("day", day_s, "hour")
                days += 1
            await self._patiently(partial(move_mark, self._store, hour_s + _HOUR_S))
        made = Made(max(end_s - start_s, 0) // _HOUR_S, days, rows)
        said = {"from": rfc3339(start_s), "to": rfc3339(end_s), "hours": made.hours, "days": days, "rows": rows}
        self._tell({"level": "INFO", "message": "usage rolled up", **said})
        return made

    async def _after_a_long_outage(self, mark_s: int, oldest_s: int) -> tuple[int, int]:
        """Minutes have expired that no hour was made of. The days in between are made of the hours there are."""
        self._tell(
            {
                "level": "ERROR",
                "message": "usage expired before it was rolled up",
                "from": rfc3339(mark_s),
                "to": rfc3339(oldest_s),
            }
        )
        kept_s = KEPT_S["hour"] or 0
        first_s = floor_s("day", max(mark_s, self._clock.wall_s() - kept_s + _DAY_S))
        whole = range(first_s, floor_s("day", oldest_s), _DAY_S)
        return len(whole), sum([await self._make("day", day_s, "hour") for day_s in whole])

    async def _make(self, period: Period, start_s: int, of: Period) -> int:
        """Sets the rows of one hour or day; gives their number."""
        sums: dict[Account, Amounts] = {}
        for span in spans(of, start_s, start_s + LENGTH_S[period]):
            for row in await self._patiently(partial(read_rows, self._store, span, consistent=True)):
                sums[row.account] = sums.get(row.account, Amounts()) + row.amounts
        rows = [Row(start_s, account, amounts) for account, amounts in sums.items()]
        for at in range(0, len(rows), _AT_ONCE):
            writes = (self._patiently(partial(set_row, self._store, period, row)) for row in rows[at : at + _AT_ONCE])
            await asyncio.gather(*writes)
        return len(rows)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        for pause_s in _PAUSES_S:
            try:
                return await call()
            except StateError:
                await self._sleep(pause_s)
        return await call()


def _start_s(mark_s: int, end_s: int) -> int:
    """From where a run begins: what is new, what may have been told late (since the last run that came to its end, which may be
    long ago), and once a day the whole day before."""
    day_s = floor_s("day", end_s - _DAY_AGAIN_AT_S)
    again_s = day_s - _DAY_S if floor_s("day", mark_s - _DAY_AGAIN_AT_S) < day_s else end_s
    return min(mark_s - LATEST_S, end_s - _AGAIN_S, again_s)
