"""Stores that fail on purpose, and stores whose every write is a step that somebody else decides about."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeVar

from pllm.state.store import (
    CONFLICT,
    INVALID,
    Applied,
    Item,
    Refused,
    Rejected,
    StateError,
    Store,
    TransactionalStore,
    Update,
    Write,
)

T = TypeVar("T")


class Fault(Enum):
    """What happens to one call. THROTTLED, CONFLICT, INVALID and LOST_REQUEST: nothing was written, and in the last
    case nobody knows. LOST_RESPONSE: it was, unheard of."""

    NONE = auto()
    THROTTLED = auto()
    CONFLICT = auto()
    INVALID = auto()
    LOST_REQUEST = auto()
    LOST_RESPONSE = auto()


@dataclass
class FaultyStore:
    """Each call takes the next fault of `faults`, and `always` once there are none. `calls` counts what was asked."""

    inner: TransactionalStore
    faults: list[Fault] = field(default_factory=list)
    always: Fault = Fault.NONE
    calls: int = 0

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return await self._faulty(lambda: self.inner.get(pk, sk, consistent=consistent))

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        return await self._faulty(lambda: self.inner.query(pk, since=since, until=until, consistent=consistent))

    async def update(self, update: Update) -> Applied | Refused:
        return await self._faulty(lambda: self.inner.update(update))

    async def delete(self, pk: str, sk: str) -> Item | None:
        return await self._faulty(lambda: self.inner.delete(pk, sk))

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        return await self._faulty(lambda: self.inner.transact(writes, token))

    async def _faulty(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        return await with_fault(self.faults.pop(0) if self.faults else self.always, call)


async def with_fault(fault: Fault, call: Callable[[], Awaitable[T]]) -> T:
    if fault is Fault.THROTTLED:
        raise StateError("throttled", sent=False)
    if fault is Fault.CONFLICT:
        raise StateError(CONFLICT, sent=False)
    if fault is Fault.INVALID:
        raise StateError(INVALID, sent=False)
    if fault is Fault.LOST_REQUEST:
        raise StateError("timeout", sent=True)
    answer = await call()
    if fault is Fault.LOST_RESPONSE:
        raise StateError("timeout", sent=True)
    return answer


@dataclass
class Step:
    """One write that waits to be let through. `who` wrote it."""

    who: str
    update: Update
    released: "asyncio.Future[Fault]"


class SteppingStore:
    """Writes wait until a scheduler releases them one by one; reads pass. DynamoDB serialises the writes of an item, so
    an interleaving of writes is all that can happen to it."""

    def __init__(self, inner: Store, who: str, waiting: list[Step]) -> None:
        self._inner = inner
        self._who = who
        self._waiting = waiting

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return await self._inner.get(pk, sk, consistent=consistent)

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        return await self._inner.query(pk, since=since, until=until, consistent=consistent)

    async def update(self, update: Update) -> Applied | Refused:
        step = Step(self._who, update, asyncio.get_running_loop().create_future())
        self._waiting.append(step)
        fault = await step.released
        return await with_fault(fault, lambda: self._inner.update(update))

    async def delete(self, pk: str, sk: str) -> Item | None:
        return await self._inner.delete(pk, sk)
