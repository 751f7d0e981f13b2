"""Sketches: percentiles within the stated error, whatever the times and however they were split before they were merged."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.sketch import (
    BOUNDS_MS,
    BUCKETS,
    NOTHING,
    RELATIVE_ERROR,
    Sketch,
    packed,
    read_sketch,
    sketch_attributes,
    sketch_of,
    unpacked,
)

TIMES = st.lists(st.floats(1, BOUNDS_MS[-1]) | st.sampled_from(BOUNDS_MS), min_size=1, max_size=200)
SHARES = st.sampled_from([0.001, 0.5, 0.95, 0.99, 1.0])
SKETCHES = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 10**12), max_size=BUCKETS).map(Sketch)


def exact_ms(times_ms: list[float], share: float) -> float:
    """By the nearest rank."""
    return sorted(times_ms)[ceil(share * len(times_ms)) - 1]


@settings(max_examples=200, deadline=None)
@given(TIMES, SHARES, st.lists(st.integers(0, 9), min_size=200, max_size=200), st.randoms())
def test_merged_percentiles_are_within_the_stated_error_of_the_exact_ones(
    times_ms: list[float], share: float, places: list[int], random: object
) -> None:
    parts = [sketch_of(*(time for time, place in zip(times_ms, places, strict=False) if place == one)) for one in range(10)]
    getattr(random, "shuffle")(parts)  # noqa: B009 - hypothesis has no public type for it
    merged = sum(parts, NOTHING)
    assert merged == sketch_of(*times_ms)
    told_ms, true_ms = merged.percentile_ms(share), exact_ms(times_ms, share)
    assert told_ms == pytest.approx(true_ms, rel=RELATIVE_ERROR + 1e-9)


def test_the_stated_error_is_under_five_percent() -> None:
    assert 0.04 < RELATIVE_ERROR < 0.05


@pytest.mark.parametrize(("time_ms", "told_ms"), [(0.0, 1.0), (0.3, 1.0), (1.0, 1.0), (3_600_000.0, BOUNDS_MS[-1])])
def test_what_is_out_of_range_is_told_as_its_end(time_ms: float, told_ms: float) -> None:
    assert sketch_of(time_ms).percentile_ms(0.5) == pytest.approx(told_ms, rel=RELATIVE_ERROR + 1e-9)


def test_nothing_counted_has_no_percentile() -> None:
    assert NOTHING.percentile_ms(0.5) is None
    assert NOTHING + NOTHING == NOTHING


@settings(max_examples=100, deadline=None)
@given(st.lists(SKETCHES, max_size=5))
def test_what_is_added_in_the_table_is_read_as_the_sum(many: list[Sketch]) -> None:
    item: dict[str, int] = {"ls": 3, "fs": 4, "n": 5}
    for sketch in many:
        for name, number in sketch_attributes(sketch, "l").items():
            item[name] = item.get(name, 0) + number
    assert read_sketch(item, "l") == sum(many, NOTHING)
    assert read_sketch(item, "f") == NOTHING


@settings(max_examples=100, deadline=None)
@given(SKETCHES, st.integers(1, BUCKETS))
def test_a_sketch_survives_packing_and_splitting(sketch: Sketch, most: int) -> None:
    assert unpacked(packed(sketch)) == sketch
    first, rest = sketch.split(most)
    assert len(first.counts) <= most
    assert first + rest == sketch


@pytest.mark.parametrize("data", [b"", b"x", b"B\x01", b"H\x01\x02", b"B\xff\x01"])
def test_bytes_that_are_no_sketch_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(data)
