"""Token counts in Responses' shape. `input_tokens` includes cached reads and writes, the neutral `input` neither (case 15)."""

from collections.abc import Mapping
from typing import Any

from pllm.core.jsontext import Json, JsonObject
from pllm.wire.usage import Usage


def write_usage(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def read_usage(value: Json) -> Usage | None:
    """Usage of a Response object; None where there is none. Absent details count as 0. OpenAI's two lifetimes of a cache
    write (30 minutes, 12 hours) are the neutral short and long one."""
    if not isinstance(value, Mapping):
        return None
    details = _mapping(value.get("input_tokens_details"))
    read = _tokens(details.get("cached_tokens"))
    written = _tokens(details.get("cache_write_tokens"))
    long_lived = min(_tokens(_mapping(details.get("cache_write_tokens_details")).get("ttl_12h_tokens")), written)
    return Usage(
        input=max(_tokens(value.get("input_tokens")) - read - written, 0),
        cache_read=read,
        cache_write_5m=written - long_lived,
        cache_write_1h=long_lived,
        output=_tokens(value.get("output_tokens")),
        reasoning=_tokens(_mapping(value.get("output_tokens_details")).get("reasoning_tokens")),
        raw=value,
    )


def _mapping(value: Json) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tokens(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
