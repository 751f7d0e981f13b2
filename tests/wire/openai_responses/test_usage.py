from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pllm.wire.neutral import Usage
from pllm.wire.openai_responses.usage import read_usage, write_usage


def test_case_15_cached_reads_and_writes_are_taken_out_of_the_input() -> None:
    raw = {
        "input_tokens": 1220,
        "input_tokens_details": {
            "cached_tokens": 200,
            "cache_write_tokens": 1000,
            "cache_write_tokens_details": {"ttl_30m_tokens": 900, "ttl_12h_tokens": 100},
        },
        "output_tokens": 100,
        "output_tokens_details": {"reasoning_tokens": 54},
        "total_tokens": 1320,
    }
    usage = read_usage(raw)
    assert usage == Usage(20, 200, 900, 100, 100, 54, raw=raw)
    assert usage is not None
    assert usage.total == 1320


@pytest.mark.parametrize("raw", [None, [], "many", 3])
def test_what_is_no_usage_is_none(raw: Any) -> None:
    assert read_usage(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"input_tokens": None, "output_tokens": "3", "input_tokens_details": [], "output_tokens_details": None},
        {"input_tokens": True},
    ],
)
def test_odd_usage_counts_as_nothing(raw: Any) -> None:
    assert read_usage(raw) == Usage(raw=raw)


_tokens = st.integers(0, 10**6)


@given(st.tuples(_tokens, _tokens, _tokens, _tokens, _tokens))
def test_what_is_written_reads_back_with_the_same_totals(figures: tuple[int, int, int, int, int]) -> None:
    plain, read, write, output, reasoning = figures
    back = read_usage(write_usage(Usage(plain, read, write, 0, output, reasoning)))
    assert back is not None
    assert (back.input, back.cache_read, back.cache_write_5m, back.output, back.reasoning) == figures
