"""One caller with limits of their own, over a table whose writes are counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import httpx2
from tests.support.gateway import gateway

from pllm.admission import Admissions
from pllm.core.clock import ManualClock
from pllm.core.deployment import Deployment
from pllm.core.limits import GateLimits
from pllm.core.principal import Principal
from pllm.edge.app import Gateway
from pllm.edge.auth import Authenticator
from pllm.edge.http import HttpRequest
from pllm.edge.idempotency import idempotent
from pllm.state.gate import Gates
from pllm.state.idempotency import Idempotency
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Refused, Update


class CountedStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    async def update(self, update: Update) -> Applied | Refused:
        self.writes += 1
        return await super().update(update)


class Caller:
    """Everybody who comes is the principal `key_1`, with these limits. `gates` and `clock` are the gateway's."""

    def __init__(self, *limits: GateLimits) -> None:
        self.principal = Principal("key_1", "user", limits=limits)
        self.store = CountedStore()
        self.clock = ManualClock(1_800_000_000.0)
        self.gates = Gates(self.store, self.clock, Random(1))

    def elsewhere(self) -> None:
        """From now on in an environment that has seen nothing yet."""
        self.gates = Gates(self.store, self.clock, Random(3))

    @asynccontextmanager
    async def client(self, *deployments: Deployment) -> AsyncIterator[httpx2.AsyncClient]:
        """Of a gateway whose POSTs mind an `Idempotency-Key`."""
        admissions, numbers = Admissions(lambda: self.gates), Random(2)
        async with gateway(deployments, admissions=admissions) as gw:
            keeper = Idempotency(self.store, self.clock, lambda: f"owner{numbers.random()}")
            routes = idempotent(gw.edge.routes, keeper, gw.lines.append, admissions.refuses)
            app = Gateway(replace(gw.edge, authenticator=_OpenDoor(self.principal), routes=routes))
            async with gw.against(app) as client:
                yield client


class _OpenDoor(Authenticator):
    def __init__(self, principal: Principal) -> None:
        super().__init__(None)
        self._principal = principal

    async def authenticate(self, request: HttpRequest) -> Principal:
        return self._principal
