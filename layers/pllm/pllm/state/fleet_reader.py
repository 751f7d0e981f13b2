"""Reading the fleet from the table: a dozen queries at once, however many requests there were."""

import asyncio
from dataclasses import replace

from pllm.core.clock import Clock
from pllm.core.fleet import WINDOW_MINUTES, Fleet
from pllm.core.usage_keys import spans
from pllm.state.breakers import deployment_of, partition, read_breaker, read_minute, since
from pllm.state.counters import read_counters
from pllm.state.store import Store
from pllm.state.usage_table import read_rows


class FleetReader:
    """`group`: of deployments, as state.health has it."""

    def __init__(self, store: Store, clock: Clock, *, group: str = "main") -> None:
        self._store = store
        self._clock = clock
        self._group = group

    async def read(self) -> Fleet:
        """Raises StateError. Environments tell their numbers within ten seconds of the requests that come after."""
        now_s = self._clock.wall_s()
        minute_s = int(now_s) // 60 * 60
        fleet, users = await asyncio.gather(
            self.read_deployments(),
            self._active_users(minute_s - (WINDOW_MINUTES - 1) * 60, minute_s + 60),
        )
        return replace(fleet, active_users=users)

    async def read_deployments(self) -> Fleet:
        """All but the callers. Raises StateError."""
        now_s = self._clock.wall_s()
        first = int(now_s) // 60 - WINDOW_MINUTES + 1
        items, counters = await asyncio.gather(
            self._store.query(partition(self._group), since=since(first)), read_counters(self._store)
        )
        minutes, breakers = {}, {}
        for item in items:
            deployment, minute = deployment_of(str(item["SK"]))
            if minute is None:
                breakers[deployment] = read_breaker(item)
            else:
                minutes[minute, deployment] = read_minute(item)
        return Fleet(now_s, minutes, breakers, counters)

    async def _active_users(self, from_s: int, to_s: int) -> int:
        found = [read_rows(self._store, span) for span in spans("minute", from_s, to_s)]
        return len({row.account.key for rows in await asyncio.gather(*found) for row in rows})
