"""Limits and budgets seen from the client's side: who is refused, what is told, and what is given back."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.support.gateway import deployment, gateway
from tests.support.limited import Limited
from tests.support.upstream import Cut, Hang, event, upstream

from pllm.core.config.policies import Budget, Limit
from pllm.core.profile import ModelProfile, Prices

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
PRICED = ModelProfile(default_max_tokens=100, prices=Prices(input=1_000_000, output=2_000_000), known=True)


async def test_requests_over_the_limit_are_told_which_limit_whose_and_when() -> None:
    limited = Limited(Limit(rpm=2))
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        up.will_answer(ANSWER)
        first, second, third = [await gw.chat() for _ in range(3)]
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert second.status_code == 200
        assert third.status_code == 429
        assert "model 'm'" in third.json()["error"]["message"]
        assert third.headers["x-ratelimit-remaining-requests"] == "0"
        assert 0 < int(third.headers["retry-after"]) <= 60
        assert len(up.requests) == 2
        limited.clock.advance(60)
        assert (await gw.chat()).status_code == 200


async def test_a_hundred_clients_at_once_get_exactly_the_limit() -> None:
    limited = Limited(Limit(rpm=40))
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        up.will_answer(ANSWER)
        answers = await asyncio.gather(*(gw.chat() for _ in range(100)))
        assert sum(a.status_code == 200 for a in answers) == 40
        assert sum(a.status_code == 429 for a in answers) == 60


async def test_tokens_are_set_aside_and_what_was_not_used_is_given_back() -> None:
    limited = Limited(Limit(tpm=1_000))
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        up.will_answer(ANSWER)
        assert (await gw.chat(max_tokens=500)).status_code == 200
        assert (await limited.left()).tokens_left == 1_000 - 15
        refused = await gw.chat(max_tokens=990)
        assert refused.status_code == 429
        assert "tokens" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_output_tokens": -1_000_000}),
        ("chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_output_tokens": 1}),
        ("responses", {"input": "x", "max_output_tokens": -1_000_000}),
        ("responses", {"input": "x", "max_output_tokens": 9_000, "max_tokens": 1}),
        ("messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9_000, "max_completion_tokens": 1}),
        ("messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": -1_000_000}),
        ("completions", {"prompt": "x", "max_tokens": 400, "n": 1, "best_of": 20}),
        ("completions", {"prompt": ["x"] * 20, "max_tokens": 400}),
        ("completions", {"prompt": [[1, 2]] * 20, "max_tokens": 400}),
        ("embeddings", {"input": "x" * 6_000, "max_tokens": -1_000_000}),
        ("images/generations", {"prompt": "x", "max_tokens": 1}),
    ],
)
async def test_no_field_makes_a_request_look_smaller_than_it_may_become(path: str, body: dict[str, Any]) -> None:
    limited = Limited(Limit(tpm=4_000))
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        response = await gw.client.post(f"/v1/{path}", json={"model": "m", **body})
        assert response.status_code == 429
        assert up.requests == []


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ({"reasoning_effort": "high"}, 69_000),
        ({"reasoning_effort": "high", "max_tokens": 1_500}, 2_500),
        ({}, 3_000),
    ],
    ids=["room to think", "room beside a cap", "the deployment's default"],
)
async def test_what_the_gateway_adds_to_an_answer_is_set_aside_too(asked: dict[str, Any], most: int) -> None:
    thinking = ModelProfile(thinking="budget", default_max_tokens=4_096, max_output_tokens=128_000, known=True)
    limited = Limited(Limit(tpm=most - 10))
    async with upstream() as up:
        one = deployment(
            up.base_url, profile=thinking, dialects=("messages",), defaults={"max_tokens": 3_000} if not asked else {}
        )
        async with gateway([one], admissions=limited.admissions) as gw:
            refused = await gw.chat(**asked)
            assert refused.status_code == 429
            assert up.requests == []


async def test_every_call_that_n_becomes_is_set_aside_with_its_prompt() -> None:
    words = "word " * 200
    limited = Limited(Limit(tpm=3 * len(words)))
    async with upstream() as up:
        one = deployment(up.base_url, provider="anthropic", dialects=("messages",))
        async with gateway([one], admissions=limited.admissions) as gw:
            refused = await gw.chat(messages=[{"role": "user", "content": words}], n=4, max_tokens=1)
            assert refused.status_code == 429
            assert up.requests == []


async def test_a_list_of_numbers_is_one_prompt() -> None:
    limited = Limited(Limit(tpm=4_000))
    async with upstream() as up:
        one = deployment(up.base_url, dialects=("completions",))
        async with gateway([one], admissions=limited.admissions) as gw:
            up.will_answer(ANSWER)
            await gw.client.post("/v1/completions", json={"model": "m", "prompt": [1, 2, 3] * 50, "max_tokens": 400})
            assert len(up.requests) == 1


async def test_a_deployment_that_is_full_sends_the_client_away_until_its_minute_is_over() -> None:
    limited = Limited()
    async with upstream() as up, gateway([deployment(up.base_url, rpm=1)], admissions=limited.admissions) as gw:
        up.will_answer(ANSWER)
        assert (await gw.chat()).status_code == 200
        refused = await gw.chat()
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert "deployment 'm/1' reached: requests per minute: limit 1, remaining 0" in refused.json()["error"]["message"]
        assert len(up.requests) == 1


async def test_money_is_charged_to_the_micro_dollar() -> None:
    limited = Limited(budget=Budget(amount=1_000_000))
    async with upstream() as up, gateway([deployment(up.base_url, profile=PRICED)], admissions=limited.admissions) as gw:
        up.will_answer(ANSWER)
        assert (await gw.chat()).status_code == 200
        image = await limited.left()
        assert image.budget_left == 1_000_000 - (10 * 1 + 5 * 2)


async def test_a_budget_that_is_spent_is_insufficient_quota() -> None:
    limited = Limited(budget=Budget(amount=100))
    async with upstream() as up, gateway([deployment(up.base_url, profile=PRICED)], admissions=limited.admissions) as gw:
        response = await gw.chat(max_tokens=1_000)
        assert response.status_code == 429
        assert response.json()["error"]["code"] == "insufficient_quota"
        assert up.requests == []


async def test_a_budget_refuses_a_model_whose_price_nobody_knows() -> None:
    limited = Limited(budget=Budget(amount=1_000_000))
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        response = await gw.chat()
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "price_unknown"


async def test_that_refusal_names_the_deployment_without_a_price_and_no_other() -> None:
    limited = Limited(budget=Budget(amount=1_000_000))
    async with upstream() as up:
        priced, other = deployment(up.base_url, id="first", profile=PRICED), deployment(up.base_url, id="fallback")
        async with gateway([priced, other], admissions=limited.admissions) as gw:
            message = (await gw.chat()).json()["error"]["message"]
            assert "'fallback'" in message
            assert "'first'" not in message
            assert up.requests == []


async def test_a_stream_that_broke_before_it_told_its_usage_is_charged_what_was_set_aside() -> None:
    limited = Limited(Limit(tpm=10_000))
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        delta = event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
        up.will_stream(delta, end=(Hang(gw.committed), Cut()))
        await gw.chat(stream=True, max_tokens=1_000)
        assert (await limited.left()).tokens_left < 10_000 - 1_000


SHOWN = replace(PRICED, thinking="none")
"""A model that does not think in private: all that it generates is in the stream."""


async def test_a_stream_that_broke_is_charged_its_prompt_and_what_it_showed() -> None:
    limited = Limited(budget=Budget(amount=1_000_000))
    async with upstream() as up, gateway([deployment(up.base_url, profile=SHOWN)], admissions=limited.admissions) as gw:
        delta = event({"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]})
        up.will_stream(delta, end=(Hang(gw.committed), Cut()))
        await gw.chat(stream=True, max_tokens=1_000)
        line = gw.log()
        assert (line["estimated"], line["broken"], line["completion_tokens"]) == (True, True, len("hello") + 1 + 32)
        assert (await limited.left()).budget_left == 1_000_000 - line["cost_micro_usd"]
        assert line["cost_micro_usd"] == line["prompt_tokens"] * 1 + line["completion_tokens"] * 2


async def test_a_client_that_left_is_charged_what_it_was_shown() -> None:
    limited = Limited(budget=Budget(amount=1_000_000))
    async with upstream() as up, gateway([deployment(up.base_url, profile=SHOWN)], admissions=limited.admissions) as gw:
        delta = event({"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]})
        up.will_stream(delta, delta, end=(Hang(),))
        asking = asyncio.ensure_future(gw.chat(stream=True, max_tokens=1_000))
        await gw.committed.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        line = gw.log()
        assert line["estimated"]
        assert 5 + 1 + 32 <= line["completion_tokens"] <= 2 * (5 + 1) + 32
        image = await limited.left()
        assert (image.budget_left, image.held) == (1_000_000 - line["cost_micro_usd"], 0)
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_a_request_that_no_provider_took_costs_no_tokens() -> None:
    limited = Limited(Limit(tpm=10_000))
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        up.will_answer({"error": {"message": "bad"}}, 400)
        assert (await gw.chat()).status_code == 400
        assert (await limited.left()).tokens_left == 10_000


async def test_parallel_calls_are_counted_until_the_last_byte() -> None:
    limited = Limited(Limit(max_parallel=1))
    go_on = asyncio.Event()
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        delta = event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
        up.will_stream(delta, end=(Hang(go_on), Cut()))
        running = asyncio.create_task(gw.chat(stream=True))
        await asyncio.wait_for(gw.committed.wait(), 5)
        refused = await gw.chat()
        assert refused.status_code == 429
        assert "in flight" in refused.json()["error"]["message"]
        go_on.set()
        await running
        up.scripts.clear()
        up.will_answer(ANSWER)
        assert (await gw.chat()).status_code == 200


async def test_a_deployment_at_its_limit_is_passed_over_for_the_next() -> None:
    limited = Limited()
    async with upstream() as small, upstream() as large:
        small.will_answer(ANSWER)
        large.will_answer(ANSWER)
        first = deployment(small.base_url, id="m/small", priority=1, rpm=1)
        second = deployment(large.base_url, id="m/large", priority=2)
        async with gateway([first, second], admissions=limited.admissions) as gw:
            served = [(await gw.chat()).headers["x-pllm-deployment"] for _ in range(3)]
            assert served == ["m/small", "m/large", "m/large"]


async def test_without_limits_nothing_is_asked_of_the_table() -> None:
    limited = Limited()
    async with upstream() as up, gateway([deployment(up.base_url)], admissions=limited.admissions) as gw:
        up.will_answer(ANSWER)
        response = await gw.chat()
        assert not [name for name in response.headers if name.startswith("x-ratelimit")]
        assert limited.store.items == {}
