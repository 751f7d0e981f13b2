"""Times counted by size, finely: what sums of many environments, minutes and months can still give percentiles of.

Bounds are fixed, a constant factor apart, so sketches are merged by adding their counts: nothing is lost by it, in whatever
order and however often it is done. A percentile of the merged counts is within RELATIVE_ERROR of the exact one of all times.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from struct import calcsize, pack, unpack

_TO_A_DOUBLING = 8
_DOUBLINGS = 20

GAMMA = 2 ** (1 / _TO_A_DOUBLING)
"""The factor between two bounds."""

RELATIVE_ERROR = (GAMMA - 1) / (GAMMA + 1)
"""4.3 %: what is told of a bucket is as far from its one end as from its other, relative to each."""

BOUNDS_MS = tuple(2 ** (step / _TO_A_DOUBLING) for step in range(_TO_A_DOUBLING * _DOUBLINGS + 1))
"""Upper bounds, inclusive, from 1 ms to 17.5 minutes: the longest that a function can run is 15. What is faster than the
first is told as 1 ms; what is slower than the last is counted and told as the last."""

BUCKETS = len(BOUNDS_MS)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds, None where nothing was counted."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Sketch:
    """`counts`: number of a bucket -> how many times fell into it; a bucket that it lacks has none."""

    counts: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: "Sketch") -> "Sketch":
        few, many = sorted((self.counts, other.counts), key=len)
        if not few:
            return self if many is self.counts else other
        both = dict(many)
        for bucket, number in few.items():
            both[bucket] = both.get(bucket, 0) + number
        return Sketch(both)

    @property
    def number(self) -> int:
        """How many times were counted."""
        return sum(self.counts.values())

    def percentile_ms(self, share: float) -> float | None:
        """The time that `share` (above 0, to 1) of all are within, by the nearest rank; None where nothing was counted."""
        wanted = share * self.number
        below = 0
        for bucket in sorted(self.counts):
            below += self.counts[bucket]
            if below >= wanted:
                return BOUNDS_MS[bucket] * (2 / (GAMMA + 1) if bucket else 1)
        return None

    def percentiles(self) -> "Percentiles":
        return Percentiles(*(self._rounded_ms(share) for share in (0.5, 0.95, 0.99)))

    def _rounded_ms(self, share: float) -> float | None:
        found_ms = self.percentile_ms(share)
        return None if found_ms is None else round(found_ms, 1)

    def split(self, most: int) -> "tuple[Sketch, Sketch]":
        """In two that add up to this one, the first of at most `most` buckets."""
        items = sorted(self.counts.items())
        return Sketch(dict(items[:most])), Sketch(dict(items[most:]))


NOTHING = Sketch()


def sketch_of(*times_ms: float) -> Sketch:
    found: dict[int, int] = {}
    for time_ms in times_ms:
        bucket = min(bisect_left(BOUNDS_MS, time_ms), BUCKETS - 1)
        found[bucket] = found.get(bucket, 0) + 1
    return Sketch(found)


# --- In the table ----------------------------------------------------------------------------------------------------


@cache
def _names(letter: str) -> dict[str, int]:
    """Of attributes -> the bucket that each is of."""
    return {f"{letter}{bucket}": bucket for bucket in range(BUCKETS)}


def sketch_attributes(sketch: Sketch, letter: str) -> dict[str, int]:
    """As attributes that can be added to those of an item: one for each bucket that has a count."""
    return {f"{letter}{bucket}": number for bucket, number in sketch.counts.items()}


def read_sketch(item: Mapping[str, object], letter: str) -> Sketch:
    """Of an item that sketch_attributes() were added to."""
    names = _names(letter)
    found = ((names[name], item[name]) for name in item.keys() & names.keys())
    return Sketch({bucket: number for bucket, number in found if isinstance(number, int) and number})


# Counts in as few bytes as the largest of them needs.
_WIDTHS = {"B": 2**8, "H": 2**16, "I": 2**32, "Q": 2**64}


def packed(sketch: Sketch) -> bytes:
    """As one value that is set whole, at half of the size: how wide the counts are, a byte for each bucket, its counts."""
    width = next(code for code, most in _WIDTHS.items() if max(sketch.counts.values(), default=0) < most)
    buckets = sorted(sketch.counts)
    counts = pack(f"<{len(buckets)}{width}", *(sketch.counts[bucket] for bucket in buckets))
    return width.encode() + bytes(buckets) + counts


def unpacked(data: bytes) -> Sketch:
    """Raises ValueError for what packed() did not make."""
    width = data[:1].decode("latin-1")
    size = 1 + calcsize(f"<{width}") if width in _WIDTHS else 0
    if not size or (len(data) - 1) % size:
        raise ValueError("these bytes are no sketch")
    number = (len(data) - 1) // size
    buckets = data[1 : number + 1]
    if max(buckets, default=0) >= BUCKETS:
        raise ValueError(f"there is no bucket {max(buckets)}")
    return Sketch(dict(zip(buckets, unpack(f"<{number}{width}", data[number + 1 :]), strict=True)))
