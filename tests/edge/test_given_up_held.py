"""What is held before a further attempt starts, and what asking for it costs of the table."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.edge.given_up import ANSWERED_BY_DEAR, FAST, HEDGED, SLOW, TIMED_OUT, World, world
from tests.support.pair import answer
from tests.support.upstream import Hang, whole

from pllm.core.config.policies import Limit

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
