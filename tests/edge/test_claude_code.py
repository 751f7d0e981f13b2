"""What Claude Code sends, through the whole gateway: unchanged against Anthropic and Claude on Vertex AI, translated against
Bedrock. The requests are made with the official SDK, in the shape that Claude Code gives them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from tests.support.dialects import CLAUDE, CONVERSE, MESSAGES, VERTEX_CLAUDE
from tests.support.gateway import KEY, Harness, gateway
from tests.support.upstream import Upstream, upstream
from tests.wire.anthropic_messages.judge import check_request
from tests.wire.bedrock_converse.judge import judge

from pllm.core.deployment import Deployment
from pllm.wire.lane import WireRequest
from pllm.wire.translator import Encoded

BETAS = ["claude-code-20250219", "interleaved-thinking-2025-05-14", "fine-grained-tool-streaming-2025-05-14"]
EPHEMERAL = {"type": "ephemeral"}
EDITS = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}

SYSTEM: Any = [
    {"type": "text", "text": "You are a command line tool."},
    {"type": "text", "text": "Use the tools.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
]
TOOLS: Any = [
    {
        "name": name,
        "description": f"{name}s.",
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }
    for name in ("get_weather", "Bash")
]
HISTORY: Any = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "<system-reminder>be kind</system-reminder>"},
            {"type": "text", "text": "weather?"},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Let me look.", "signature": "c2lnbmF0dXJl"},
            {"type": "text", "text": "Looking."},
            {"type": "tool_use", "id": "toolu_a", "name": "get_weather", "input": {"city": "Paris"}},
            {"type": "tool_use", "id": "toolu_b", "name": "Bash", "input": {"city": "Rome"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_a", "content": [{"type": "text", "text": "rain"}]},
            {"type": "tool_result", "tool_use_id": "toolu_b", "content": "exit 1", "is_error": True},
            {"type": "text", "text": "<system-reminder>go on</system-reminder>", "cache_control": EPHEMERAL},
        ],
    },
]
ASK: dict[str, Any] = {
    "model": "m",
    "max_tokens": 32_000,
    "system": SYSTEM,
    "tools": TOOLS,
    "messages": HISTORY,
    "thinking": {"type": "enabled", "budget_tokens": 10_000},
    "metadata": {"user_id": "user_1_account__session_2"},
    "context_management": EDITS,
    "betas": BETAS,
}


def claude(up: Upstream) -> Deployment:
    return MESSAGES.deployment(up, profile=CLAUDE)


def vertex(up: Upstream) -> Deployment:
    return MESSAGES.deployment(up, profile=CLAUDE, **VERTEX_CLAUDE, api_base=up.base_url)


def bedrock(up: Upstream) -> Deployment:
    return CONVERSE.deployment(up, profile=CLAUDE)


@asynccontextmanager
async def code(deployment: Deployment) -> AsyncIterator[tuple[Harness, anthropic.AsyncAnthropic]]:
    async with gateway([deployment]) as gw:
        sdk = anthropic.AsyncAnthropic(
            auth_token=KEY,
            base_url="http://gateway",
            http_client=gw.client,
            max_retries=0,
            default_headers={"x-app": "cli", "user-agent": "claude-cli/2.1 (external, cli)"},
        )
        yield gw, sdk


async def streamed(sdk: anthropic.AsyncAnthropic, **fields: Any) -> Any:
    async with sdk.beta.messages.stream(**(ASK | fields)) as running:
        return await running.get_final_message()


async def test_against_anthropic_nothing_changes_but_the_models_name() -> None:
    async with upstream() as up, code(claude(up)) as (_, sdk):
        up.will(*MESSAGES.stream())
        answer = await streamed(sdk, extra_body={"brand_new_field": {"kept": [1]}})
        assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
        assert answer.content[0].signature == "c2ln"
        (sent,) = up.requests
        wanted = {name: value for name, value in ASK.items() if name != "betas"}
        assert sent.json() == {**wanted, "model": "claude-x", "stream": True, "brand_new_field": {"kept": [1]}}
        assert sent.headers["anthropic-beta"] == ",".join(BETAS)
        assert sent.headers["anthropic-version"] == sdk.default_headers["anthropic-version"]
        assert sent.headers["x-api-key"] == "sk-upstream"
        assert "authorization" not in sent.headers and "x-app" not in sent.headers


async def test_against_anthropic_a_stream_arrives_byte_for_byte() -> None:
    async with upstream() as up, code(claude(up)) as (gw, _):
        up.will(*MESSAGES.stream())
        body = {name: value for name, value in ASK.items() if name != "betas"} | {"stream": True}
        got = await gw.client.post("/v1/messages?beta=true", content=json.dumps(body))
        assert got.content == b"".join(MESSAGES.events)


async def test_against_claude_on_vertex_only_the_address_and_the_version_differ() -> None:
    async with upstream() as up, code(vertex(up)) as (_, sdk):
        up.will(*MESSAGES.stream())
        answer = await streamed(sdk)
        assert answer.content[-1].input == {"city": "Paris"}
        (sent,) = up.requests
        root = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/"
        assert sent.path == f"{root}claude-x@20260101:streamRawPredict"
        wanted = {name: value for name, value in ASK.items() if name not in ("betas", "model")}
        assert sent.json() == {**wanted, "stream": True, "anthropic_version": "vertex-2023-10-16"}
        assert sent.headers["anthropic-beta"] == ",".join(BETAS)
        assert sent.headers["authorization"] == "Bearer ya29.token"


async def test_against_bedrock_it_is_translated_and_nothing_that_matters_is_lost() -> None:
    async with upstream() as up, code(bedrock(up)) as (gw, sdk):
        up.will(*CONVERSE.stream())
        answer = await streamed(sdk)
        assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
        assert (answer.content[0].thinking, answer.content[0].signature) == ("hm", "c2ln")
        assert answer.content[2].input == {"city": "Paris"}
        assert answer.stop_reason == "tool_use"
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 5)
        (sent,) = up.requests
        body = judge(Encoded(WireRequest(sent.path[1:], sent.body, CONVERSE.where["model"], True)))
        thought, said, *calls = body["messages"][1]["content"]
        assert thought == {"reasoningContent": {"reasoningText": {"text": "Let me look.", "signature": "c2lnbmF0dXJl"}}}
        assert said == {"text": "Looking."}
        assert [call["toolUse"]["toolUseId"] for call in calls] == ["toolu_a", "toolu_b"]
        results = [block["toolResult"] for block in body["messages"][2]["content"] if "toolResult" in block]
        assert [result.get("status", "success") for result in results] == ["success", "error"]
        assert body["system"][1:] == [{"text": "Use the tools."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
        assert {"cachePoint": {"type": "default"}} in body["messages"][2]["content"]
        assert body["additionalModelRequestFields"]["thinking"] == ASK["thinking"]
        assert gw.log()["dropped"] == ["anthropic-beta"]


@pytest.mark.parametrize("make", [claude, vertex, bedrock], ids=["anthropic", "vertex", "bedrock"])
async def test_a_whole_answer_has_the_same_shape_everywhere(make: Any) -> None:
    async with upstream() as up:
        deployment = make(up)
        up.will_answer((CONVERSE if deployment.provider == "bedrock" else MESSAGES).whole)
        async with code(deployment) as (_, sdk):
            answer = await sdk.beta.messages.create(**ASK, timeout=900)
            assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
            assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize("make", [claude, vertex, bedrock], ids=["anthropic", "vertex", "bedrock"])
async def test_the_next_turn_made_of_the_answer_is_accepted_again(make: Any) -> None:
    """What came back (thinking and its signature included) goes out again as history."""
    async with upstream() as up:
        deployment = make(up)
        dialect = CONVERSE if deployment.provider == "bedrock" else MESSAGES
        up.will(*dialect.stream())
        async with code(deployment) as (_, sdk):
            first = await streamed(sdk)
            content = [block.model_dump(exclude_none=True) for block in first.content]
            result = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "sunny"}
            turns = [*HISTORY, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
            await streamed(sdk, messages=turns)
            body = up.requests[1].json()
            if dialect is CONVERSE:
                thought = body["messages"][-2]["content"][0]["reasoningContent"]["reasoningText"]
                assert thought == {"text": "hm", "signature": "c2ln"}
            else:
                check_request(
                    {name: value for name, value in body.items() if name not in ("context_management", "anthropic_version")}
                    | {"model": "x"}
                )
                assert body["messages"][-2]["content"][0]["signature"] == "c2ln"
