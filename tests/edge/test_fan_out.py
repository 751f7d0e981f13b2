"""`n` through the whole gateway, on upstreams that give one answer a call (translation case 23)."""

import json
from typing import Any

import openai
import pytest
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, Upstream, chunk, event, upstream, whole

from pllm.core.deployment import Deployment

HELLO: Any = [{"role": "user", "content": "hi"}]


def claude(up: Upstream) -> Deployment:
    return deployment(up.base_url, provider="anthropic", dialects=("messages",))


def message(text: str, tokens: int) -> dict[str, Any]:
    return {
        "id": f"msg_{text}",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": tokens},
    }


def stream(text: str, tokens: int) -> list[bytes]:
    start = {**message("", 0), "content": [], "stop_reason": None}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        event({"type": "message_start", "message": start}),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        event({"type": "content_block_stop", "index": 0}),
        event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}}),
        event({"type": "message_stop"}),
    ]


def sdk(gw: Harness) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)


async def test_case_23_n_choices_come_from_n_calls_in_one_answer() -> None:
    async with upstream() as up, gateway([claude(up)]) as gw:
        for number, text in enumerate(("one", "two", "three"), 1):
            up.will_answer(message(text, number))
        raw = await sdk(gw).chat.completions.with_raw_response.create(model="m", messages=HELLO, n=3)
        answer = raw.parse()
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert sorted(str(choice.message.content) for choice in answer.choices) == ["one", "three", "two"]
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (30, 6)
        assert raw.headers["x-pllm-emulated"].split(", ")[-1] == "n"
        assert raw.headers["x-pllm-attempts"] == "1"
        assert len(up.requests) == 3
        assert gw.log()["completion_tokens"] == 6


async def test_case_23_streams_are_interleaved_with_one_usage_chunk_and_one_end() -> None:
    async with upstream() as up, gateway([claude(up)]) as gw:
        up.will_stream(*stream("one", 1))
        up.will_stream(*stream("two", 2))
        response = await gw.chat(n=2, stream=True, stream_options={"include_usage": True})
        lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
        assert lines.count("[DONE]") == 1 and lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        usages = [one["usage"] for one in chunks if one.get("usage")]
        assert [(usage["prompt_tokens"], usage["completion_tokens"]) for usage in usages] == [(20, 3)]
        said: dict[int, str] = {}
        finishes: dict[int, str] = {}
        for choice in (choice for one in chunks for choice in one["choices"]):
            said[choice["index"]] = said.get(choice["index"], "") + (choice["delta"].get("content") or "")
            finishes |= {choice["index"]: choice["finish_reason"]} if choice["finish_reason"] else {}
        assert sorted(said.values()) == ["one", "two"]
        assert finishes == {0: "stop", 1: "stop"}
        assert len({one["id"] for one in chunks}) == 1


async def test_the_sdks_accumulator_makes_whole_choices_of_it() -> None:
    async with upstream() as up, gateway([claude(up)]) as gw:
        up.will_stream(*stream("one", 1))
        up.will_stream(*stream("two", 2))
        async with sdk(gw).chat.completions.stream(model="m", messages=HELLO, n=2) as running:
            final = await running.get_final_completion()
        assert sorted(str(choice.message.content) for choice in final.choices) == ["one", "two"]


@pytest.mark.parametrize("position", range(1, 6))
async def test_case_18_one_call_that_is_cut_breaks_the_whole_stream(position: int) -> None:
    async with upstream() as up, gateway([claude(up)]) as gw:
        up.will_stream(*stream("one", 1))
        up.will_stream(*stream("two", 2)[:position], end=(Cut(),))
        with pytest.raises(openai.APIError):
            async for _ in await sdk(gw).chat.completions.create(model="m", messages=HELLO, n=2, stream=True):
                pass


async def test_one_call_that_fails_before_its_first_byte_is_a_real_status() -> None:
    async with upstream() as up, gateway([claude(up)]) as gw:
        up.will(STREAM_HEAD, *map(chunk, stream("one", 1)), b"0\r\n\r\n")
        up.will(whole(b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', 429, retry_after="4"))
        response = await gw.chat(n=2, stream=True)
        assert (response.status_code, response.headers["retry-after"]) == (429, "4")


async def test_more_answers_than_calls_may_be_made_is_a_400() -> None:
    async with upstream() as up, gateway([claude(up)]) as gw:
        with pytest.raises(openai.BadRequestError, match="at most 8") as caught:
            await sdk(gw).chat.completions.create(model="m", messages=HELLO, n=9)
        assert caught.value.param == "n"
        assert up.requests == []


async def test_a_legacy_completion_has_n_too() -> None:
    async with upstream() as up, gateway([claude(up)]) as gw:
        up.will_answer(message("one", 1))
        up.will_answer(message("two", 2))
        answer = await sdk(gw).completions.create(model="m", prompt="hi", n=2)
        assert sorted(choice.text for choice in answer.choices) == ["one", "two"]
