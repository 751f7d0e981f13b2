"""Latencies counted by size: what sums of many environments can still give percentiles of.

Bounds are fixed, since counts under different bounds cannot be added. They are a factor of about two apart, so a percentile
read from them is within that factor of the true one, and usually far nearer.
"""

from bisect import bisect_left
from collections.abc import Mapping

BOUNDS_MS = (50, 100, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000, 120_000, 300_000)
"""Upper bounds, inclusive; what is slower than the last is in a bucket of its own, number len(BOUNDS_MS)."""

BUCKETS = range(len(BOUNDS_MS) + 1)

Counts = Mapping[int, int]
"""Number of a bucket -> how many fell into it. What it lacks is zero."""


def bucket_of(latency_ms: float) -> int:
    """The number of the bucket of one latency."""
    return bisect_left(BOUNDS_MS, latency_ms)


def added(one: Counts, other: Counts) -> dict[int, int]:
    return {bucket: one.get(bucket, 0) + other.get(bucket, 0) for bucket in {*one, *other}}


def percentile_ms(counts: Counts, share: float) -> float | None:
    """The latency that `share` (0 to 1) of all are within, interpolated inside its bucket; None where nothing was counted.
    Of what is slower than the last bound nothing more is known than that: it is told as the bound."""
    wanted = share * sum(counts.values())
    if not wanted:
        return None
    below = 0
    for bucket, bound_ms in enumerate(BOUNDS_MS):
        here = counts.get(bucket, 0)
        if below + here >= wanted:
            from_ms = BOUNDS_MS[bucket - 1] if bucket else 0
            return from_ms + (bound_ms - from_ms) * (wanted - below) / here
        below += here
    return float(BOUNDS_MS[-1])


def bucket_attributes(counts: Counts) -> dict[str, int]:
    """As attributes of an item of the table."""
    return {f"b{bucket}": number for bucket, number in counts.items()}


def read_buckets(item: Mapping[str, object]) -> dict[int, int]:
    """The counts of an item of the table."""
    found = ((bucket, item.get(f"b{bucket}")) for bucket in BUCKETS)
    return {bucket: number for bucket, number in found if isinstance(number, int) and number}
