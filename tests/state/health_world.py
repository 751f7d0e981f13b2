"""What the tests of a deployment's health share: environments over one table that counts what it is asked."""

from random import Random

from tests.support.fleet import DEP, POLICY, Environment

from pllm.core.breaker import Admission, Circuit
from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind
from pllm.state.breaker_desk import BreakerDesk
from pllm.state.changes import Changes
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Item, Refused, Update

FAILURE = ErrorKind.UPSTREAM_ERROR
START_S = 1_800_000_000.0


class Counting(MemoryStore):
    """Counts writes and queries."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.queries = 0

    async def update(self, update: Update) -> Applied | Refused:
        self.writes += 1
        return await super().update(update)

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        self.queries += 1
        return await super().query(pk, since=since, until=until, consistent=consistent)


def admission(environment: Environment) -> Admission:
    return environment.health.view([DEP])[DEP].admission


async def opened(environment: Environment) -> None:
    for _ in range(POLICY.min_failures):
        await environment.request(FAILURE)
    assert admission(environment) is Admission.NONE


def desk_of(store: MemoryStore, clock: ManualClock) -> BreakerDesk:
    return BreakerDesk(store, clock, Changes(store, clock, Random(9).randbytes))


async def state(environment: Environment) -> Circuit:
    return (await environment.health.breakers())[DEP].state
