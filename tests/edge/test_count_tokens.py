"""POST /v1/messages/count_tokens, with the official SDK, on every kind of upstream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anthropic
import pytest
from tests.support.caller import Caller
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import Cut, Hang, Upstream, upstream, whole

from pllm.core.deployment import Deployment
from pllm.core.limits import BudgetLimit, GateLimits, Reservation
from pllm.core.secret import Secret
from pllm.state.gate_ticket import Ticket

HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"name": "f", "description": "F.", "input_schema": {"type": "object", "properties": {}}}]


def claude(up: Upstream, **changes: Any) -> Deployment:
    return deployment(up.base_url, **({"provider": "anthropic", "model": "claude-x", "dialects": ("messages",)} | changes))


def bedrock(up: Upstream, **changes: Any) -> Deployment:
    own = {"provider": "bedrock", "model": "us.anthropic.claude-x-v1:0", "dialects": ("converse",), "api_key": None}
    return deployment(up.base_url, **(own | {"api_base": up.base_url} | changes))


def gemini(up: Upstream, **changes: Any) -> Deployment:
    own = {"provider": "gemini", "model": "gemini-x", "dialects": ("gemini",), "api_base": f"{up.base_url}/v1beta"}
    return deployment(up.base_url, **(own | changes))


@asynccontextmanager
async def counting(*deployments: Deployment) -> AsyncIterator[tuple[Harness, anthropic.AsyncAnthropic]]:
    async with gateway(deployments) as gw:
        yield gw, anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=gw.client, max_retries=0)


async def count(sdk: anthropic.AsyncAnthropic, **fields: Any) -> tuple[int, Any]:
    raw = await sdk.messages.with_raw_response.count_tokens(**({"model": "m", "messages": HELLO} | fields))
    return (await raw.parse()).input_tokens, raw.headers


async def test_anthropics_own_count_is_passed_on_with_everything_the_client_said() -> None:
    async with upstream() as up, counting(claude(up)) as (gw, sdk):
        up.will_answer({"input_tokens": 14, "context_management": {"original_input_tokens": 14}})
        tokens, headers = await count(sdk, system="Be brief.", tools=TOOLS, extra_headers={"anthropic-beta": "b-1"})
        assert tokens == 14
        assert "x-pllm-emulated" not in headers
        assert headers["x-pllm-provider"] == "anthropic"
        (sent,) = up.requests
        assert sent.path == "/v1/messages/count_tokens"
        assert sent.headers["anthropic-beta"] == "b-1"
        assert sent.headers["x-api-key"] == "sk-upstream"
        assert sent.json() == {"model": "claude-x", "messages": HELLO, "system": "Be brief.", "tools": TOOLS}
        assert gw.log()["endpoint"] == "count_tokens"


async def test_bedrock_counts_in_converses_words() -> None:
    async with upstream() as up, counting(bedrock(up)) as (_, sdk):
        up.will_answer({"inputTokens": 11})
        assert (await count(sdk))[0] == 11
        (sent,) = up.requests
        assert sent.path == "/model/anthropic.claude-x-v1%3A0/count-tokens"
        assert sent.json() == {"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}}}
        assert sent.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDTEST/")


async def test_gemini_counts_a_whole_request() -> None:
    async with upstream() as up, counting(gemini(up)) as (_, sdk):
        up.will_answer({"totalTokens": 5})
        assert (await count(sdk, system="Be brief."))[0] == 5
        (sent,) = up.requests
        assert sent.path == "/v1beta/models/gemini-x:countTokens"
        assert sent.json()["generateContentRequest"]["model"] == "models/gemini-x"


async def test_vertex_counts_claude_under_its_own_address() -> None:
    async with upstream() as up:
        own = {"provider": "vertex", "api_base": up.base_url, "project": "p", "location": "us-east5", "model": "claude-x@1"}
        async with counting(claude(up, **own, api_key=Secret("ya29.t"))) as (_, sdk):
            up.will_answer({"input_tokens": 9})
            assert (await count(sdk))[0] == 9
            (sent,) = up.requests
            root = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/"
            assert sent.path == f"{root}count-tokens:rawPredict"
            assert sent.json()["model"] == "claude-x@1"


async def test_an_upstream_that_cannot_count_gets_an_estimate_that_says_so() -> None:
    async with upstream() as up, counting(deployment(up.base_url)) as (_, sdk):
        tokens, headers = await count(sdk)
        assert 8 <= tokens <= 40
        assert headers["x-pllm-emulated"] == "count_tokens"
        assert "x-pllm-provider" not in headers
        assert up.requests == []


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param((whole(b'{"message": "The provided model doesn\'t support counting tokens."}', 400),), id="400"),
        pytest.param((whole(b"overloaded", 503),), id="503"),
        pytest.param((whole(b"<html>", 200),), id="html"),
        pytest.param((Cut(),), id="cut"),
    ],
)
async def test_a_provider_that_fails_to_count_is_replaced_by_the_next_and_at_last_by_the_estimate(failing: Any) -> None:
    async with upstream() as bad, upstream() as good:
        first, second = bedrock(bad, id="m/bad", priority=1), claude(good, id="m/good", priority=2)
        bad.will(*failing)
        good.will_answer({"input_tokens": 3})
        async with counting(first, second) as (gw, sdk):
            tokens, headers = await count(sdk)
            assert (tokens, headers["x-pllm-deployment"], headers["x-pllm-attempts"]) == (3, "m/good", "2")
            assert gw.log()["failed_attempts"][0].startswith("m/bad: ")
        bad.will(*failing)
        async with counting(first) as (_, sdk):
            assert (await count(sdk))[1]["x-pllm-emulated"] == "count_tokens"


async def test_a_provider_that_takes_too_long_to_count_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.counting._PATIENCE_S", 0.05)
    async with upstream() as up, counting(claude(up)) as (gw, sdk):
        up.will(Hang())
        assert (await count(sdk))[1]["x-pllm-emulated"] == "count_tokens"
        assert gw.log()["failed_attempts"] == ["m/1: upstream_timeout"]


async def test_what_anthropic_says_of_a_wrong_request_is_for_the_client() -> None:
    async with upstream() as up, counting(claude(up)) as (_, sdk):
        up.will_answer({"type": "error", "error": {"type": "invalid_request_error", "message": "tools.0: no"}}, 400)
        with pytest.raises(anthropic.BadRequestError, match=r"tools\.0: no"):
            await count(sdk)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"model": "nowhere"}, 404, "does not exist"),
        ({"messages": "hi"}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400, "messages.0.content.0"),
    ],
)
async def test_errors_have_anthropics_shape(fields: dict[str, Any], status: int, words: str) -> None:
    async with upstream() as up, counting(deployment(up.base_url)) as (_, sdk):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await count(sdk, **fields)
        assert caught.value.status_code == status
        body: Any = caught.value.body
        assert body["type"] == "error"
        assert words in body["error"]["message"].replace("[", ".").replace("]", "")


# --- Limits ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def limited(caller: Caller, *deployments: Deployment) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with caller.client(*deployments) as client:
        yield anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=client, max_retries=0)


ALL = GateLimits("key/key_1", rpm=2, tpm=10, max_parallel=1, budget=BudgetLimit(5))


async def test_a_count_is_one_of_its_keys_requests_a_minute() -> None:
    caller = Caller(ALL)
    async with upstream() as up, limited(caller, claude(up)) as sdk:
        up.will_answer({"input_tokens": 14})
        _, headers = await count(sdk)
        assert headers["x-ratelimit-remaining-requests"] == "1"
        await count(sdk)
        with pytest.raises(anthropic.RateLimitError) as refused:
            await count(sdk)
        assert 0 < int(refused.value.response.headers["retry-after"]) <= 60
        assert "requests per minute" in refused.value.message
        assert len(up.requests) == 2
        caller.clock.advance(60)
        await count(sdk)


async def test_a_count_takes_nothing_else_and_is_refused_by_nothing_else() -> None:
    caller = Caller(ALL)
    spent = await caller.gates.admit([ALL], Reservation(10, 5))
    assert isinstance(spent, Ticket)
    before = await caller.gates.look(ALL)
    assert before is not None
    async with upstream() as up, limited(caller, claude(up)) as sdk:
        up.will_answer({"input_tokens": 14})
        caller.store.writes = 0
        assert (await count(sdk))[0] == 14
        assert caller.store.writes == 1
    assert await caller.gates.look(ALL) == replace(before, requests_left=0)


async def test_an_estimate_counts_and_a_request_that_cannot_be_counted_does_not() -> None:
    caller = Caller(ALL)
    async with upstream() as up, limited(caller, deployment(up.base_url)) as sdk:
        with pytest.raises(anthropic.BadRequestError):
            await count(sdk, messages=[{"role": "nobody", "content": "x"}])
        assert (await count(sdk))[1]["x-pllm-emulated"] == "count_tokens"
        assert (await count(sdk))[1]["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize("limits", [(), (replace(ALL, rpm=None),)], ids=["no limits", "none of requests"])
async def test_without_a_limit_of_requests_the_table_is_not_asked(limits: tuple[GateLimits, ...]) -> None:
    caller = Caller(*limits)
    async with upstream() as up, limited(caller, claude(up)) as sdk:
        up.will_answer({"input_tokens": 14})
        await count(sdk)
    assert caller.store.writes == 0
