"""How often a request waits for the table, by what it is: nothing the table is asked at the same time counts twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import TypeVar

import httpx2
import pytest
from tests.support.gateway import RealClock, deployment, gateway
from tests.support.key_service import key_service
from tests.support.upstream import Upstream, upstream

from pllm.admission import Admissions
from pllm.core.allowances import Allowances
from pllm.core.clock import ManualClock
from pllm.core.config.policies import Limit, Limits
from pllm.core.keys import Allowance, KeyFields, TeamFields
from pllm.edge.app import Gateway
from pllm.edge.auth import Authenticator, Identities
from pllm.state.gate import Gates
from pllm.state.key_reader import KeyReader
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Item, Refused, Update

T = TypeVar("T")
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


class Trips(MemoryStore):
    """Counts round trips: calls that are under way together are one."""

    def __init__(self) -> None:
        super().__init__()
        self.trips = 0
        self._under_way = 0

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return await self._counted(lambda: super(Trips, self).get(pk, sk, consistent=consistent))

    async def update(self, update: Update) -> Applied | Refused:
        return await self._counted(lambda: super(Trips, self).update(update))

    async def _counted(self, call: Callable[[], Awaitable[T]]) -> T:
        self.trips += not self._under_way
        self._under_way += 1
        try:
            for _ in range(3):  # long enough for whoever sets out at the same time to be seen
                await asyncio.sleep(0)
            return await call()
        finally:
            self._under_way -= 1


class Setting:
    """Environments around one table, and a key that the caller has."""

    def __init__(self, limits: Limits) -> None:
        self.table = Trips()
        self.clock = ManualClock()
        self.allowances = Allowances(limits)

    async def key(self, fields: KeyFields) -> str:
        service = key_service(self.table, self.clock)
        if fields.team is not None:
            await service.teams.create(fields.team, TeamFields("T", allowance=LIMITED), "master")
        return (await service.keys.create(fields, "master")).secret.reveal()

    @asynccontextmanager
    async def environment(self, up: Upstream, key: str) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of a gateway that has seen nothing yet."""
        gates = Gates(self.table, self.clock, Random(1))
        admissions = Admissions(lambda: gates, self.allowances)
        known = Identities(self.clock, KeyReader(self.table, self.clock, Random(2)), allowances=self.allowances)
        async with gateway([deployment(up.base_url)], admissions=admissions) as gw:
            app = Gateway(replace(gw.edge, authenticator=Authenticator(None, known), clock=RealClock()))
            async with gw.against(app) as client:
                client.headers["authorization"] = f"Bearer {key}"
                yield client

    async def trips(self, client: httpx2.AsyncClient) -> int:
        self.table.trips = 0
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        assert (await client.post("/v1/chat/completions", content=body)).status_code == 200
        return self.table.trips


LIMITED = Allowance(rpm=100)
MODEL = Limits(models={"m": Limit(rpm=100)})


@pytest.mark.parametrize(
    ("fields", "limits", "cold", "warm"),
    [
        (KeyFields("free"), Limits(), 1, 0),
        (KeyFields("limited", allowance=LIMITED), Limits(), 2, 1),
        (KeyFields("limited", allowance=LIMITED), MODEL, 2, 1),
        (KeyFields("limited", team="t", allowance=LIMITED), MODEL, 3, 1),
    ],
    ids=["no limits", "a key", "a key and a model", "a key, a team and a model"],
)
async def test_trips_to_the_table_before_the_provider_is_asked(fields: KeyFields, limits: Limits, cold: int, warm: int) -> None:
    """With limits of requests alone nothing is settled: what is counted is all that there is."""
    here = Setting(limits)
    key = await here.key(fields)
    async with upstream() as up:
        up.will_answer(ANSWER)
        async with here.environment(up, key) as first:
            await here.trips(first)  # the very first request of all makes the gates
        async with here.environment(up, key) as client:
            assert [await here.trips(client) for _ in range(3)] == [cold, warm, warm]
