"""A scheduler for which each write is one step: DynamoDB serialises the writes of an item, so every history that the fleet
can have is an order of writes. It also loses requests, loses answers and throttles, at any write, as the test asks.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from pllm.state.store import CONFLICT, Applied, Item, Refused, Rejected, StateError, TransactionalStore, Update, Write

Fault = Literal["none", "request lost", "answer lost", "throttled", "conflict"]


@dataclass
class Weights:
    """How often each fault strikes, in percent."""

    request_lost: int = 0
    answer_lost: int = 0
    throttled: int = 0
    conflict: int = 0

    def draw(self, random: Random) -> Fault:
        number = random.randrange(100)
        faults: tuple[tuple[int, Fault], ...] = (
            (self.request_lost, "request lost"),
            (self.answer_lost, "answer lost"),
            (self.throttled, "throttled"),
            (self.conflict, "conflict"),
        )
        for weight, fault in faults:
            if number < weight:
                return fault
            number -= weight
        return "none"


@dataclass
class Stepped:
    """A store whose writes wait for their turn. `lost`: updates that were applied and whose answer nobody got."""

    store: TransactionalStore
    random: Random
    weights: Weights = field(default_factory=Weights)
    lost: list[Update] = field(default_factory=list)
    writes: int = 0
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)

    async def update(self, update: Update) -> Applied | Refused:
        fault = await self._turn()
        result = await self.store.update(update)
        if fault == "answer lost":
            if isinstance(result, Applied):
                self.lost.append(update)
            raise StateError("timeout", sent=True)
        return result

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        fault = await self._turn()
        result = await self.store.transact(writes, token)
        if fault == "answer lost":
            raise StateError("timeout", sent=True)
        return result

    async def _turn(self) -> Fault:
        """Waits to be let through, and says what will become of the answer. Raises what becomes of the request."""
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn
        self.writes += 1
        fault = self.weights.draw(self.random)
        if fault in ("throttled", "conflict"):
            raise StateError(CONFLICT if fault == "conflict" else "throttled", sent=False)
        if fault == "request lost":
            raise StateError("timeout", sent=True)
        return fault

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return await self.store.get(pk, sk, consistent=consistent)

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        return await self.store.query(pk, since=since, until=until, consistent=consistent)

    async def delete(self, pk: str, sk: str) -> Item | None:
        return await self.store.delete(pk, sk)

    async def run(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Runs every coroutine to its end, one write at a time, in an order that the seed decides."""
        tasks = [asyncio.ensure_future(one) for one in work]
        while not all(task.done() for task in tasks):
            await _all_stand_still()
            if self.waiting:
                self.waiting.pop(self.random.randrange(len(self.waiting))).set_result(None)
        for task in tasks:
            task.result()


async def _all_stand_still() -> None:
    """Between two writes no task has anything to wait for but its turn: lets the loop run until nothing of it is due."""
    due: deque[asyncio.Handle] = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    while True:
        await asyncio.sleep(0)
        if not due:
            return
