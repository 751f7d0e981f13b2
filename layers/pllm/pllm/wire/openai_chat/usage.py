"""Token counts: Chat's `usage` object to the neutral one and back (translation case 15)."""

from collections.abc import Mapping
from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.usage import Usage

_ABSURD = 1e15


def read_usage(raw: object) -> Usage | None:
    """The neutral usage of a `usage` object; None for anything that is not one.

    prompt_tokens includes cached reads and writes, so they are taken out of `input`. Where the total shows that a provider
    (xAI) counts reasoning beside completion_tokens instead of inside them, reasoning is added to `output`.
    """
    if not isinstance(raw, Mapping) or not ("prompt_tokens" in raw or "completion_tokens" in raw or "total_tokens" in raw):
        return None
    inside, outside = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    prompt, output = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    cached = _count(inside, "cached_tokens") or _first(raw, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    written = _first(inside, "cache_write_tokens", "cache_creation_tokens")
    reasoning = _count(outside, "reasoning_tokens") or _count(raw, "reasoning_tokens")
    if reasoning and _count(raw, "total_tokens") == prompt + output + reasoning:
        output += reasoning
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    return Usage(
        input=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=min(reasoning, output),
        audio_input=_count(inside, "audio_tokens"),
        audio_output=_count(outside, "audio_tokens"),
        image_input=_count(inside, "image_tokens"),
        raw=raw,
    )


def usage_json(usage: Usage) -> JsonObject:
    """OpenAI's `usage` object. Cache writes appear only where there were any: the field is newer than many clients."""
    inside: JsonObject = {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_input}
    if written := usage.cache_write_5m + usage.cache_write_1h:
        inside["cache_write_tokens"] = written
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": inside,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output},
    }


def _details(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _count(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    return int(value) if isinstance(value, int | float) and 0 < value < _ABSURD else 0


def _first(raw: Mapping[str, Any], *keys: str) -> int:
    return next((count for key in keys if (count := _count(raw, key))), 0)
