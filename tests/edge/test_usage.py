"""GET /v1/usage: each sees their own, and what is told is what the log lines said."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest
from tests.support.faulty import Fault, FaultyStore
from tests.support.gateway import Harness, RealClock, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, Upstream, chunk, event, upstream

from pllm.core.errors import GatewayError
from pllm.core.principal import MASTER, Principal
from pllm.core.profile import ModelProfile, Prices
from pllm.core.usage_report import UsageQuery, parse_query
from pllm.core.usage_rows import Account
from pllm.edge.app import Gateway
from pllm.edge.http import HttpRequest
from pllm.edge.usage import UsageEndpoint, for_caller
from pllm.state.memory import MemoryStore
from pllm.state.usage import Ledger
from pllm.state.usage_reader import UsageReader

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "four"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40, "prompt_tokens_details": {"cached_tokens": 8}},
}
PRICES = Prices(input=2_500_000, output=10_000_000, cache_read=1_250_000, version="2026-11-22")


class Door:
    """Lets in whoever the test says it is."""

    def __init__(self) -> None:
        self.caller = Principal("key1", team="red")

    async def authenticate(self, request: HttpRequest) -> Principal:
        return self.caller


class Setting:
    def __init__(self, harness: Harness, up: Upstream) -> None:
        self.up, self.harness, self.door = up, harness, Door()
        self.store = FaultyStore(MemoryStore())
        clock = RealClock()
        self.ledger = Ledger(self.store, clock, lambda: "environment1", harness.lines.append, exact=True)
        usage = UsageEndpoint(UsageReader(self.store, clock), clock)
        edge = replace(
            harness.edge,
            routes={**harness.edge.routes, "/v1/usage": {"GET": ("usage", usage)}},
            authenticator=self.door,  # type: ignore[arg-type]
            settle=self.ledger.settle,
            count=self.ledger.add,
        )
        self.client = harness.against(Gateway(edge))

    async def chat(self, **changes: object) -> httpx2.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | changes
        return await self.client.post("/v1/chat/completions", content=json.dumps(body))


@asynccontextmanager
async def setting() -> AsyncIterator[Setting]:
    profile = ModelProfile(prices=PRICES)
    async with upstream() as up, gateway([deployment(up.base_url, profile=profile)]) as harness:
        here = Setting(harness, up)
        yield here
        await here.client.aclose()


async def test_the_sum_of_the_rows_is_the_sum_of_the_metrics() -> None:
    """U1, through the whole gateway: whole answers, streams, broken streams, failures, refusals."""
    async with setting() as here:
        here.up.will_answer(ANSWER)
        here.up.will_answer({"error": {"message": "no"}}, 400)
        here.up.will_stream(
            event({"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}),
            event({"id": "c", "choices": [], "usage": ANSWER["usage"]}),
            event("[DONE]"),
        )
        here.up.will(STREAM_HEAD, chunk(event({"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}}]})), Cut())
        await here.chat()
        await here.chat()
        await here.chat(stream=True)
        await here.chat(stream=True)
        await here.chat(model="unknown")
        lines = [line for line in here.harness.lines if "_aws" in line and line.get("model")]
        page = (await here.client.get("/v1/usage?group_by=model,deployment,prices")).json()
        [row] = page["data"]
        sums = {
            name: sum(line.get(name, 0) for line in lines)
            for name in ("Requests", "Errors", "PromptTokens", "CompletionTokens")
        }
        assert (sums["Requests"], sums["Errors"], row["estimated_requests"]) == (4, 2, 1)
        assert sums["PromptTokens"] > 60
        assert (row["requests"], row["errors"]) == (sums["Requests"], sums["Errors"])
        assert (row["prompt_tokens"], row["completion_tokens"]) == (sums["PromptTokens"], sums["CompletionTokens"])
        assert row["cached_tokens"] == sum(line.get("CachedTokens", 0) for line in lines) == 16
        assert row["cost_usd"] == pytest.approx(sum(line.get("CostUSD", 0) for line in lines))
        assert row["cost_micro_usd"] > 2 * (22 * 5 // 2 + 10 + 100)
        assert (row["model"], row["deployment"], row["prices"]) == ("m", "m/1", "2026-11-22")


async def test_each_key_sees_its_own_and_the_master_key_all() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        await here.chat()
        here.door.caller = Principal("key2", team="red")
        await here.chat()
        await here.chat()
        seen = {}
        for caller in (Principal("key1"), Principal("key2"), Principal("key3"), MASTER, Principal("v", "viewer")):
            here.door.caller = caller
            data = (await here.client.get("/v1/usage?group_by=key")).json()["data"]
            seen[caller.id] = {line["key"]: line["requests"] for line in data}
        everybody = {"key1": 1, "key2": 2}
        assert seen == {"key1": {"key1": 1}, "key2": {"key2": 2}, "key3": {}, "master": everybody, "v": everybody}


async def test_a_member_may_see_the_sums_of_the_team() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        await here.chat()
        here.door.caller = Principal("key2", team="red")
        await here.chat()
        [line] = (await here.client.get("/v1/usage?team=red")).json()["data"]
        assert line["requests"] == 2


async def test_it_comes_as_csv() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        await here.chat()
        response = await here.client.get("/v1/usage?group_by=model", headers={"accept": "text/csv"})
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        head, line = response.text.splitlines()
        assert head.startswith("start,model,requests,errors,")
        assert line.split(",")[1:4] == ["m", "1", "0"]


async def test_a_table_out_of_reach_is_a_503_that_says_when_to_come_back() -> None:
    async with setting() as here:
        here.store.always = Fault.THROTTLED
        response = await here.client.get("/v1/usage")
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_a_query_that_cannot_be_read_is_a_400() -> None:
    async with setting() as here:
        assert (await here.client.get("/v1/usage?period=week")).status_code == 400
        assert (await here.client.get("/v1/usage?" + "&".join(f"model={n}" for n in range(99)))).status_code == 400


async def test_a_deployment_without_a_table_has_no_usage() -> None:
    async with setting() as here:
        edge = replace(here.harness.edge, routes={"/v1/usage": {"GET": ("usage", UsageEndpoint(None, RealClock()))}})
        async with here.harness.against(Gateway(edge)) as client:
            response = await client.get("/v1/usage")
        assert (response.status_code, "PLLM_TABLE" in response.text) == (501, True)


ALL = Account("key1", "m", "d", "red"), Account("key2", "m", "d", "red"), Account("key3", "m", "d", "blue")


def seen(caller: Principal, **given: str) -> list[str]:
    query: UsageQuery = for_caller(parse_query({name: [value] for name, value in given.items()}, 1.8e9), caller)
    return [account.key for account in ALL if query.holds(account)]


RED = Principal("key1", team="red")


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({}, ["key1"]),
        ({"key": "key1"}, ["key1"]),
        ({"team": "red"}, ["key1", "key2"]),
        ({"team": "red", "key": "key1"}, ["key1"]),
    ],
)
def test_what_a_caller_may_see(given: dict[str, str], keys: list[str]) -> None:
    assert seen(RED, **given) == keys


@pytest.mark.parametrize(
    "given",
    [{"key": "key2"}, {"team": "blue"}, {"team": "red", "group_by": "key"}, {"team": "red", "key": "key2"}, {"team": ""}],
)
def test_what_a_caller_may_not_see(given: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as refusal:
        seen(RED, **given)
    assert refusal.value.status == 403


def test_who_has_no_team_sees_no_team() -> None:
    with pytest.raises(GatewayError):
        seen(Principal("key9"), team="")
