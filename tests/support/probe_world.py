"""A fleet in which health probes run: its traffic, its administrator, and a prober of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from tests.support.gateway import by_model, providers

from pllm.attempt import Upstreams
from pllm.core.breaker import Breaker
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.clock import ManualClock
from pllm.core.config.schema import HealthProbes
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.routing import Catalogue
from pllm.probing import Prober
from pllm.providers.transport import AiohttpTransport
from pllm.state.breaker_desk import BreakerDesk
from pllm.state.changes import Changes
from pllm.state.counters import Counters
from pllm.state.fleet_reader import FleetReader
from pllm.state.health import Health
from pllm.state.store import TransactionalStore
from pllm.telemetry.breaker_line import emit_move

POLICY = BreakerPolicy(min_failures=1, cooldown_ms=30_000, max_cooldown_ms=100_000)


@dataclass
class World:
    """A fleet's shared store, one clock that moves only here, and the network of this machine."""

    store: TransactionalStore
    clock: ManualClock = field(default_factory=ManualClock)
    lines: list[dict[str, Any]] = field(default_factory=list)
    policy: BreakerPolicy = POLICY

    def health(self, name: str = "traffic") -> Health:
        notify = partial(emit_move, self.lines.append, "f", self.clock)
        return Health(self.store, self.clock, Random(1), self.policy, name=name, notify=notify)

    async def fails(self, one: Deployment, kind: ErrorKind) -> None:
        """A request that fails so."""
        health = self.health()
        await health.refresh(wait=True)
        await health.settle()
        health.observe(one.id).failed(GatewayError(kind, "x"))
        await health.settle()

    async def probes_if_it_may(self, one: Deployment, name: str) -> bool:
        """A request of another environment, which fails where it wins the probe."""
        health = self.health(name)
        await health.refresh(wait=True)
        await health.settle()
        probe = await health.claim(one.id, 10)
        if probe is not None:
            health.observe(one.id, probe).failed(GatewayError(ErrorKind.UPSTREAM_ERROR, "x"))
            await health.settle()
        return probe is not None

    async def succeeds(self, one: Deployment) -> None:
        health = self.health()
        health.observe(one.id).succeeded(100)
        await health.flush()

    def desk(self) -> BreakerDesk:
        """An administrator's."""
        return BreakerDesk(self.store, self.clock, Changes(self.store, self.clock, Random(9).randbytes))

    async def breaker(self, one: Deployment) -> Breaker:
        return (await self.health().breakers()).get(one.id) or Breaker()

    @asynccontextmanager
    async def prober(self, deployments: Sequence[Deployment], name: str = "probes", **settings: Any) -> AsyncIterator[Prober]:
        chosen = HealthProbes(**settings)
        transport = AiohttpTransport(self.clock)
        endpoints = providers({}, self.clock, transport.simple)
        upstreams = Upstreams(endpoints, transport, self.clock, self.health(name), attempt_timeout_s=chosen.timeout)
        fleet, counters = FleetReader(self.store, self.clock), Counters(self.store, self.clock, lambda: name)
        try:
            yield Prober(Catalogue(by_model(deployments)), chosen, upstreams, fleet, counters, self.lines.append, "f")
        finally:
            await transport.close()

    async def run(self, *deployments: Deployment, budget_s: float = 30.0, **settings: Any) -> dict[str, int]:
        """One run; the outcomes that there were."""
        async with self.prober(deployments, **settings) as prober:
            return {name: number for name, number in (await prober.run(budget_s)).items() if number}

    def told(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("message") == "probe"]
