"""The fleet's counters: added up in each environment, written after the last byte of some of its requests, never reset.

They are statistics. What certainly did not arrive is sent again with what follows; what may have arrived is not, so an
outage of the table can lose counts but never double them. The EMF lines stay the durable truth.
"""

import asyncio
from collections.abc import Callable
from hashlib import sha256

from pllm.core.clock import Clock
from pllm.core.counters import AT, Series, Tally, attributes, counted, read_series, read_tally, series_key, summed
from pllm.core.record import RequestRecord
from pllm.state.store import FLUSH_S, StateError, Store, Update

SHARDS = 8
_FLUSH_SERIES = 25


class Counters:
    """One an environment. `new_id` names the environment at its first write: it always writes to the same shard. `flush_s`:
    how long counts wait for others to be written with."""

    def __init__(self, store: Store, clock: Clock, new_id: Callable[[], str], *, flush_s: float = FLUSH_S) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._flush_s = flush_s
        self._shard: str | None = None
        self._pending: dict[Series, Tally] = {}
        self._flushed_s = clock.wall_s()

    def add(self, record: RequestRecord) -> None:
        """One request that is over."""
        for series, tally in counted(record, int(self._clock.wall_s() * 1000)):
            self.count(series, tally)

    def count(self, series: Series, tally: Tally) -> None:
        """What is no request: a health probe."""
        known = self._pending.get(series)
        self._pending[series] = tally if known is None else known + tally

    async def settle(self) -> None:
        """At the end of each invocation, after the last byte: writes when it is time to. Never raises."""
        waited = not 0 <= self._clock.wall_s() - self._flushed_s < self._flush_s
        if self._pending and (waited or len(self._pending) > _FLUSH_SERIES):
            await self.flush()

    async def flush(self) -> None:
        """Adds this environment's counts to the fleet's. Never raises."""
        self._flushed_s = self._clock.wall_s()
        pending, self._pending = self._pending, {}
        await asyncio.gather(*(self._write(series, tally) for series, tally in pending.items()))

    async def _write(self, series: Series, tally: Tally) -> None:
        if self._shard is None:
            self._shard = _partition(int.from_bytes(sha256(self._new_id().encode()).digest()[:4], "big") % SHARDS)
        update = Update(self._shard, series_key(series), set={AT: tally.at_ms}, add=attributes(tally))
        try:
            await self._store.update(update)
        except StateError as error:
            if not error.sent:
                self.count(series, tally)


async def read_counters(store: Store) -> dict[Series, Tally]:
    """The whole fleet's, since the table was made. Raises StateError."""
    shards = await asyncio.gather(*(store.query(_partition(shard)) for shard in range(SHARDS)))
    return summed((read_series(str(item["SK"])), read_tally(item)) for items in shards for item in items)


def _partition(shard: int) -> str:
    return f"U#c#{shard}"
