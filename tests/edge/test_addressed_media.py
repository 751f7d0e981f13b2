"""Media by address through the whole gateway (translation case 21): fetched where the upstream wants bytes, and only there."""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.tls import contexts
from tests.support.upstream import Upstream, upstream, whole

from pllm.core.deployment import Deployment
from pllm.core.secret import Secret
from pllm.providers.media import FetchLimits, MediaFetcher

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
ENCODED = b64encode(PNG).decode()
SERVER, CLIENT = contexts("media.example")

CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "a cat"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "a cat"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def bedrock(up: Upstream, **changes: Any) -> Deployment:
    own = {"provider": "bedrock", "model": "anthropic.claude-x", "dialects": ("converse",), "api_key": None}
    return deployment(up.base_url, **(own | {"api_base": up.base_url} | changes))


@asynccontextmanager
async def fetching(media: Upstream, *deployments: Deployment) -> AsyncIterator[Harness]:
    async def names(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    ports = frozenset({int(media.base_url.rpartition(":")[2])})
    fetcher = MediaFetcher(names, permits=lambda address: True, limits=FetchLimits(ports=ports), verify=CLIENT)
    async with gateway(deployments, media=lambda: fetcher) as gw:
        yield gw


def address(media: Upstream) -> str:
    return media.base_url.replace("127.0.0.1", "media.example") + "/cat.png"


def pictured(url: str) -> Any:
    return [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]}]


async def test_case_21_bedrock_gets_the_bytes_of_an_image_by_address() -> None:
    async with upstream() as up, upstream(SERVER) as media, fetching(media, bedrock(up)) as gw:
        media.will(whole(PNG))
        up.will_answer(CONVERSE)
        response = await gw.chat(messages=pictured(address(media)))
        assert response.json()["choices"][0]["message"]["content"] == "a cat"
        assert up.requests[0].json()["messages"][0]["content"][1] == {"image": {"format": "png", "source": {"bytes": ENCODED}}}


async def test_an_upstream_that_takes_addresses_is_left_to_fetch_itself() -> None:
    claude = {"provider": "anthropic", "dialects": ("messages",)}
    async with upstream() as up, upstream(SERVER) as media, fetching(media, deployment(up.base_url, **claude)) as gw:
        up.will_answer(MESSAGE)
        await gw.chat(messages=pictured(address(media)))
        assert up.requests[0].json()["messages"][0]["content"][1]["source"] == {"type": "url", "url": address(media)}
        assert media.requests == []


async def test_a_file_is_fetched_once_however_many_deployments_are_tried() -> None:
    async with upstream() as bad, upstream() as good, upstream(SERVER) as media:
        bad.will(whole(b"{}", 503))
        good.will_answer(CONVERSE)
        media.will(whole(PNG))
        both = (bedrock(bad, id="m/bad", priority=1), bedrock(good, id="m/good", priority=2))
        async with fetching(media, *both) as gw:
            response = await gw.chat(messages=pictured(address(media)))
            assert response.headers["x-pllm-deployment"] == "m/good"
            assert len(media.requests) == 1


async def test_claude_on_vertex_gets_bytes_in_both_lanes() -> None:
    own = {"provider": "vertex", "project": "p", "location": "us-east5", "model": "claude-x@1", "dialects": ("messages",)}
    async with upstream() as up, upstream(SERVER) as media:
        vertex = deployment(up.base_url, **own, api_base=up.base_url, api_key=Secret("ya29.t"))
        async with fetching(media, vertex) as gw:
            media.will(whole(PNG))
            up.will_answer(MESSAGE)
            await gw.chat(messages=pictured(address(media)))
            sdk = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=gw.client, max_retries=0)
            image: Any = {"type": "image", "source": {"type": "url", "url": address(media)}}
            await sdk.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": [image]}])
            source = {"type": "base64", "media_type": "image/png", "data": ENCODED}
            translated, native = (sent.json()["messages"][0]["content"][-1] for sent in up.requests)
            assert translated["source"] == native["source"] == source


async def test_what_cannot_be_fetched_is_a_400_in_the_clients_words() -> None:
    async with upstream() as up, upstream(SERVER) as media, fetching(media, bedrock(up)) as gw:
        media.will(whole(b"", 404))
        chat = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)
        with pytest.raises(openai.BadRequestError, match="answered 404") as caught:
            await chat.chat.completions.create(model="m", messages=pictured(address(media)))
        assert caught.value.param == "messages[0]"
        claude = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=gw.client, max_retries=0)
        inside = address(media).replace("media.example", "169.254.169.254")
        image: Any = {"type": "image", "source": {"type": "url", "url": inside}}
        with pytest.raises(anthropic.BadRequestError, match="cannot be fetched: its host is not a public address"):
            await claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": [image]}])
        assert up.requests == []


async def test_counting_fetches_too() -> None:
    async with upstream() as up, upstream(SERVER) as media, fetching(media, bedrock(up)) as gw:
        media.will(whole(PNG))
        up.will_answer({"inputTokens": 99})
        sdk = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=gw.client, max_retries=0)
        image: Any = {"type": "image", "source": {"type": "url", "url": address(media)}}
        counted = await sdk.messages.count_tokens(model="m", messages=[{"role": "user", "content": [image]}])
        assert counted.input_tokens == 99
        assert ENCODED in up.requests[0].body.decode()


async def test_without_a_fetcher_the_upstreams_wire_refuses_by_name() -> None:
    async with upstream() as up, gateway([replace(bedrock(up), id="m/1")]) as gw:
        response = await gw.chat(messages=pictured("https://x.example/a.png"))
        assert response.status_code == 400
        assert "fetches no URLs" in response.json()["error"]["message"]
