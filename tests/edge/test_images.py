"""Pictures of Bedrock and Google through the gateway: the official openai SDK asks, a scripted provider answers."""

from dataclasses import replace

import openai
import pytest
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.limited import Limited
from tests.support.upstream import upstream
from tests.wire.embeddings.worlds import profile
from tests.wire.openai_media.forms import written

from pllm.core.config.policies import Budget
from pllm.core.deployment import Deployment

PREDICTED = {"predictions": [{"bytesBase64Encoded": "AAAA", "mimeType": "image/png"}]}


def sdk_of(gw: Harness) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)


def nova(base_url: str) -> Deployment:
    model = "amazon.nova-canvas-v1:0"
    return deployment(
        base_url,
        id="m/nova",
        provider="bedrock",
        model=model,
        dialects=("converse",),
        api_base=base_url,
        api_key=None,
        profile=profile("bedrock", model),
        priority=1,
    )


def imagen(base_url: str) -> Deployment:
    model = "imagen-4.0-generate-001"
    return deployment(
        base_url,
        id="m/imagen",
        provider="vertex",
        model=model,
        dialects=("gemini",),
        api_base=base_url,
        project="p",
        location="us-central1",
        profile=profile("vertex", model),
        priority=2,
    )


async def test_bedrock_draws_and_signs() -> None:
    async with upstream() as up, gateway([nova(up.base_url)]) as gw:
        up.will_answer({"images": ["AAAA", "BBBB"]})
        answer = await sdk_of(gw).images.generate(model="m", prompt="a cat", n=2, size="1024x1024")
        assert answer.data is not None
        assert [one.b64_json for one in answer.data] == ["AAAA", "BBBB"]
        assert up.requests[0].path == "/model/amazon.nova-canvas-v1%3A0/invoke"
        assert "/us-east-1/bedrock/aws4_request" in up.requests[0].headers["authorization"]
        assert (gw.log()["endpoint"], gw.log()["images"]) == ("images/generations", 2)


async def test_imagen_takes_over_and_is_billed_by_the_picture() -> None:
    async with upstream() as bad, upstream() as good:
        bad.will_answer({"message": "no"}, status=503)
        good.will_answer(PREDICTED)
        async with gateway([nova(bad.base_url), imagen(good.base_url)]) as gw:
            response = await gw.client.post(
                "/v1/images/generations", json={"model": "m", "prompt": "a cat", "size": "1024x1024"}
            )
            assert response.json()["data"] == [{"b64_json": "AAAA"}]
            assert response.headers["x-pllm-deployment"] == "m/imagen"
            assert response.headers["x-pllm-emulated"] == "size"
            assert response.headers["x-pllm-cost-usd"] == "0.040000"
            where = "/v1/projects/p/locations/us-central1/publishers/google/models/imagen-4.0-generate-001:predict"
            assert good.requests[0].path == where


async def test_a_deployments_own_number_of_pictures_is_reserved_for() -> None:
    limited = Limited(budget=Budget(amount=100_000))
    many = replace(imagen("http://127.0.0.1:1"), defaults={"n": 3})
    async with gateway([many], admissions=limited.admissions) as gw:
        response = await gw.client.post("/v1/images/generations", json={"model": "m", "prompt": "x"})
        assert (response.status_code, response.json()["error"]["code"]) == (429, "insufficient_quota")


async def test_a_budget_holds_by_the_picture() -> None:
    limited = Limited(budget=Budget(amount=100_000))
    async with upstream() as up, gateway([imagen(up.base_url)], admissions=limited.admissions) as gw:
        up.will_answer(PREDICTED)
        body = {"model": "m", "prompt": "a cat"}
        assert [(await gw.client.post("/v1/images/generations", json=body)).status_code for _ in range(3)] == [200, 200, 429]
        assert (await limited.left()).budget_left == 20_000


@pytest.mark.parametrize("path", ["images/edits", "images/variations"])
async def test_edits_and_variations_are_openais_alone(path: str) -> None:
    async with gateway([nova("http://127.0.0.1:1")]) as gw:
        form = written([("model", "m"), ("prompt", "x")], [("image", "a.png", b"x")])
        response = await gw.client.post(f"/v1/{path}", content=form.body, headers={"content-type": form.content_type})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_endpoint")


async def test_a_stream_of_pictures_is_refused_before_anything_is_sent() -> None:
    async with upstream() as up, gateway([nova(up.base_url)]) as gw:
        response = await gw.client.post("/v1/images/generations", json={"model": "m", "prompt": "x", "stream": True})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "stream")
        assert "" not in response.headers.values()
        assert up.requests == []
