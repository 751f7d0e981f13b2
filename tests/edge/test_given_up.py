"""Attempts that another one took the place of, and that their providers may bill: what is held for them before the next one
starts, what they are charged, and where.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import httpx2
import pytest
from tests.edge.test_round_trips import Trips
from tests.support.gateway import Harness, deployment, gateway
from tests.support.pair import answer, delta
from tests.support.upstream import Cut, Hang, Step, Upstream, event, upstream, whole

from pllm.admission import Admissions
from pllm.core.allowances import Allowances
from pllm.core.breaker_policy import BreakerPolicy
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
LAST = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
STREAM = (delta("x"), delta(finish="stop"), LAST, event("[DONE]"))


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


async def prompt_tokens(here: World) -> int:
    """What the prompt of `World.ask` is taken to have at most."""
    (row,) = [one for name, one in here.rows().items() if name == "m/cheap"]
    return row.prompt_tokens


# --- What is charged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [HEDGED, TIMED_OUT], ids=["a hedge's loser", "an attempt that timed out"])
@pytest.mark.parametrize(("stream", "thinking", "written"), [(False, "none", 100), (True, "none", 0), (True, "effort", 100)])
async def test_an_attempt_that_was_given_up_is_charged_at_its_own_price(
    options: dict[str, Any], stream: bool, thinking: ThinkingStyle, written: int
) -> None:
    """A stream that had shown nothing had written nothing, unless its model thinks first. Of a whole answer nobody knows."""
    async with world(thinking=thinking, **options) as here:
        here.first.will(*SLOW)
        here.second.will_stream(*STREAM) if stream else here.second.will_answer(answer("ok"))
        response = await here.ask(stream=stream)
        assert response.headers["x-pllm-deployment"] == "m/dear"
        prompt = await prompt_tokens(here)
        assert prompt >= len("hi")
        lost = prompt * 1 + written * 2
        assert await here.spent() == ANSWERED_BY_DEAR + lost
        cheap, dear = here.rows()["m/cheap"], here.rows()["m/dear"]
        assert (dear.requests, dear.cost_micro_usd, dear.estimated) == (1, ANSWERED_BY_DEAR, 0)
        assert (cheap.requests, cheap.cost_micro_usd, cheap.completion_tokens, cheap.estimated) == (0, lost, written, 1)
        assert here.line["cost_micro_usd"] == ANSWERED_BY_DEAR
        assert here.line["abandoned_cost_micro_usd"] == lost
        (told,) = here.line["abandoned_attempts"]
        counts = f"prompt_tokens={prompt} completion_tokens={written} cost_micro_usd={lost}"
        assert told.startswith(f"m/cheap: {counts} ")
        assert told.endswith(" estimated")
        metrics = [one for one in here.gw.lines if "_aws" in one]
        assert round(1e6 * sum(one["CostUSD"] for one in metrics)) == ANSWERED_BY_DEAR + lost
        assert sum(one["PromptTokens"] for one in metrics) == prompt + 1
        assert sum(one.get("Requests", 0) for one in metrics) == 1
        assert response.headers["x-pllm-abandoned-cost-usd"] == f"{lost / 1e6:.6f}"


async def test_a_connection_that_was_lost_after_the_request_is_charged_and_one_that_was_refused_is_not() -> None:
    async with world(retries=0) as here:
        here.first.will(Cut())
        here.second.will_answer(answer("ok"))
        await here.ask()
        lost = here.line["abandoned_cost_micro_usd"]
        assert lost > 0
        assert await here.spent() == ANSWERED_BY_DEAR + lost
    async with world(retries=0, first={"api_base": "http://127.0.0.1:9/v1"}) as here:
        here.second.will_answer(answer("ok"))
        await here.ask()
        assert here.line["failed_attempts"] == ["m/cheap: upstream_unreachable"]
        assert "abandoned_attempts" not in here.line
        assert await here.spent() == ANSWERED_BY_DEAR


@pytest.mark.parametrize("status", [408, 429, 500, 503, 504])
@pytest.mark.parametrize("body", [b"", b'{"error": {"message": "no", "type": "x"}}'], ids=["nothing said", "said"])
async def test_a_provider_that_says_no_costs_nothing(status: int, body: bytes) -> None:
    async with world(limit=Limit(tpm=10_000), retries=0) as here:
        here.first.will(whole(body, status, content_type="application/json"))
        here.second.will_answer(answer("ok"))
        assert (await here.ask()).headers["x-pllm-deployment"] == "m/dear"
        assert "abandoned_attempts" not in here.line
        assert await here.spent() == ANSWERED_BY_DEAR
        assert (await here.gate()).tokens_left == 10_000 - 2


@pytest.mark.parametrize(("other", "charged"), [(whole(b"", 500), False), (FAST[0], True)], ids=["none", "the other"])
async def test_of_the_calls_that_n_becomes_those_that_were_answered_are_charged(other: bytes, charged: bool) -> None:
    async with world(retries=0, first={"provider": "anthropic", "dialects": ("messages",)}) as here:
        here.first.will(whole(b"", 500))
        here.first.will(other)
        here.second.will_answer(answer("ok"))
        assert (await here.ask(n=2)).headers["x-pllm-deployment"] == "m/dear"
        assert len(here.first.requests) == 2
        assert ("abandoned_attempts" in here.line) is charged
        assert await here.spent() == ANSWERED_BY_DEAR + here.line.get("abandoned_cost_micro_usd", 0)


async def test_a_stream_that_breaks_before_its_first_event_is_charged_its_prompt() -> None:
    async with world(retries=0) as here:
        here.first.will_stream(b": wait\n\n", end=(Cut(),))
        here.second.will_stream(*STREAM)
        await here.ask(stream=True)
        assert here.line["failed_attempts"] == ["m/cheap: stream_broken"]
        assert here.line["abandoned_cost_micro_usd"] == await prompt_tokens(here)
        assert await here.spent() == ANSWERED_BY_DEAR + await prompt_tokens(here)


async def test_the_last_attempt_is_the_requests_own_also_if_it_failed() -> None:
    async with world(retries=0, **TIMED_OUT) as here:
        here.first.will(*SLOW)
        here.second.will(*SLOW)
        assert (await here.ask()).status_code == 504
        cheap, dear = here.rows()["m/cheap"], here.rows()["m/dear"]
        assert (cheap.requests, dear.requests, dear.errors, dear.estimated) == (0, 1, 1, 1)
        assert dear.cost_micro_usd == dear.prompt_tokens * 3 + MOST_ANSWER * 5
        assert await here.spent() == cheap.cost_micro_usd + dear.cost_micro_usd
        assert here.line["estimated"]


async def test_a_client_that_leaves_two_attempts_pays_for_both() -> None:
    async with world(**HEDGED) as here:
        here.first.will(*SLOW)
        here.second.will(*SLOW)
        asking = asyncio.ensure_future(here.ask())
        await here.second.asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        rows = here.rows()
        assert set(rows) == {"m/cheap", "m/dear"}
        assert min(row.cost_micro_usd for row in rows.values()) > 2 * MOST_ANSWER
        assert await here.spent() == sum(row.cost_micro_usd for row in rows.values())


async def test_a_loser_that_had_answered_after_all_is_charged_what_it_told() -> None:
    released = asyncio.Event()
    async with world(**HEDGED) as here:
        here.first.will(Hang(released), told(7, 9))
        here.second.will(Hang(released), told(7, 9))
        asking = asyncio.ensure_future(here.ask())
        await here.second.asked.wait()
        released.set()
        await asking
        by_price = {"m/cheap": 7 * 1 + 9 * 2, "m/dear": 7 * 3 + 9 * 5}
        rows = here.rows()
        winner = here.line["deployment"]
        assert rows[winner].cost_micro_usd == by_price[winner]
        assert await here.spent() == sum(row.cost_micro_usd for row in rows.values())
        assert len(rows) == 2


async def test_a_deployments_own_limit_is_charged_its_own_attempt_only() -> None:
    async with world(retries=0, budget=None, first={"tpm": 5_000}, **TIMED_OUT) as here:
        here.first.will(*SLOW)
        here.second.will_answer(answer("ok"))
        await here.ask()
        row = here.rows()["m/cheap"]
        gate = next(item for (pk, _), item in here.table.items.items() if pk == "G#dep/m/cheap")
        assert gate["t"] == 5_000 - row.prompt_tokens - MOST_ANSWER


@pytest.mark.parametrize("hedge_after_s", [None, 0.01], ids=["one after the other", "hedged"])
async def test_the_books_agree_whatever_becomes_of_the_attempts(hedge_after_s: float | None) -> None:
    """Budget, ledger and log: each the sum over all attempts of all requests."""
    random = Random(5)
    failures: list[Step] = [Hang(), Cut(), Cut(), whole(b"", 500), told(0, 0)[:-9]]
    never = BreakerPolicy(min_failures=10_000)
    async with world(
        retries=1, limit=Limit(tpm=10_000_000), breaker=never, attempt_timeout_s=0.1, hedge_after_s=hedge_after_s
    ) as here:
        logged = 0
        for _ in range(25):
            for up in (here.first, here.second):
                up.scripts.clear()
                for _ in range(random.randint(0, 2)):
                    up.will(random.choice(failures))
                up.will_answer(answer("ok"))
            await here.ask()
            line = here.line
            logged += line.get("cost_micro_usd", 0) + line.get("abandoned_cost_micro_usd", 0)
        rows = list(here.rows().values())
        assert sum(row.estimated for row in rows) > 10
        tokens = sum(row.prompt_tokens + row.completion_tokens for row in rows)
        assert await here.spent() == sum(row.cost_micro_usd for row in rows) == logged
        assert (await here.gate()).tokens_left == 10_000_000 - tokens
        assert sum(row.requests for row in rows) == 25


# --- What is held before the next one starts ------------------------------------------------------------------------


async def most_of_one(**options: Any) -> tuple[int, int]:
    """What a request is held against, money and tokens: as much as the dear one may cost."""
    async with world(limit=Limit(tpm=100_000), **options) as here:
        going = asyncio.Event()
        here.first.will(Hang(going), whole(b"", 400))
        asking = asyncio.ensure_future(here.ask())
        await here.first.asked.wait()
        gate = await here.gate()
        going.set()
        await asking
        return gate.held, 100_000 - gate.tokens_left


async def test_a_budget_that_holds_one_attempt_and_not_two_starts_no_hedge() -> None:
    one, _ = await most_of_one()
    for budget, hedged in ((2 * one - 1, False), (2 * one, True)):
        released = asyncio.Event()
        async with world(budget=budget, **HEDGED) as here:
            here.first.will(Hang(released), *FAST)
            here.second.will_answer(answer("ok"))
            asking = asyncio.ensure_future(here.ask())
            await asyncio.wait({asking}, timeout=20 if hedged else 0.2)
            released.set()
            response = await asking
            assert response.status_code == 200
            assert response.headers["x-pllm-deployment"] == ("m/dear" if hedged else "m/cheap")
            assert len(here.second.requests) == hedged
            assert await here.spent() <= budget


async def test_so_does_a_limit_of_tokens() -> None:
    _, one = await most_of_one()
    released = asyncio.Event()
    async with world(budget=None, limit=Limit(tpm=2 * one - 1), **HEDGED) as here:
        here.first.will(Hang(released), *FAST)
        asking = asyncio.ensure_future(here.ask())
        await asyncio.wait({asking}, timeout=0.2)
        released.set()
        assert (await asking).headers["x-pllm-deployment"] == "m/cheap"
        assert here.second.requests == []
        assert (await here.gate()).tokens_left == 2 * one - 1 - 2


async def test_where_a_hedge_is_refused_its_deployment_may_still_be_fallen_back_to() -> None:
    one, _ = await most_of_one()
    released = asyncio.Event()
    async with world(budget=one, retries=0, **HEDGED) as here:
        here.first.will(Hang(released), whole(b"", 500))
        here.second.will_answer(answer("ok"))
        asking = asyncio.ensure_future(here.ask())
        await asyncio.wait({asking}, timeout=0.2)
        released.set()
        assert (await asking).headers["x-pllm-deployment"] == "m/dear"
        assert await here.spent() == ANSWERED_BY_DEAR


async def test_a_fallback_that_the_budget_cannot_pay_beside_what_may_be_billed_is_refused() -> None:
    one, _ = await most_of_one()
    async with world(budget=one + 5, retries=0, **TIMED_OUT) as here:
        here.first.will(*SLOW)
        here.second.will_answer(answer("ok"))
        response = await here.ask()
        assert (response.status_code, response.json()["error"]["code"]) == (429, "insufficient_quota")
        message = response.json()["error"]["message"]
        assert message.startswith("Budget of model 'm' exceeded")
        assert "m/cheap gave no answer and may be billed" in message
        assert response.headers["x-pllm-attempts"] == "1"
        assert here.second.requests == []
        cheap = here.rows()["m/cheap"]
        assert await here.spent() == cheap.cost_micro_usd == here.line["abandoned_cost_micro_usd"]
        assert here.gw.emf()["BudgetExceeded"] == 1


async def test_a_retry_that_has_no_tokens_left_says_when_there_will_be_some() -> None:
    _, one = await most_of_one()
    async with world(budget=None, limit=Limit(tpm=one + 5, rpm=9), retries=1, **TIMED_OUT) as here:
        here.first.will(*SLOW)
        here.second.will(whole(b"", 500))
        response = await here.ask()
        assert response.status_code == 429
        assert "Rate limit of model 'm' reached: tokens per minute" in response.json()["error"]["message"]
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert response.headers["x-ratelimit-limit-tokens"] == str(one + 5)
        assert response.headers["x-ratelimit-remaining-requests"] == "8"
        assert here.gw.emf()["RateLimited"] == 1


async def test_a_further_attempt_is_no_other_request_and_no_other_call_in_flight() -> None:
    async with world(limit=Limit(rpm=1, max_parallel=1), **HEDGED) as here:
        here.first.will(*SLOW)
        here.second.will_answer(answer("ok"))
        assert (await here.ask()).headers["x-pllm-deployment"] == "m/dear"
        assert await here.spent() > ANSWERED_BY_DEAR
        assert (await here.gate()).requests_left == 0


# --- What it costs of the table -------------------------------------------------------------------------------------


async def trips(here: World, first: Sequence[Any]) -> int:
    """Before the answer. What comes after the last byte is not waited for."""
    for up in (here.first, here.second):
        up.scripts.clear()
    here.first.will(*first)
    here.second.will_answer(answer("ok"))
    here.table.trips = 0
    assert (await here.ask()).status_code == 200
    return here.table.trips


# The quick ones must not be taken for silent on a busy machine.
@pytest.mark.parametrize("options", [{"hedge_after_s": 0.4}, {"retries": 0, **TIMED_OUT}], ids=["hedged", "timed out"])
@pytest.mark.parametrize(
    ("limits", "alone", "replaced"),
    [
        ({"budget": None}, 0, 0),
        ({"budget": None, "limit": Limit(rpm=1000, max_parallel=9)}, 2, 2),
        ({"limit": Limit(rpm=1000)}, 2, 3),
        ({"budget": None, "limit": Limit(tpm=1_000_000)}, 2, 3),
    ],
    ids=["no limits", "requests only", "a budget", "tokens"],
)
async def test_only_a_further_attempt_asks_the_table_again(
    options: dict[str, Any], limits: dict[str, Any], alone: int, replaced: int
) -> None:
    """One trip before the attempt, where anything is limited, and one to settle."""
    async with world(**limits, **options) as here:
        await trips(here, FAST)
        assert await trips(here, FAST) == alone
        assert await trips(here, (whole(b"", 500),)) == alone
        assert await trips(here, SLOW) == replaced
