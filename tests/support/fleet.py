"""Environments of one fleet, each with its own clock and its own way to the shared store."""

from collections.abc import Sequence
from random import Random

from tests.support.faulty import FaultyStore

from pllm.core.breaker import Breaker, Move
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.state.guard import GuardedStore
from pllm.state.health import Health, Probe
from pllm.state.store import TransactionalStore

DEP = "m@openai/x"
POLICY = BreakerPolicy(min_failures=3, failure_ratio=0.5, cooldown_ms=30_000, max_cooldown_ms=100_000)


class Environment:
    """`faulty` is where its calls can be made to fail; `moves` are those that it was told of."""

    def __init__(
        self, store: TransactionalStore, clock: ManualClock, *, name: str = "e", seed: int = 1, policy: BreakerPolicy = POLICY
    ) -> None:
        self.clock = clock
        self.faulty = FaultyStore(store)
        self.guard = GuardedStore(self.faulty, clock, Random(seed))
        self.moves: list[tuple[str, Move]] = []
        self.health = Health(
            self.guard,
            clock,
            Random(seed),
            policy,
            name=name,
            degraded=lambda: self.guard.degraded,
            notify=self._note,
        )

    def _note(self, deployment: str, move: Move, breaker: Breaker) -> None:
        self.moves.append((deployment, move))

    async def request(self, error: ErrorKind | None = None, probe: Probe | None = None, **more: float) -> None:
        """One whole invocation."""
        observation = self.health.observe(DEP, probe)
        if error is None:
            observation.succeeded(100)
        else:
            observation.failed(GatewayError(error, "x", retry_after_s=more.get("retry_after_s")))
        await self.health.settle()

    async def look(self) -> None:
        await self.health.refresh(wait=True)
        await self.health.settle()


def fleet(store: TransactionalStore, clocks: Sequence[ManualClock], policy: BreakerPolicy = POLICY) -> list[Environment]:
    return [Environment(store, clock, name=f"e{n}", seed=n, policy=policy) for n, clock in enumerate(clocks)]
