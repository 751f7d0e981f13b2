"""Embeddings of Bedrock and Google through the gateway: the official openai SDK asks, a scripted provider answers."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.limited import Limited
from tests.wire.embeddings.worlds import COHERE_V3, GEMINI, TITAN_V2, VERTEX, profile

from pllm.core.config.policies import Limit
from pllm.core.deployment import Deployment
from pllm.providers.gathering import MOST_AT_ONCE

Answer = Callable[[Any], tuple[int, Any, dict[str, str]]]


def sdk_of(gw: Harness) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)


class Provider:
    """Answers each call by its body; notes how many it has at once."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.base_url = ""
        self.hangs = False
        self.most_at_once = 0
        self._at_once = 0

    async def serve(self, request: web.Request) -> web.Response:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        body = await request.json()
        self.seen.append((request.raw_path, {name.lower(): value for name, value in request.headers.items()}, body))
        await asyncio.sleep(30 if self.hangs else 0)
        status, answer, headers = self.answer(body)
        self._at_once -= 1
        return web.json_response(answer, status=status, headers=headers)


@asynccontextmanager
async def provider(answer: Answer | None = None, made: Provider | None = None) -> AsyncIterator[Provider]:
    made = made or Provider(answer or titan_answer)
    app = web.Application()
    app.router.add_post("/{path:.*}", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


def titan_answer(body: Any) -> tuple[int, Any, dict[str, str]]:
    return 200, {"embedding": [float(len(body["inputText"])), 0.5], "inputTextTokenCount": len(body["inputText"])}, {}


def one_of(of: tuple[str, str], base_url: str, **changes: Any) -> Deployment:
    name, model = of
    dialect = {"bedrock": "converse"}.get(name, "gemini")
    fields: dict[str, Any] = {
        "provider": name,
        "model": model,
        "dialects": (dialect,),
        "api_base": base_url,
        "profile": profile(name, model),
    }
    fields |= {"api_key": None} if name == "bedrock" else {}
    return deployment(base_url, **(fields | changes))


async def test_the_sdk_reads_what_titan_said_as_base64_and_as_floats() -> None:
    async with provider(titan_answer) as up, gateway([one_of(TITAN_V2, up.base_url)]) as gw:
        plain = await sdk_of(gw).embeddings.create(model="m", input=["a", "four"], dimensions=256)
        floats = await sdk_of(gw).embeddings.create(model="m", input="seven!!", encoding_format="float")
        assert [(one.index, one.embedding) for one in plain.data] == [(0, [1.0, 0.5]), (1, [4.0, 0.5])]
        assert (plain.object, plain.model, plain.usage.prompt_tokens, plain.usage.total_tokens) == ("list", "m", 5, 5)
        assert floats.data[0].embedding == [7.0, 0.5]
        raw = await gw.client.post("/v1/embeddings", json={"model": "m", "input": "a", "encoding_format": "base64"})
        assert base64.b64decode(raw.json()["data"][0]["embedding"]) == bytes.fromhex("0000803f0000003f")
        path, headers, body = next(one for one in up.seen if one[2]["inputText"] == "four")
        assert (path, body) == ("/model/amazon.titan-embed-text-v2%3A0/invoke", {"inputText": "four", "dimensions": 256})
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDTEST/")
        assert "/us-east-1/bedrock/aws4_request" in headers["authorization"]


async def test_a_long_list_keeps_its_order_and_is_no_burst() -> None:
    async with provider(titan_answer) as up, gateway([one_of(TITAN_V2, up.base_url)]) as gw:
        texts = ["x" * (1 + n % 7) + str(n) for n in range(100)]
        answer = await sdk_of(gw).embeddings.create(model="m", input=texts)
        assert [one.embedding[0] for one in answer.data] == [len(text) for text in texts]
        assert (len(up.seen), answer.usage.prompt_tokens) == (100, sum(map(len, texts)))
        assert 1 < up.most_at_once <= MOST_AT_ONCE


async def test_it_is_accounted_for_like_every_request() -> None:
    async with provider(titan_answer) as up, gateway([one_of(TITAN_V2, up.base_url)]) as gw:
        response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["x" * 600, "y" * 400]})
        assert response.headers["x-pllm-provider"] == "bedrock"
        assert response.headers["x-pllm-cost-usd"] == "0.000020"  # a thousand tokens at USD 0.02 a million
        log, emf = gw.log(), gw.emf()
        assert (log["endpoint"], log["prompt_tokens"], log["cost_micro_usd"], log["status"]) == ("embeddings", 1000, 20, 200)
        assert (log["upstream_model"], log["attempts"]) == ("amazon.titan-embed-text-v2:0", 1)
        assert (emf["PromptTokens"], emf["CostUSD"]) == (1000, 0.00002)


async def test_another_dialect_takes_over_from_the_clients_own_request() -> None:
    def busy(body: Any) -> tuple[int, Any, dict[str, str]]:
        return 429, {"message": "Too many requests"}, {"x-amzn-errortype": "ThrottlingException"}

    def openai_answer(body: Any) -> tuple[int, Any, dict[str, str]]:
        data = [{"object": "embedding", "index": n, "embedding": "AACAPwAAAD8="} for n in range(len(body["input"]))]
        return 200, {"object": "list", "data": data, "model": "up", "usage": {"prompt_tokens": 2, "total_tokens": 2}}, {}

    async with provider(busy) as bad, provider(openai_answer) as good:
        first = one_of(TITAN_V2, bad.base_url, id="m/bedrock", priority=1)
        async with gateway([first, deployment(good.base_url, id="m/openai", priority=2)]) as gw:
            answer = await sdk_of(gw).embeddings.create(model="m", input=["a", "b"])
            assert [one.embedding for one in answer.data] == [[1.0, 0.5], [1.0, 0.5]]
            assert good.seen[0][2] == {"model": "gpt-x", "input": ["a", "b"], "encoding_format": "base64"}
            assert (gw.log()["attempts"], gw.log()["deployment"]) == (2, "m/openai")


async def test_tokens_go_to_the_deployment_that_can_read_them() -> None:
    def openai_answer(body: Any) -> tuple[int, Any, dict[str, str]]:
        return 200, {"object": "list", "data": [], "model": "up", "usage": {"prompt_tokens": 3, "total_tokens": 3}}, {}

    async with provider(openai_answer) as good:
        first = one_of(TITAN_V2, "http://127.0.0.1:1", id="m/bedrock", priority=1)
        async with gateway([first, deployment(good.base_url, id="m/openai", priority=2)]) as gw:
            response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": [1, 2, 3]})
            assert (response.status_code, response.headers["x-pllm-attempts"]) == (200, "1")
        async with gateway([first]) as gw:
            response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": [1, 2, 3]})
            assert (response.status_code, response.json()["error"]["param"]) == (400, "input")


async def test_a_text_that_fails_fails_the_request_and_the_others_are_paid_for() -> None:
    def picky(body: Any) -> tuple[int, Any, dict[str, str]]:
        if body["inputText"] == "bad":
            return 400, {"message": "Too many input tokens."}, {"x-amzn-errortype": "ValidationException"}
        return titan_answer(body)

    limited = Limited(Limit(tpm=10_000))
    async with (
        provider(picky) as up,
        gateway([one_of(TITAN_V2, up.base_url)], admissions=limited.admissions) as gw,
    ):
        response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["four", "bad", "sixsix"]})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert (gw.log()["prompt_tokens"], gw.log()["status"]) == (10, 400)
        assert (await limited.left()).tokens_left == 10_000 - 10


class TornProvider(Provider):
    """Throttles the one text, then tears the connection of the other, whose call may have been billed."""

    def __init__(self) -> None:
        super().__init__(titan_answer)
        self._throttled = asyncio.Event()

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["inputText"] == "busy":
            self._throttled.set()
            return web.json_response({}, status=429, headers={"x-amzn-errortype": "ThrottlingException"})
        await self._throttled.wait()
        assert request.transport is not None
        request.transport.close()
        return web.Response()


async def test_a_call_that_was_lost_beside_one_that_was_refused_is_charged() -> None:
    limited = Limited(Limit(tpm=10_000))
    async with (
        provider(made=TornProvider()) as up,
        gateway([one_of(TITAN_V2, up.base_url)], admissions=limited.admissions, retries=0) as gw,
    ):
        response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["lost " * 60, "busy"]})
        assert response.status_code in (429, 502)  # whichever came first
        assert gw.log()["prompt_tokens"] >= 60
        assert (await limited.left()).tokens_left <= 10_000 - 60


async def test_a_throttled_list_goes_on_where_it_was() -> None:
    """Trying again pays for no text twice, and says in the end what all of it used."""
    refused = {"xx": 2, "xxxxx": 1}

    def busy(body: Any) -> tuple[int, Any, dict[str, str]]:
        text = body["inputText"]
        if refused.get(text):
            refused[text] -= 1
            return 429, {"message": "Too many requests"}, {"x-amzn-errortype": "ThrottlingException"}
        return titan_answer(body)

    limited = Limited(Limit(tpm=10_000_000))
    async with (
        provider(busy) as up,
        gateway([one_of(TITAN_V2, up.base_url)], admissions=limited.admissions, retries=4) as gw,
    ):
        texts = ["x" * n for n in range(1, 31)]
        answer = await sdk_of(gw).embeddings.create(model="m", input=texts)
        assert [one.embedding[0] for one in answer.data] == [float(n) for n in range(1, 31)]
        assert answer.usage.prompt_tokens == sum(range(1, 31))
        assert len(up.seen) == 30 + 3
        assert gw.log()["attempts"] > 1
        assert (await limited.left()).tokens_left == 10_000_000 - sum(range(1, 31))


async def test_every_text_of_a_list_is_reserved_for() -> None:
    """Each may be as long as the model takes; what is not asked for is an answer of tokens."""
    limited = Limited(Limit(tpm=25_000))
    async with (
        provider(titan_answer) as up,
        gateway([one_of(TITAN_V2, up.base_url)], admissions=limited.admissions) as gw,
    ):
        refused = await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["x" * 10_000] * 4})
        assert (refused.status_code, up.seen) == (429, [])
        assert (await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["x" * 100] * 4})).status_code == 200


@pytest.mark.parametrize("status", [500, 503])
async def test_a_provider_that_fails_is_a_5xx(status: int) -> None:
    async with provider(lambda body: (status, {"message": "no"}, {})) as up, gateway([one_of(TITAN_V2, up.base_url)]) as gw:
        response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["a"] * 20})
        assert response.status_code in (502, 503)
        assert len(up.seen) <= MOST_AT_ONCE


async def test_a_provider_that_is_not_there_is_a_502() -> None:
    async with gateway([one_of(TITAN_V2, "http://127.0.0.1:1")]) as gw:
        response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["a"] * 20})
        assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_unreachable")


async def test_cohere_on_bedrock() -> None:
    def answer(body: Any) -> tuple[int, Any, dict[str, str]]:
        floats = [[float(len(text))] for text in body["texts"]]
        return (
            200,
            {"embeddings": {"float": floats}, "response_type": "embeddings_by_type"},
            {"x-amzn-bedrock-input-token-count": str(len(body["texts"]))},
        )

    async with provider(answer) as up, gateway([one_of(COHERE_V3, up.base_url)]) as gw:
        texts = ["y" * (n % 5 + 1) for n in range(100)]
        found = await sdk_of(gw).embeddings.create(model="m", input=texts, extra_body={"input_type": "query"})
        assert [one.embedding for one in found.data] == [[float(len(text))] for text in texts]
        assert found.usage.prompt_tokens == 100
        assert {body["input_type"] for _, _, body in up.seen} == {"search_query"}


async def test_gemini_and_vertex() -> None:
    def answer(body: Any) -> tuple[int, Any, dict[str, str]]:
        if "requests" in body:
            return 200, {"embeddings": [{"values": [0.5]} for _ in body["requests"]]}, {}
        return 200, {"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 2}}}]}, {}

    async with provider(answer) as up:
        async with gateway([one_of(GEMINI, up.base_url)]) as gw:
            found = await sdk_of(gw).embeddings.create(model="m", input=["abc", "def"])
            assert [one.embedding for one in found.data] == [[0.5], [0.5]]
            assert (found.usage.prompt_tokens, gw.log()["estimated"]) == (2, True)
            assert up.seen[0][0] == "/models/gemini-embedding-001:batchEmbedContents"
            assert up.seen[0][1]["x-goog-api-key"] == "sk-upstream"
        async with gateway([one_of(VERTEX, up.base_url, project="p", location="europe-west4")]) as gw:
            found = await sdk_of(gw).embeddings.create(model="m", input=["abc", "def"])
            assert found.usage.prompt_tokens == 4
            place = "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-embedding-001:predict"
            assert [path for path, _, _ in up.seen[1:]] == [place, place]


async def test_a_timeout_leaves_no_call_running() -> None:
    async with provider(titan_answer) as up, gateway([one_of(TITAN_V2, up.base_url, timeout_s=0.3)]) as gw:
        up.hangs = True
        response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": ["a"] * 3})
        assert (response.status_code, json.loads(response.content)["error"]["code"]) == (504, "upstream_timeout")
        assert not [task for task in asyncio.all_tasks() if "_Sending.work" in str(task.get_coro())]
