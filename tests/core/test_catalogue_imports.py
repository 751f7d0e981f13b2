"""core/catalogue/imports.py and merge.py: other projects' lists, laid over ours without losing anything."""

from typing import Any

import pytest

from pllm.core.catalogue import ModelCatalogue, layered
from pllm.core.catalogue.book import from_document
from pllm.core.catalogue.check import problems
from pllm.core.catalogue.imports import foreign, taken_over
from pllm.core.catalogue.merge import differences

TODAY = "2026-12-01"


def ours() -> ModelCatalogue:
    row = {"max_input_tokens": 128_000, "thinking": "none", "source": "me", "as_of": "2026-11-22"}
    prices = {"input": 2_500_000, "output": 10_000_000, "cache_read": 1_250_000}
    return from_document(
        {"schema": 1, "version": "2026-11-22", "models": {"openai": {"gpt-4o": {**row, "prices": prices}, "other": row}}},
        "ours",
    )


def litellm(**facts: Any) -> dict[str, Any]:
    common = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6}
    return {"sample_spec": {"litellm_provider": "one of"}, "gpt-4o": {**common, **facts}, "gpt-9": common}


def read(document: object) -> ModelCatalogue:
    found = foreign(document, TODAY)
    assert found is not None
    return found


def test_litellms_prices_in_dollars_a_token_become_micro_dollars_a_million() -> None:
    row = read(litellm(cache_read_input_token_cost=7.5e-08, max_output_tokens=16384)).models["openai"]["gpt-4o"]
    assert row["prices"] == {"input": 2_000_000, "output": 8_000_000, "cache_read": 75_000}
    assert (row["max_output_tokens"], row["as_of"]) == (16384, TODAY)


def test_litellms_long_context_tier_is_taken_over_whole_or_not_at_all() -> None:
    tier = {"input_cost_per_token_above_200k_tokens": 4e-6, "output_cost_per_token_above_200k_tokens": 1.2e-5}
    prices = read(litellm(**tier)).models["openai"]["gpt-4o"]["prices"]
    assert (prices["long_context_over"], prices["long_input"], prices["long_output"]) == (200_000, 4_000_000, 12_000_000)
    del tier["output_cost_per_token_above_200k_tokens"]
    assert "long_input" not in read(litellm(**tier)).models["openai"]["gpt-4o"]["prices"]


def test_litellms_prefixes_name_our_providers() -> None:
    listed = {
        "azure/gpt-4o": {"litellm_provider": "azure"},
        "us.amazon.nova-pro-v1:0": {"litellm_provider": "bedrock_converse"},
        "vertex_ai/claude-opus-5": {"litellm_provider": "vertex_ai-anthropic_models"},
        "together_ai/Qwen/Qwen3.5-9B": {"litellm_provider": "together_ai"},
        "somewhere/else": {"litellm_provider": "somewhere"},
    }
    found = {(provider, name) for provider, rows in read(listed).models.items() for name in rows}
    assert found == {
        ("azure", "gpt-4o"),
        ("bedrock", "us.amazon.nova-pro-v1:0"),
        ("vertex", "claude-opus-5"),
        ("together", "qwen/qwen3.5-9b"),
    }


@pytest.mark.parametrize("price", ["free", None, True, float("nan"), -1.0, []])
def test_what_is_no_price_is_not_taken_over_as_one(price: object) -> None:
    prices = read(litellm(input_cost_per_token=price)).models["openai"]["gpt-4o"]["prices"]
    assert "input" not in prices


def test_openrouters_list_is_read_with_its_limits_and_decimal_prices() -> None:
    item = {
        "id": "anthropic/claude-sonnet-4.5",
        "context_length": 1_000_000,
        "top_provider": {"max_completion_tokens": 64_000},
        "pricing": {"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003", "image": "0.0048"},
    }
    router = {"id": "openrouter/auto", "context_length": 2_000_000, "pricing": {"prompt": "-1", "completion": "-1"}}
    rows = read({"data": [item, router]}).models["openrouter"]
    assert rows["anthropic/claude-sonnet-4.5"]["prices"] == {"input": 3_000_000, "output": 15_000_000, "cache_read": 300_000}
    assert rows["anthropic/claude-sonnet-4.5"]["max_output_tokens"] == 64_000
    assert "prices" not in rows["openrouter/auto"]


@pytest.mark.parametrize("document", [[], {}, {"data": []}, {"data": [1]}, {"schema": 1}, {"a": {"b": 1}}, "x", None])
def test_any_other_shape_is_not_taken_for_a_foreign_list(document: object) -> None:
    assert foreign(document, TODAY) is None


def test_a_price_that_only_we_know_is_kept() -> None:
    update = taken_over(read(litellm()), ours())
    row = layered(update, ours()).models["openai"]["gpt-4o"]
    assert row["prices"] == {"input": 2_000_000, "output": 8_000_000, "cache_read": 1_250_000}
    assert (row["thinking"], row["max_input_tokens"]) == ("none", 128_000)
    assert (row["source"], row["as_of"]) == ("LiteLLM's model list", TODAY)


def test_models_we_do_not_have_come_only_when_asked_for() -> None:
    assert set(taken_over(read(litellm()), ours()).models["openai"]) == {"gpt-4o"}
    assert set(taken_over(read(litellm()), ours(), take_all=True).models["openai"]) == {"gpt-4o", "gpt-9"}


def test_a_list_that_says_nothing_new_changes_nothing() -> None:
    same = litellm(input_cost_per_token=2.5e-6, output_cost_per_token=1e-5, max_input_tokens=128_000)
    assert taken_over(read(same), ours()).models == {}


def test_what_comes_out_of_an_import_passes_the_check() -> None:
    assert problems(layered(taken_over(read(litellm()), ours(), take_all=True), ours())) == []


def test_differences_name_each_field_that_changed() -> None:
    new = layered(taken_over(read(litellm()), ours(), take_all=True), ours())
    lines = list(differences(new, ours()))
    assert "~ openai/gpt-4o: prices.input 2500000 -> 2000000" in lines
    assert "~ openai/gpt-4o: as_of '2026-11-22' -> '2026-12-01'" in lines
    assert "+ openai/gpt-9" in lines
    assert not any("other" in line for line in lines)
    assert "- openai/gpt-9" in list(differences(ours(), new))
    assert list(differences(new, new)) == []
