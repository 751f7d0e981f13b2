"""Rankings through the gateway: every kind of upstream, keys, limits, bills and failover."""

import json
from typing import Any

import pytest
from tests.support.gateway import Harness, deployment, gateway
from tests.support.limited import Limited
from tests.support.upstream import upstream
from tests.wire.embeddings.worlds import profile

from pllm.core.config.policies import Budget
from pllm.core.deployment import Deployment
from pllm.core.profile import ModelProfile

DOCUMENTS = ["one", {"text": "two"}, "three"]
JINA: dict[str, Any] = {
    "model": "jina-reranker-v2-base-multilingual",
    "usage": {"total_tokens": 15},
    "results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "two"}}],
    "x_new_field": [1],
}
COHERE = {"id": "r-1", "results": [{"index": 2, "relevance_score": 0.75}], "meta": {"billed_units": {"search_units": 1}}}


async def rank(gw: Harness, **body: Any) -> Any:
    return await gw.client.post("/v1/rerank", json={"model": "m", "query": "q", "documents": DOCUMENTS, **body})


def cohere(base_url: str, **changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "provider": "cohere",
        "model": "rerank-v3.5",
        "dialects": ("chat", "cohere"),
        "api_base": base_url,
        "profile": profile("cohere", "rerank-v3.5"),
    }
    return deployment(base_url, **(fields | changes))


def bedrock(base_url: str, **changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "provider": "bedrock",
        "model": "amazon.rerank-v1:0",
        "dialects": ("converse",),
        "api_base": base_url,
        "api_key": None,
        "profile": profile("bedrock", "amazon.rerank-v1:0"),
    }
    return deployment(base_url, **(fields | changes))


async def test_a_server_of_openais_dialect_gets_the_clients_bytes_and_its_answer_stays() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(JINA)
        response = await rank(gw, top_n=1, return_documents=True, x_new=1)
        assert (response.status_code, response.json()) == (200, JINA)
        assert up.requests[0].path == "/v1/rerank"
        assert up.requests[0].json() == {
            "model": "gpt-x",
            "query": "q",
            "documents": DOCUMENTS,
            "top_n": 1,
            "return_documents": True,
            "x_new": 1,
        }
        assert (gw.log()["endpoint"], gw.log()["prompt_tokens"]) == ("rerank", 15)


async def test_cohere_by_its_own_api() -> None:
    async with upstream() as up, gateway([cohere(up.base_url)]) as gw:
        up.will_answer(COHERE)
        response = await rank(gw, top_n=1)
        assert response.json() == {**COHERE, "model": "m"}
        sent = up.requests[0]
        assert (sent.path, sent.headers["authorization"]) == ("/v2/rerank", "Bearer sk-upstream")
        assert sent.json() == {"model": "rerank-v3.5", "query": "q", "documents": ["one", "two", "three"], "top_n": 1}
        assert response.headers["x-pllm-cost-usd"] == "0.002000"
        assert (gw.log()["search_units"], gw.log()["cost_micro_usd"]) == (1, 2000)
        assert "estimated" not in gw.log()


async def test_bedrock_signed_as_everything_else_there() -> None:
    async with upstream() as up, gateway([bedrock(up.base_url)]) as gw:
        up.will_answer({"results": COHERE["results"]})
        response = await rank(gw, return_documents=True)
        assert response.json()["results"] == [{"index": 2, "relevance_score": 0.75, "document": {"text": "three"}}]
        assert up.requests[0].path == "/model/amazon.rerank-v1%3A0/invoke"
        assert "/us-east-1/bedrock/aws4_request" in up.requests[0].headers["authorization"]
        assert (gw.log()["search_units"], gw.log()["estimated"]) == (1, True)


async def test_another_dialect_takes_over() -> None:
    async with upstream() as bad, upstream() as good:
        bad.will_answer({"message": "no"}, status=503)
        good.will_answer(COHERE)
        first = bedrock(bad.base_url, id="m/bedrock", priority=1)
        async with gateway([first, cohere(good.base_url, id="m/cohere", priority=2)]) as gw:
            response = await rank(gw)
            assert (response.status_code, response.headers["x-pllm-deployment"]) == (200, "m/cohere")
            assert response.headers["x-pllm-attempts"] == "2"


async def test_a_budget_holds_by_the_search() -> None:
    limited = Limited(budget=Budget(amount=5_000))
    async with upstream() as up, gateway([cohere(up.base_url)], admissions=limited.admissions) as gw:
        up.will_answer(COHERE)
        statuses = [(await rank(gw)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await limited.left()).budget_left == 1_000
        assert (await rank(gw, documents=["x"] * 201)).status_code == 429


async def test_a_budget_needs_a_price() -> None:
    limited = Limited(budget=Budget(amount=5_000))
    async with gateway([bedrock("http://127.0.0.1:1")], admissions=limited.admissions) as gw:
        response = await rank(gw)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "price_unknown")


@pytest.mark.parametrize("dialect", ["messages", "gemini", "converse"])
async def test_who_ranks_nothing_says_so(dialect: str) -> None:
    name = {"messages": "anthropic", "converse": "bedrock"}.get(dialect, "gemini")
    async with gateway([deployment("http://127.0.0.1:1", provider=name, dialects=(dialect,))]) as gw:
        response = await rank(gw)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_endpoint")
        assert "/v1/rerank" in response.json()["error"]["message"]


async def test_an_embedding_model_ranks_nothing() -> None:
    known = ModelProfile(mode="embedding", known=True)
    async with gateway([deployment("http://127.0.0.1:1", profile=known)]) as gw:
        assert "its mode is 'embedding'" in (await rank(gw)).json()["error"]["message"]


async def test_it_needs_a_key_and_a_json_object() -> None:
    async with gateway([]) as gw:
        assert (await gw.client.post("/v1/rerank", headers={"authorization": "Bearer no"})).status_code == 401
        assert (await gw.client.get("/v1/rerank")).status_code == 405
        assert (await gw.client.post("/v1/rerank", content=json.dumps([]))).status_code == 400


async def test_cohere_chats_and_embeds_under_the_same_address() -> None:
    async with upstream() as up:
        chat = cohere(up.base_url, model="command-a-03-2025", profile=profile("cohere", "command-a-03-2025"))
        async with gateway([chat]) as gw:
            up.will_answer({"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": []})
            await gw.chat()
            assert up.requests[0].path == "/compatibility/v1/chat/completions"
    async with upstream() as up:
        embed = cohere(up.base_url, model="embed-v4.0", profile=profile("cohere", "embed-v4.0"))
        async with gateway([embed]) as gw:
            up.will_answer({"embeddings": {"float": [[0.5]]}, "meta": {"billed_units": {"input_tokens": 2}}})
            response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": "x", "dimensions": 256})
            assert response.json()["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5]}]
            assert up.requests[0].path == "/v2/embed"
            assert up.requests[0].json()["output_dimension"] == 256
            assert gw.log()["prompt_tokens"] == 2
            assert "estimated" not in gw.log()
