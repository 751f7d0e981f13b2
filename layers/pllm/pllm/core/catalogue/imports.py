"""Other projects' lists of models, in the shape of this catalogue.

Two shapes are known: LiteLLM's model_prices_and_context_window.json (an object: name -> facts, prices in USD a token) and
OpenRouter's answer to GET /models ({"data": [...]}, prices as decimal strings). Only limits and prices are taken over:
their flags do not say what ours mean, and a row's other fields stay as they were.
"""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from pllm.core.catalogue.book import ModelCatalogue
from pllm.core.catalogue.rows import Row

_LITELLM_PROVIDERS = {
    "openai": ("openai", ""),
    "text-completion-openai": ("openai", ""),
    "anthropic": ("anthropic", ""),
    "azure": ("azure", "azure/"),
    "bedrock": ("bedrock", ""),
    "bedrock_converse": ("bedrock", ""),
    "gemini": ("gemini", "gemini/"),
    "vertex_ai-language-models": ("vertex", "vertex_ai/"),
    "vertex_ai-anthropic_models": ("vertex", "vertex_ai/"),
    "openrouter": ("openrouter", "openrouter/"),
    "groq": ("groq", "groq/"),
    "mistral": ("mistral", "mistral/"),
    "deepseek": ("deepseek", "deepseek/"),
    "xai": ("xai", "xai/"),
    "together_ai": ("together", "together_ai/"),
    "fireworks_ai": ("fireworks", "fireworks_ai/"),
    "cerebras": ("cerebras", "cerebras/"),
    "perplexity": ("perplexity", "perplexity/"),
    "nvidia_nim": ("nvidia", "nvidia_nim/"),
}
_PER_TOKEN = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_image_token": "image_input",
    "input_cost_per_character": "per_million_characters",
}
_PER_UNIT = {
    "output_cost_per_image": "per_image_micro_usd",
    "input_cost_per_second": "per_second_micro_usd",
    "input_cost_per_query": "per_search_unit_micro_usd",
}
_LONG = {
    "input_cost_per_token": "long_input",
    "output_cost_per_token": "long_output",
    "cache_read_input_token_cost": "long_cache_read",
    "cache_creation_input_token_cost": "long_cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "long_cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "long_cache_write_1h",
}
_LONG_STEPS = (100, 128, 200, 256, 272)
_OPENROUTER = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write_5m",
    "internal_reasoning": "reasoning",
}
_MODES = {"embedding": "embedding", "image_generation": "image", "audio_speech": "speech", "rerank": "rerank"}
_MODES |= {"audio_transcription": "transcription", "moderation": "moderation", "completion": "completion"}
_EVIDENCE = ("source", "as_of")
_TOKEN_LIMITS = ("max_input_tokens", "max_output_tokens")


def foreign(document: object, today: str) -> ModelCatalogue | None:
    """The catalogue that a foreign list amounts to, dated `today`; None when its shape is not known."""
    if not isinstance(document, Mapping):
        return None
    listed = document.get("data")
    if isinstance(listed, list) and all(isinstance(item, Mapping) and "pricing" in item for item in listed) and listed:
        return _catalogue(_openrouter(listed), "OpenRouter's model list", today)
    rows = [row for row in document.values() if isinstance(row, Mapping)]
    if "schema" not in document and rows and any("litellm_provider" in row for row in rows):
        return _catalogue(_litellm(document), "LiteLLM's model list", today)
    return None


def taken_over(update: ModelCatalogue, old: ModelCatalogue, take_all: bool = False) -> ModelCatalogue:
    """What a foreign list has to say that `old` does not know already, ready to be laid over it: a price that only `old`
    knows is kept. Models that `old` has no row for are left out unless `take_all`: such a list holds thousands."""
    models: dict[str, dict[str, Row]] = {}
    for provider, rows in update.models.items():
        mine = old.models.get(provider, {})
        news = {name: _news(row, old.resolved(provider, name)) if name in mine else row for name, row in rows.items()}
        found = {name: row for name, row in news.items() if row is not None and (take_all or name in mine)}
        if found:
            models[provider] = found
    return ModelCatalogue(update.version, {}, {}, models)


def _news(row: Row, old: Row) -> Row | None:
    prices = {**(old.get("prices") or {}), **row.get("prices", {})}
    told = {**row, "prices": prices} if prices else row
    news = {name: value for name, value in told.items() if name not in ("mode", *_EVIDENCE) and value != old.get(name)}
    return {**news, **{name: row[name] for name in _EVIDENCE}} if news else None


_Found = Iterator[tuple[str, str, dict[str, Any]]]


def _catalogue(found: _Found, source: str, today: str) -> ModelCatalogue:
    models: dict[str, dict[str, dict[str, Any]]] = {}
    for provider, name, row in found:
        models.setdefault(provider, {})[name.lower()] = {**row, "source": source, "as_of": today}
    return ModelCatalogue(today, {}, {}, models)


def _litellm(document: Mapping[str, Any]) -> _Found:
    for name, facts in document.items():
        provider = _LITELLM_PROVIDERS.get(facts.get("litellm_provider", "")) if isinstance(facts, Mapping) else None
        if provider is None or name == "sample_spec":
            continue
        row: dict[str, Any] = {key: limit for key in _TOKEN_LIMITS if (limit := _limit(facts.get(key)))}
        if facts.get("mode") in _MODES:
            row["mode"] = _MODES[facts["mode"]]
        if prices := _litellm_prices(facts):
            row["prices"] = prices
        yield provider[0], name.removeprefix(provider[1]), row


def _litellm_prices(facts: Mapping[str, Any]) -> dict[str, int]:
    per_token = _PER_TOKEN
    if facts.get("mode") == "image_generation":
        per_token = {**_PER_TOKEN, "output_cost_per_image_token": "output"}
    found = _read(facts, per_token, 12) | _read(facts, _PER_UNIT, 6)
    for thousand in _LONG_STEPS:
        step = {f"{theirs}_above_{thousand}k_tokens": ours for theirs, ours in _LONG.items()}
        long = _read(facts, step, 12)
        if {"long_input", "long_output"} <= long.keys():
            return {**found, "long_context_over": thousand * 1000, **long}
    return found


def _read(facts: Mapping[str, Any], names: Mapping[str, str], exponent: int) -> dict[str, int]:
    """Our prices from theirs; of two that mean the same the later counts."""
    return {ours: price for theirs, ours in names.items() if (price := _micro(facts.get(theirs), exponent)) is not None}


def _openrouter(listed: list[Mapping[str, Any]]) -> _Found:
    for item in listed:
        row: dict[str, Any] = {}
        if limit := _limit(item.get("context_length")):
            row["max_input_tokens"] = limit
        if limit := _limit((item.get("top_provider") or {}).get("max_completion_tokens")):
            row["max_output_tokens"] = limit
        # A router's own models cost what they route to: they are listed at -1, which is no price.
        if prices := _read(item["pricing"], _OPENROUTER, 12):
            row["prices"] = prices
        yield "openrouter", str(item["id"]), row


def _micro(usd: object, exponent: int) -> int | None:
    """USD as whole micro-dollars for a million (12) or for one (6). None for what is no price, or finer than that."""
    if isinstance(usd, bool) or not isinstance(usd, int | float | str):
        return None
    try:
        exact = Decimal(repr(usd) if not isinstance(usd, str) else usd).scaleb(exponent)
    except InvalidOperation:
        return None
    if not exact.is_finite() or exact < 0:
        return None
    # Prices come as floats: what is a whole number but for the float's last digits is one.
    return round(exact) if exponent == 12 or exact == exact.to_integral_value() else None


def _limit(value: object) -> int | None:
    """A number of tokens; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 1:
        return None
    return int(value)
