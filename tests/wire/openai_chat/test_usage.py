"""Token counts in Chat's words and in ours (case 15)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionUsage

from pllm.wire.neutral import Usage
from pllm.wire.openai_chat.usage import read_usage, usage_json


def counted(usage: Usage | None) -> tuple[int, ...]:
    assert usage is not None
    return usage.input, usage.cache_read, usage.cache_write_5m, usage.output, usage.reasoning


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}, (10, 0, 0, 2, 0)),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}}, (1, 4, 5, 0, 0)),
        ({"prompt_tokens": 10, "prompt_tokens_details": None, "completion_tokens_details": None}, (10, 0, 0, 0, 0)),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 7}, (7, 3, 0, 0, 0)),
        ({"prompt_tokens": 10, "num_cached_tokens": 3}, (7, 3, 0, 0, 0)),
        ({"prompt_tokens": 10, "cached_tokens": 99}, (0, 10, 0, 0, 0)),
        ({"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}, (0, 0, 0, 9, 7)),
        ({"prompt_tokens": 1, "completion_tokens": 9, "reasoning_tokens": 7, "total_tokens": 10}, (1, 0, 0, 9, 7)),
        ({"prompt_tokens": -1, "completion_tokens": "x", "total_tokens": 1e999}, (0, 0, 0, 0, 0)),
    ],
)
def test_case_15_prompt_tokens_are_split_into_disjoint_kinds(raw: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert counted(read_usage(raw)) == expected


def test_case_15_reasoning_that_a_provider_counts_beside_the_completion_is_added() -> None:
    xai = {
        "prompt_tokens": 12,
        "completion_tokens": 1,
        "total_tokens": 241,
        "completion_tokens_details": {"reasoning_tokens": 228},
    }
    assert counted(read_usage(xai)) == (12, 0, 0, 229, 228)


def test_what_is_no_usage_is_none() -> None:
    others: list[object] = [None, 3, "x", [], {}, {"cost": 1}]
    assert [read_usage(raw) for raw in others] == [None] * 6


@given(*(st.integers(0, 999) for _ in range(5)))
def test_case_15_openais_totals_are_the_sum_of_ours(fresh: int, read: int, written: int, output: int, hour: int) -> None:
    usage = Usage(fresh, read, written, hour, output, reasoning=output // 2)
    told = CompletionUsage.model_validate(usage_json(usage), strict=True)
    assert told.prompt_tokens == fresh + read + written + hour
    assert told.total_tokens == told.prompt_tokens + output
    again = read_usage(usage_json(usage))
    assert counted(again) == (fresh, read, written + hour, output, output // 2)
