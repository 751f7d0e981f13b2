"""Percentiles of counts: never off by more than a bucket, whatever the latencies."""

from collections import Counter
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.histogram import BOUNDS_MS, added, bucket_attributes, bucket_of, percentile_ms, read_buckets

LATENCIES = st.lists(st.floats(0, 300_000), min_size=1, max_size=50)


@settings(max_examples=100, deadline=None)
@given(LATENCIES, st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(latencies: list[float], share: float) -> None:
    true_ms = sorted(latencies)[ceil(share * len(latencies)) - 1]
    found_ms = percentile_ms(Counter(map(bucket_of, latencies)), share)
    bucket = bucket_of(true_ms)
    assert found_ms is not None
    assert (BOUNDS_MS[bucket - 1] if bucket else 0) <= found_ms <= BOUNDS_MS[bucket]


def test_nothing_counted_has_no_percentile() -> None:
    assert percentile_ms({}, 0.5) is None


def test_what_is_beyond_the_last_bound_is_told_as_the_bound() -> None:
    assert bucket_of(300_001) == len(BOUNDS_MS)
    assert percentile_ms({len(BOUNDS_MS): 3}, 0.5) == BOUNDS_MS[-1]


def test_a_bound_belongs_to_its_bucket() -> None:
    assert [bucket_of(bound) for bound in BOUNDS_MS] == list(range(len(BOUNDS_MS)))


@settings(max_examples=50, deadline=None)
@given(LATENCIES, LATENCIES)
def test_counts_add_up_and_survive_the_table(one: list[float], other: list[float]) -> None:
    first, second = Counter(map(bucket_of, one)), Counter(map(bucket_of, other))
    both = added(first, second)
    assert both == Counter(map(bucket_of, one + other))
    assert read_buckets(bucket_attributes(both)) == both
