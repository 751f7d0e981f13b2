"""Reading the fleet from the table: a dozen queries at once, however many requests there were."""

import asyncio
from dataclasses import replace

from pllm.core.clock import Clock
from pllm.core.fleet import WINDOW_MINUTES, Fleet
from pllm.core.usage_keys import spans
from pllm.core.usage_rows import Amounts
from pllm.state.breakers import deployment_of, partition, read_breaker, read_minute, since
from pllm.state.counters import read_counters
from pllm.state.store import Store
from pllm.state.usage_table import Row, read_rows


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
        fleet, rows = await asyncio.gather(
            self.read_deployments(),
            self._usage(minute_s - (WINDOW_MINUTES - 1) * 60, minute_s + 60),
        )
        answers: dict[str, Amounts] = {}
        for row in rows:
            answers[row.account.deployment] = answers.get(row.account.deployment, Amounts()) + row.amounts
        return replace(fleet, answers=answers, active_users=len({row.account.key for row in rows}))

    async def read_deployments(self) -> Fleet:
        """All but usage. Raises StateError."""
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

    async def _usage(self, from_s: int, to_s: int) -> list[Row]:
        found = [read_rows(self._store, span) for span in spans("minute", from_s, to_s)]
        return [row for rows in await asyncio.gather(*found) for row in rows]
