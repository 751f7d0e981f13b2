"""What a stream cost, for those who ask: `x-pllm-include: cost` puts it into a comment before the end, in every dialect."""

import re
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from tests.support.dialects import CHAT, DIALECTS, MESSAGES, Dialect
from tests.support.gateway import KEY, Harness, gateway
from tests.support.upstream import Reset, upstream
from tests.wire.openai_responses.test_relay import FRAMES

from pllm.core.profile import ModelProfile, Prices

PRICED = ModelProfile(
    prices=Prices(input=2_500_000, output=10_000_000, cache_read=1_250_000), thinking="none", default_max_tokens=1000
)
ASKED = {"x-pllm-include": "cost"}
COMMENT = re.compile(rb"^: x-pllm-[a-z-]+: .*\n(?:: .*\n)*\n", re.MULTILINE)

HELLO = [{"role": "user", "content": "hi"}]
CLIENTS: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "chat": ("/v1/chat/completions", {"messages": HELLO, "stream_options": {"include_usage": True}}, b"data: [DONE]"),
    "messages": ("/v1/messages", {"messages": HELLO, "max_tokens": 50}, b"event: message_stop"),
    "responses": ("/v1/responses", {"input": "hi", "store": False}, b"event: response.completed"),
}

EVERY_UPSTREAM = pytest.mark.parametrize("upstream_dialect", DIALECTS, ids=lambda one: one.name)


async def asked(gw: Harness, client: str, **headers: str) -> httpx2.Response:
    path, body, _ = CLIENTS[client]
    return await gw.client.post(path, json={"model": "m", "stream": True, **body}, headers=headers)


def steady(content: bytes) -> bytes:
    """Without the ids and times that are made for each answer."""
    return re.sub(rb'"(id|item_id|created|created_at|completed_at|obfuscation)":\s?("[^"]*"|\d+)', b"", content)


@EVERY_UPSTREAM
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_exact_cost_is_a_comment_before_the_end_and_nothing_else_changes(
    client: str, upstream_dialect: Dialect
) -> None:
    async with upstream() as up, gateway([upstream_dialect.deployment(up, profile=PRICED)]) as gw:
        for _ in range(2):
            up.will(*upstream_dialect.stream())
        plain, told = await asked(gw, client), await asked(gw, client, **ASKED)
        assert not COMMENT.search(plain.content)
        [comment] = COMMENT.findall(told.content)
        assert comment == f": x-pllm-cost-usd: {gw.log()['cost_micro_usd'] / 1e6:.6f}\n\n".encode()
        assert gw.log()["cost_micro_usd"] > 0
        assert steady(COMMENT.sub(b"", told.content)) == steady(plain.content)
        assert told.content.index(comment) < told.content.rindex(CLIENTS[client][2])


async def test_a_stream_that_is_passed_on_stays_as_it_is_to_the_byte() -> None:
    async with upstream() as up, gateway([CHAT.deployment(up, profile=PRICED)]) as gw:
        for _ in range(2):
            up.will(*CHAT.stream())
        plain, told = await asked(gw, "chat"), await asked(gw, "chat", **ASKED)
        assert COMMENT.sub(b"", told.content) == plain.content


async def test_a_responses_stream_that_is_passed_on_says_it_too() -> None:
    async with upstream() as up, gateway([CHAT.deployment(up, profile=PRICED, dialects=("responses",))]) as gw:
        for _ in range(2):
            up.will_stream(*FRAMES)
        plain, told = await asked(gw, "responses"), await asked(gw, "responses", **ASKED)
        assert COMMENT.findall(told.content) == [f": x-pllm-cost-usd: {gw.log()['cost_micro_usd'] / 1e6:.6f}\n\n".encode()]
        assert COMMENT.sub(b"", told.content) == plain.content


async def test_one_that_comes_in_one_piece_says_it_too() -> None:
    async with upstream() as up, gateway([CHAT.deployment(up, profile=PRICED)]) as gw:
        up.will(*CHAT.stream([b"".join(CHAT.events)]))
        assert len(COMMENT.findall((await asked(gw, "chat", **ASKED)).content)) == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_one_that_breaks_says_what_is_charged_and_that_it_is_an_estimate(client: str) -> None:
    async with upstream() as up, gateway([CHAT.deployment(up, profile=PRICED)]) as gw:
        up.will(*CHAT.stream(CHAT.events[:2], end=(Reset(),)))
        told = await asked(gw, client, **ASKED)
        assert gw.log()["estimated"]
        cost = f": x-pllm-cost-usd: {gw.log()['cost_micro_usd'] / 1e6:.6f}\n: x-pllm-estimated: true\n\n".encode()
        assert COMMENT.findall(told.content) == [cost]
        assert told.content.index(cost) < told.content.rindex(b"error")


async def test_a_usage_that_was_never_told_is_an_estimate_as_well() -> None:
    async with upstream() as up, gateway([CHAT.deployment(up, profile=PRICED)]) as gw:
        up.will(*CHAT.stream([one for one in CHAT.events if b'"usage"' not in one]))
        [comment] = COMMENT.findall((await asked(gw, "chat", **ASKED)).content)
        assert comment == f": x-pllm-cost-usd: {gw.log()['cost_micro_usd'] / 1e6:.6f}\n: x-pllm-estimated: true\n\n".encode()


async def test_a_cost_that_is_not_known_is_not_said_to_be_nought() -> None:
    async with upstream() as up, gateway([CHAT.deployment(up)]) as gw:
        up.will(*CHAT.stream())
        assert not COMMENT.search((await asked(gw, "chat", **ASKED)).content)


async def test_the_one_who_answered_in_the_end_is_priced() -> None:
    dear = ModelProfile(prices=Prices(input=900_000_000, output=900_000_000))
    async with upstream() as up:
        first = CHAT.deployment(up, id="m/1", profile=dear)
        async with gateway([first, CHAT.deployment(up, id="m/2", profile=PRICED, priority=1)]) as gw:
            up.will_answer({"error": {"message": "down"}}, status=503)
            up.will(*CHAT.stream())
            [comment] = COMMENT.findall((await asked(gw, "chat", **ASKED)).content)
            assert comment == b": x-pllm-cost-usd: 0.000073\n\n"


@pytest.mark.parametrize("wish", ["price", "cost, tokens", "COST"])
async def test_a_wish_that_there_is_not_is_named(wish: str) -> None:
    async with upstream() as up, gateway([CHAT.deployment(up)]) as gw:
        response = await asked(gw, "chat", **{"x-pllm-include": wish})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "x-pllm-include")
        assert up.requests == []


# --- The official SDKs -----------------------------------------------------------------------------------------------


async def test_openais_sdk_sees_the_same_chunks() -> None:
    async with upstream() as up, gateway([CHAT.deployment(up, profile=PRICED)]) as gw:
        sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)
        seen = []
        for headers in ({}, ASKED):
            up.will(*CHAT.stream())
            stream = await sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True, extra_headers=headers
            )
            seen.append([chunk.model_dump(exclude_unset=True) async for chunk in stream])
        assert seen[0] == seen[1]
        assert not gw.log().get("client_gone")


async def test_openais_sdk_reads_responses_and_the_comment_is_there_for_whoever_reads_lines() -> None:
    async with upstream() as up, gateway([CHAT.deployment(up, profile=PRICED)]) as gw:
        sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)
        up.will(*CHAT.stream())
        async with sdk.responses.stream(model="m", input="hi", store=False, extra_headers=ASKED) as events:
            final = await events.get_final_response()
        assert final.status == "completed"
        up.will(*CHAT.stream())
        asking = sdk.chat.completions.with_streaming_response.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True, extra_headers=ASKED
        )
        async with asking as response:
            lines = [line async for line in response.iter_lines()]
        assert ": x-pllm-cost-usd: 0.000073" in lines


async def test_anthropics_sdk_sees_the_same_message() -> None:
    async with upstream() as up, gateway([MESSAGES.deployment(up, profile=PRICED)]) as gw:
        sdk = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=gw.client, max_retries=0)
        seen = []
        for headers in ({}, ASKED):
            up.will(*MESSAGES.stream())
            async with sdk.messages.stream(
                model="m", max_tokens=50, messages=[{"role": "user", "content": "hi"}], extra_headers=headers
            ) as running:
                seen.append((await running.get_final_message()).model_dump())
        assert seen[0] == seen[1]
