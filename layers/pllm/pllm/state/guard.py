"""A breaker on the table itself, local to the environment: an outage of shared state must not cost every request a timeout.

After three failures in a row the store is not asked for about two seconds; callers get the StateError at once and do what
they do without the table. Then the next call is let through, and its success ends the quiet.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from pllm.core.clock import Clock
from pllm.state.store import CONFLICT, INVALID, Applied, Item, Refused, Rejected, StateError, TransactionalStore, Update, Write

QUIET_S = 2.0
_TOLERATED = 3

T = TypeVar("T")


class GuardedStore:
    """A store that gives up early. `reason` of its own errors is "quiet", and nothing was sent."""

    def __init__(self, store: TransactionalStore, clock: Clock, random: Random) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._failures = 0
        self._quiet_until_s = 0.0

    @property
    def degraded(self) -> bool:
        """Whether the last calls failed: decisions are made from what this environment knows by itself."""
        return self._failures >= _TOLERATED

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return await self._guarded(lambda: self._store.get(pk, sk, consistent=consistent))

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        return await self._guarded(lambda: self._store.query(pk, since=since, until=until, consistent=consistent))

    async def update(self, update: Update) -> Applied | Refused:
        return await self._guarded(lambda: self._store.update(update))

    async def delete(self, pk: str, sk: str) -> Item | None:
        return await self._guarded(lambda: self._store.delete(pk, sk))

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        return await self._guarded(lambda: self._store.transact(writes, token))

    async def _guarded(self, call: Callable[[], Awaitable[T]]) -> T:
        now_s = self._clock.wall_s()  # the monotonic clock may stand still while the environment is frozen
        if self.degraded and now_s < self._quiet_until_s <= now_s + 2 * QUIET_S:
            raise StateError("quiet", sent=False)
        if self.degraded:
            self._be_quiet()  # one call finds out; the others need not wait for it
        try:
            answer = await call()
        except StateError as error:
            if error.reason in (CONFLICT, INVALID):  # the table answers: what one request asks of it says nothing of others
                raise
            self._failures += 1
            if self.degraded:
                self._be_quiet()
            raise
        self._failures = 0
        return answer

    def _be_quiet(self) -> None:
        self._quiet_until_s = self._clock.wall_s() + QUIET_S * self._random.uniform(0.5, 1.5)
