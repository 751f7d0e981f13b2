"""What the tests of attempts that were given up share: two deployments at two prices, and a budget."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import httpx2
from tests.edge.test_round_trips import Trips
from tests.support.gateway import Harness, deployment, gateway
from tests.support.pair import answer
from tests.support.upstream import Hang, Upstream, upstream, whole

from pllm.admission import Admissions
from pllm.core.allowances import Allowances
from pllm.core.clock import ManualClock
from pllm.core.config.policies import Budget, Budgets, Limit, Limits
from pllm.core.deployment import Deployment
from pllm.core.limit_image import GateImage
from pllm.core.profile import ModelProfile, Prices, ThinkingStyle
from pllm.core.usage_rows import Amounts
from pllm.edge.app import Gateway
from pllm.state.gate import Gates
from pllm.state.usage import Ledger

BUDGET = 1_000_000
MOST_ANSWER = 100


# pair.answer tells one token each way.
CHEAP, DEAR = Prices(input=1_000_000, output=2_000_000), Prices(input=3_000_000, output=5_000_000)
ANSWERED_BY_DEAR = 3 + 5


def profile(prices: Prices, thinking: ThinkingStyle = "none") -> ModelProfile:
    return ModelProfile(default_max_tokens=MOST_ANSWER, prices=prices, thinking=thinking, known=True)


@dataclass
class World:
    """`first` is asked first, and is the cheap one; `second` costs several times as much."""

    first: Upstream
    second: Upstream
    table: Trips
    clock: ManualClock
    allowances: Allowances
    gates: Gates
    ledger: Ledger
    gw: Harness
    client: httpx2.AsyncClient

    async def ask(self, **body: Any) -> httpx2.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | body
        return await self.client.post("/v1/chat/completions", json=body)

    async def gate(self) -> GateImage:
        image = await self.gates.look(self.allowances.of_model("m"))
        assert image is not None
        return image

    async def spent(self) -> int:
        """What the budget has paid, with nothing held any more."""
        image = await self.gate()
        assert (image.held, image.parallel) == (0, 0)
        return (image.budget_limit or 0) - image.budget_left

    def rows(self) -> dict[str, Amounts]:
        """What the ledger has of each deployment."""
        found: dict[str, Amounts] = {}
        for (_, account), amounts in self.ledger._pending.items():
            found[account.deployment] = found.get(account.deployment, Amounts()) + amounts
        return found

    @property
    def line(self) -> dict[str, Any]:
        return self.gw.log()


def two(one: Upstream, other: Upstream, thinking: ThinkingStyle, more: dict[str, Any]) -> Sequence[Deployment]:
    cheap = deployment(one.base_url, id="m/cheap", priority=1, profile=profile(CHEAP, thinking), **more)
    return [cheap, deployment(other.base_url, id="m/dear", priority=2, profile=profile(DEAR, thinking))]


def told(prompt: int, completion: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return whole(json.dumps(answer("late") | {"usage": usage}).encode(), content_type="application/json")


SLOW = (Hang(),)
FAST = (told(1, 1),)
HEDGED: dict[str, Any] = {"hedge_after_s": 0.02}
TIMED_OUT: dict[str, Any] = {"attempt_timeout_s": 0.5}  # connecting must not take so long


@asynccontextmanager
async def world(
    *,
    limit: Limit | None = None,
    budget: int | None = BUDGET,
    thinking: ThinkingStyle = "none",
    first: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[World]:
    table, clock = Trips(), ManualClock(1_800_000_000.0)
    budgets = Budgets(models={"m": Budget(amount=budget, period="total")} if budget is not None else {})
    allowances = Allowances(Limits(models={"m": limit} if limit else {}), budgets)
    gates = Gates(table, clock, Random(1))
    ledger = Ledger(table, clock, lambda: "environment", lambda line: None)
    async with upstream() as one, upstream() as other:
        places = two(one, other, thinking, first or {})
        async with gateway(places, admissions=Admissions(lambda: gates, allowances), **options) as gw:
            client = gw.against(Gateway(replace(gw.edge, count=ledger.add)))
            yield World(one, other, table, clock, allowances, gates, ledger, gw, client)
