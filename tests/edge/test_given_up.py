"""Attempts that another one took the place of, and that their providers may bill: what is held for them before the next one
starts, what they are charged, and where.
"""

import asyncio
from random import Random
from typing import Any

import pytest
from tests.edge.given_up import ANSWERED_BY_DEAR, FAST, HEDGED, MOST_ANSWER, SLOW, TIMED_OUT, World, told, world
from tests.support.pair import answer, delta
from tests.support.upstream import Cut, Hang, Step, event, whole

from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.config.policies import Limit
from pllm.core.profile import ThinkingStyle

LAST = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
STREAM = (delta("x"), delta(finish="stop"), LAST, event("[DONE]"))


async def prompt_tokens(here: World) -> int:
    """What the prompt of `World.ask` is taken to have at most."""
    (row,) = [one for name, one in here.rows().items() if name == "m/cheap"]
    return row.prompt_tokens


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


async def test_what_an_answer_costs_beyond_what_was_held_is_charged_after_an_attempt_that_cost_nothing_too() -> None:
    """Nothing more was held for the second attempt, so the first hold is the one that it is charged to."""
    async with world(limit=Limit(tpm=1_000_000), retries=0) as here:
        here.first.will(whole(b"", 500))
        here.second.will(told(9_000, 9_000))
        assert (await here.ask()).headers["x-pllm-deployment"] == "m/dear"
        assert here.line["cost_micro_usd"] == 9_000 * (3 + 5)
        assert await here.spent() == 9_000 * (3 + 5)
        assert (await here.gate()).tokens_left == 1_000_000 - 18_000


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
