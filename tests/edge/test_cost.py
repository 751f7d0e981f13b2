"""What an answer cost: in its header, in the log line and as a metric; and what models cost, in /v1/models."""

import openai
from tests.support.gateway import deployment, gateway
from tests.support.upstream import event, upstream

from pllm.core.profile import ModelProfile, Prices

PRICED = ModelProfile(
    max_input_tokens=128_000,
    max_output_tokens=16_384,
    modalities=frozenset({"text", "image"}),
    thinking="none",
    refused_params=frozenset({"logprobs"}),
    prices=Prices(input=2_500_000, output=10_000_000, cache_read=1_250_000, version="2026-11-22"),
    known=True,
)
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}},
}
# 600 tokens at 2.5, 400 cached ones at 1.25 and 100 at 10 USD per million.
COST_MICRO_USD = 1500 + 500 + 1000


async def test_a_buffered_answer_says_what_it_cost() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, profile=PRICED)]) as gw:
        up.will_answer(ANSWER)
        response = await gw.chat()
        assert response.headers["x-pllm-cost-usd"] == "0.003000"
        assert gw.log()["cost_micro_usd"] == COST_MICRO_USD
        assert gw.emf()["CostUSD"] == 0.003


async def test_a_translated_answer_says_what_it_cost() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, profile=PRICED)]) as gw:
        up.will_answer(ANSWER)
        body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
        response = await gw.client.post("/v1/messages", json=body)
        assert response.headers["x-pllm-cost-usd"] == "0.003000"


async def test_a_stream_is_priced_when_it_is_over() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, profile=PRICED)]) as gw:
        finish = {"index": 0, "delta": {"content": "hello"}, "finish_reason": "stop"}
        common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "g"}
        usage = event({**common, "choices": [], "usage": ANSWER["usage"]})
        up.will_stream(event({**common, "choices": [finish]}), usage, event("[DONE]"))
        response = await gw.chat(stream=True)
        assert "x-pllm-cost-usd" not in response.headers
        assert gw.log()["cost_micro_usd"] == COST_MICRO_USD
        assert gw.emf()["CostUSD"] == 0.003


async def test_a_cost_that_is_not_known_is_not_said_to_be_nought() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWER)
        response = await gw.chat()
        assert "x-pllm-cost-usd" not in response.headers
        assert "cost_micro_usd" not in gw.log()
        assert "CostUSD" not in gw.emf()


async def test_what_is_free_costs_nought() -> None:
    free = ModelProfile(prices=Prices(input=0, output=0, cache_read=0))
    async with upstream() as up, gateway([deployment(up.base_url, profile=free)]) as gw:
        up.will_answer(ANSWER)
        assert (await gw.chat()).headers["x-pllm-cost-usd"] == "0.000000"
        assert gw.log()["cost_micro_usd"] == 0


async def test_the_deployment_that_answered_sets_the_price() -> None:
    dear = ModelProfile(prices=Prices(input=100_000_000, output=100_000_000, cache_read=100_000_000))
    async with upstream() as up:
        first, second = (
            deployment(up.base_url, id="m/1", profile=dear),
            deployment(up.base_url, id="m/2", profile=PRICED, priority=1),
        )
        async with gateway([first, second]) as gw:
            up.will_answer({"error": {"message": "down"}}, status=503)
            up.will_answer(ANSWER)
            response = await gw.chat()
            assert response.headers["x-pllm-deployment"] == "m/2"
            assert response.headers["x-pllm-cost-usd"] == "0.003000"


async def test_models_are_listed_with_limits_abilities_and_prices() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, profile=PRICED)]) as gw:
        entry = (await gw.client.get("/v1/models/m")).json()
        assert (entry["max_input_tokens"], entry["max_output_tokens"]) == (128_000, 16_384)
        assert entry["pricing"] == {
            "currency": "USD",
            "version": "2026-11-22",
            "input": 2.5,
            "output": 10.0,
            "cache_read": 1.25,
        }
        assert entry["capabilities"]["input_modalities"] == ["image", "text"]
        assert entry["capabilities"]["unsupported_parameters"] == ["logprobs"]
        assert entry["capabilities"]["thinking"] == "none"
        assert openai.types.Model.model_validate(entry, strict=True).id == "m"


async def test_pieces_and_long_contexts_are_listed_in_their_own_units() -> None:
    prices = Prices(per_image_micro_usd=40_000, per_second_micro_usd=100, long_context_over=200_000, long_input=5_000_000)
    async with upstream() as up, gateway([deployment(up.base_url, profile=ModelProfile(prices=prices))]) as gw:
        pricing = (await gw.client.get("/v1/models/m")).json()["pricing"]
        assert (pricing["per_image"], pricing["per_second"]) == (0.04, 0.0001)
        assert (pricing["long_context_over"], pricing["long_input"]) == (200_000, 5.0)


async def test_nothing_is_claimed_of_a_model_that_is_not_known() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        entry = (await gw.client.get("/v1/models/m")).json()
        assert not {"pricing", "capabilities", "max_input_tokens"} & entry.keys()
