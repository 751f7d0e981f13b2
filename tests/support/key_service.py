"""The control plane's key services over a store, with clock and randomness in the test's hands."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from pllm.core.clock import ManualClock
from pllm.state.audit import AuditLog
from pllm.state.breaker_desk import BreakerDesk
from pllm.state.changes import Changes
from pllm.state.keys import Keys, KeyTools
from pllm.state.store import StateError, TransactionalStore
from pllm.state.teams import Teams


@dataclass
class Switched:
    """Gates that only remember: what was switched, and how."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    fails: bool = False

    async def revoke(self, scope: str) -> None:
        self._note("revoke", scope)

    async def restore(self, scope: str) -> None:
        self._note("restore", scope)

    def _note(self, what: str, scope: str) -> None:
        if self.fails:
            raise StateError("timeout", sent=True)
        self.calls.append((what, scope))


@dataclass
class KeyService:
    """`warnings` are what an operator was told; `naps` what was waited between tries (no time passes)."""

    store: TransactionalStore
    clock: ManualClock
    keys: Keys
    teams: Teams
    audit: AuditLog
    breakers: BreakerDesk
    gates: Switched
    warnings: list[str]
    naps: list[float]


# Of each service's own: DynamoDB takes a transaction whose token it knows for one that it has already done.
_seeds = count()


def key_service(store: TransactionalStore, clock: ManualClock | None = None) -> KeyService:
    clock = clock or ManualClock()
    entropy: Callable[[int], bytes] = Random(next(_seeds)).randbytes
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    changes = Changes(store, clock, entropy, nap)
    gates, warnings = Switched(), list[str]()
    keys = Keys(KeyTools(store, clock, changes, entropy, gates, warnings.append))
    breakers = BreakerDesk(store, clock, changes)
    return KeyService(store, clock, keys, Teams(store, clock, changes), AuditLog(store), breakers, gates, warnings, naps)
