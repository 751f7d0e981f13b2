"""What the tests of gates share: gates over a table whose round trips are counted."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

from pllm.core.clock import ManualClock
from pllm.core.limit_answers import Denial
from pllm.core.limits import BudgetLimit, GateLimits, Reservation
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Refused, Update

NEED = Reservation(100, 2_000)
KEY = GateLimits("key/a", rpm=3, tpm=1_000, budget=BudgetLimit(10_000))
TEAM = GateLimits("team/t", rpm=50, max_parallel=2)
PLACE = GateLimits("dep/one", rpm=2)


class CountingStore(MemoryStore):
    """Counts writes, and how many of them were ever under way at once: one round trip is all of them together."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.under_way = 0
        self.at_once = 0

    async def update(self, update: Update) -> Applied | Refused:
        self.writes += 1
        self.under_way += 1
        self.at_once = max(self.at_once, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return await super().update(update)

    def count_from_here(self) -> None:
        self.writes = self.at_once = 0


@dataclass
class World:
    store: CountingStore
    clock: ManualClock
    gates: Gates

    def item(self, scope: str) -> dict[str, Any]:
        return dict(self.store.items[f"G#{scope}", "G"])

    def another(self) -> Gates:
        """A further environment."""
        return Gates(self.store, self.clock, Random(2))

    async def ticket(self, *scopes: GateLimits, need: Reservation = NEED) -> Ticket:
        found = await self.gates.admit(scopes, need)
        assert isinstance(found, Ticket)
        return found

    async def denial(self, *scopes: GateLimits, need: Reservation = NEED) -> Denial:
        found = await self.gates.admit(scopes, need)
        assert isinstance(found, Denial)
        return found
