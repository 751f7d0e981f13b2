"""What the configuration knows of a model, laid over what the catalogue says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pllm.core.config.model_entry import ModelInfo
from pllm.core.config.units import micro_usd_per_million
from pllm.core.profile import ModelProfile, Prices, StructuredOutput, ThinkingStyle

_PER_TOKEN = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_token_above_200k_tokens": "long_input",
    "output_cost_per_token_above_200k_tokens": "long_output",
    "cache_read_input_token_cost_above_200k_tokens": "long_cache_read",
    "input_cost_per_character": "per_million_characters",
}
_PER_UNIT = {
    "output_cost_per_image": "per_image_micro_usd",
    "input_cost_per_second": "per_second_micro_usd",
    "input_cost_per_query": "per_search_unit_micro_usd",
}
_COPIED = (
    "mode",
    "max_output_tokens",
    "default_max_tokens",
    "thinking",
    "structured_output",
    "max_stop_sequences",
)
_MODALITY_FLAGS = {"supports_vision": "image", "supports_audio_input": "audio", "supports_pdf_input": "file"}


def apply_model_info(profile: ModelProfile, info: ModelInfo | None) -> ModelProfile:
    """The profile with every key of `model_info` that is set laid over it.

    The exact keys (`modalities`, `thinking`, `structured_output`) go before the `supports_*` that touch the same fact.
    Prices given here are marked `version="config"`. A profile with any override counts as known.
    """
    if info is None or replace(info, base_model=None) == ModelInfo():
        return profile
    changes: dict[str, Any] = {
        **_capabilities(profile, info),
        **{name: value for name in _COPIED if (value := getattr(info, name)) is not None},
        "max_input_tokens": info.max_input_tokens or info.max_tokens or profile.max_input_tokens,
        "modalities": _modalities(profile, info),
        "refused_params": _refused(profile, info),
        "prices": _prices(profile.prices, info),
        "known": True,
    }
    return replace(profile, **changes)


def _capabilities(profile: ModelProfile, info: ModelInfo) -> dict[str, Any]:
    tools = info.supports_functions if info.supports_function_calling is None else info.supports_function_calling
    flags = {
        "supports_tools": tools,
        "supports_tool_choice_any": info.supports_tool_choice,
        "supports_cache_marks": info.supports_prompt_caching,
        "supports_prefill": info.supports_assistant_prefill,
    }
    found: dict[str, Any] = {name: flag for name, flag in flags.items() if flag is not None}
    if info.supports_reasoning is not None:
        found["thinking"] = _thinking(profile.thinking, info.supports_reasoning)
    if info.supports_response_schema is not None:
        found["structured_output"] = _structured(
            info.supports_response_schema, found.get("supports_tools", profile.supports_tools)
        )
    return found


def _thinking(style: ThinkingStyle, supported: bool) -> ThinkingStyle:
    if not supported:
        return "none"
    return "effort" if style == "none" else style


def _structured(supported: bool, tools: bool) -> StructuredOutput:
    if supported:
        return "native"
    return "tool" if tools else "none"


def _modalities(profile: ModelProfile, info: ModelInfo) -> frozenset[str]:
    if info.modalities is not None:
        return frozenset(info.modalities)
    flags = {modality: getattr(info, name) for name, modality in _MODALITY_FLAGS.items()}
    added = {modality for modality, flag in flags.items() if flag}
    removed = {modality for modality, flag in flags.items() if flag is False}
    return profile.modalities - removed | added


def _refused(profile: ModelProfile, info: ModelInfo) -> frozenset[str]:
    refused = profile.refused_params if info.refused_params is None else frozenset(info.refused_params)
    if info.supports_parallel_function_calling is None:
        return refused
    one = frozenset({"parallel_tool_calls"})
    return refused - one if info.supports_parallel_function_calling else refused | one


def _prices(prices: Prices, info: ModelInfo) -> Prices:
    changes = _converted(info, _PER_TOKEN, micro_usd_per_million)
    changes.update(_converted(info, _PER_UNIT, lambda usd: micro_usd_per_million(usd / 1_000_000)))
    if not changes:
        return prices
    if any(name.startswith("long_") for name in changes):
        changes["long_context_over"] = 200_000
    return replace(prices, version="config", **changes)


def _converted(info: ModelInfo, names: dict[str, str], convert: Callable[[float], int]) -> dict[str, Any]:
    given = {field: getattr(info, key) for key, field in names.items()}
    return {field: convert(price) for field, price in given.items() if price is not None}
