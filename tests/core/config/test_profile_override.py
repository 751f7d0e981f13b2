from dataclasses import replace

import pytest

from pllm.core.config import ModelInfo, apply_model_info
from pllm.core.config.plain import from_plain
from pllm.core.profile import ModelProfile, Prices

KNOWN = ModelProfile(
    max_input_tokens=128_000, max_output_tokens=16_384, prices=Prices(input=2_500_000, output=10_000_000, version="2026-01")
)


def test_nothing_said_changes_nothing() -> None:
    assert apply_model_info(KNOWN, None) is KNOWN
    assert apply_model_info(KNOWN, ModelInfo()) is KNOWN


def test_what_is_said_goes_over_the_catalogue_and_the_rest_stays() -> None:
    profile = apply_model_info(KNOWN, ModelInfo(mode="embedding", max_output_tokens=100, default_max_tokens=50))
    assert profile == replace(KNOWN, mode="embedding", max_output_tokens=100, default_max_tokens=50, known=True)


def test_the_context_window_stands_in_for_the_longest_prompt() -> None:
    assert apply_model_info(KNOWN, ModelInfo(max_tokens=8192)).max_input_tokens == 8192
    assert apply_model_info(KNOWN, ModelInfo(max_tokens=8192, max_input_tokens=4096)).max_input_tokens == 4096


def test_prices_become_micro_dollars_per_million_and_say_where_they_come_from() -> None:
    info = ModelInfo(
        input_cost_per_token=1.5e-07, cache_read_input_token_cost=0.0, output_cost_per_image=0.04, input_cost_per_second=0.0001
    )
    prices = apply_model_info(KNOWN, info).prices
    assert prices == Prices(
        input=150_000, output=10_000_000, cache_read=0, per_image_micro_usd=40_000, per_second_micro_usd=100, version="config"
    )


def test_long_prompt_prices_hold_above_200_000_tokens() -> None:
    prices = apply_model_info(KNOWN, ModelInfo(input_cost_per_token_above_200k_tokens=5e-06)).prices
    assert (prices.long_input, prices.long_context_over) == (5_000_000, 200_000)


@pytest.mark.parametrize(
    ("name", "modality"), [("supports_vision", "image"), ("supports_audio_input", "audio"), ("supports_pdf_input", "file")]
)
def test_modalities_are_added_and_taken_away(name: str, modality: str) -> None:
    text_only = replace(KNOWN, modalities=frozenset({"text"}))
    assert apply_model_info(KNOWN, from_plain(ModelInfo, {name: False})).modalities == KNOWN.modalities - {modality}
    assert apply_model_info(text_only, from_plain(ModelInfo, {name: True})).modalities == {"text", modality}


def test_a_list_of_modalities_is_all_of_them() -> None:
    assert apply_model_info(KNOWN, ModelInfo(modalities=("text",), supports_vision=True)).modalities == {"text"}


def test_capabilities_are_switched() -> None:
    info = ModelInfo(
        supports_function_calling=False,
        supports_tool_choice=False,
        supports_prompt_caching=False,
        supports_assistant_prefill=False,
    )
    profile = apply_model_info(KNOWN, info)
    assert (
        profile.supports_tools,
        profile.supports_tool_choice_any,
        profile.supports_cache_marks,
        profile.supports_prefill,
    ) == (False,) * 4


def test_the_go_gateways_name_for_tools_is_understood() -> None:
    assert apply_model_info(KNOWN, ModelInfo(supports_functions=False)).supports_tools is False
    assert apply_model_info(KNOWN, ModelInfo(supports_functions=False, supports_function_calling=True)).supports_tools is True


def test_thinking_is_switched_off_and_on() -> None:
    budget = replace(KNOWN, thinking="budget")
    assert apply_model_info(budget, ModelInfo(supports_reasoning=False)).thinking == "none"
    assert apply_model_info(budget, ModelInfo(supports_reasoning=True)).thinking == "budget"
    assert apply_model_info(replace(KNOWN, thinking="none"), ModelInfo(supports_reasoning=True)).thinking == "effort"
    assert apply_model_info(KNOWN, ModelInfo(supports_reasoning=True, thinking="adaptive")).thinking == "adaptive"


@pytest.mark.parametrize(("tools", "style"), [(None, "tool"), (False, "none")])
def test_schemas_are_imitated_with_tools_where_there_are_tools(tools: bool | None, style: str) -> None:
    info = ModelInfo(supports_response_schema=False, supports_function_calling=tools)
    assert apply_model_info(KNOWN, info).structured_output == style
    assert apply_model_info(KNOWN, ModelInfo(supports_response_schema=True)).structured_output == "native"


def test_refused_fields_are_replaced_and_parallel_calls_toggled() -> None:
    picky = replace(KNOWN, refused_params=frozenset({"temperature"}))
    assert apply_model_info(picky, ModelInfo(refused_params=("seed",))).refused_params == {"seed"}
    assert apply_model_info(picky, ModelInfo(supports_parallel_function_calling=False)).refused_params == {
        "temperature",
        "parallel_tool_calls",
    }
    again = replace(picky, refused_params=frozenset({"parallel_tool_calls"}))
    assert apply_model_info(again, ModelInfo(supports_parallel_function_calling=True)).refused_params == frozenset()
