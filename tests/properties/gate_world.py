"""A fleet in a test: environments with clocks of their own around one table, and what the table must look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from pllm.core.clock import ManualClock
from pllm.core.limit_image import GateImage
from pllm.state.gate import GateEvent, Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_writes import SORT_KEY, image_of, partition_key
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Item, Refused, Rejected, Store, TransactionalStore, Update, Write


@dataclass
class SkewedClock:
    """The true time and an error of its own."""

    true: ManualClock
    error_s: float = 0.0

    def wall_s(self) -> float:
        return self.true.wall_s() + self.error_s

    def monotonic_s(self) -> float:
        return self.true.monotonic_s()


_names = count(1)


class NamingRandom(Random):
    """Two transactions of a test never get the same name, whatever their environments' seeds; a table remembers names."""

    def getrandbits(self, k: int, /) -> int:
        return next(_names) if k == 128 else super().getrandbits(k)


async def at_once(seconds: float) -> None:
    """A wait of no time."""


@dataclass
class Environment:
    """One Lambda environment."""

    gates: Gates
    clock: SkewedClock
    events: list[GateEvent] = field(default_factory=list)

    @staticmethod
    def of(store: TransactionalStore, true: ManualClock, policy: GatePolicy, seed: int, error_s: float = 0.0) -> "Environment":
        clock, events = SkewedClock(true, error_s), list[GateEvent]()
        return Environment(Gates(store, clock, NamingRandom(seed), policy, events.append, at_once), clock, events)


class Twins:
    """Every write goes to both stores, and both must say the same."""

    def __init__(self, one: TransactionalStore, other: TransactionalStore) -> None:
        self.one = one
        self.other = other

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        one, other = await self.one.get(pk, sk, consistent=True), await self.other.get(pk, sk, consistent=True)
        assert one == other
        return one

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        one, other = await self.one.query(pk, since=since), await self.other.query(pk, since=since, consistent=True)
        assert one == other
        return one

    async def update(self, update: Update) -> Applied | Refused:
        one, other = await self.one.update(update), await self.other.update(update)
        assert one == other, f"{update}: {one} is not {other}"
        return one

    async def delete(self, pk: str, sk: str) -> Item | None:
        return (await self.one.delete(pk, sk)) or (await self.other.delete(pk, sk))

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        one, other = await self.one.transact(writes, token), await self.other.transact(writes, token)
        assert one == other, f"{writes}: {one} is not {other}"
        return one


def image(items: Mapping[tuple[str, str], Item], scope: str) -> GateImage | None:
    """A gate as the memory table holds it."""
    return image_of(items.get((partition_key(scope), SORT_KEY)))


def memory_of(store: Store) -> MemoryStore:
    """The memory table at the bottom of a test's store."""
    inner = store.one if isinstance(store, Twins) else store
    assert isinstance(inner, MemoryStore)
    return inner
