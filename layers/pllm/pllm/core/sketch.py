"""Times counted by size, finely: what sums of many environments, minutes and months can still give percentiles of.

Bounds are fixed, a constant factor apart, so sketches are merged by adding their counts: nothing is lost by it, in whatever
order and however often it is done. A percentile of the merged counts is within RELATIVE_ERROR of the exact one of all times.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

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


def sketch_attributes(sketch: Sketch, letter: str) -> dict[str, int]:
    """As attributes that can be added to those of an item: one for each bucket that has a count."""
    return {f"{letter}{bucket}": number for bucket, number in sketch.counts.items()}


def read_sketch(item: Mapping[str, object], letter: str) -> Sketch:
    """Of an item that sketch_attributes() were added to."""
    found = ((name[1:], number) for name, number in item.items() if name[0] == letter)
    return Sketch({int(rest): number for rest, number in found if rest.isdecimal() and isinstance(number, int) and number})


def packed(sketch: Sketch) -> bytes:
    """As one value that is set whole, at a quarter of the size: gaps between buckets and their counts, in base 128."""
    data = bytearray()
    before = 0
    for bucket, number in sorted(sketch.counts.items()):
        data += bytes((*_base_128(bucket - before), *_base_128(number)))
        before = bucket
    return bytes(data)


def unpacked(data: bytes) -> Sketch:
    """Raises ValueError for what packed() did not make."""
    numbers = list(_numbers(data))
    bucket, counts = 0, {}
    for gap, number in zip(numbers[::2], numbers[1::2], strict=True):
        bucket += gap
        counts[bucket] = number
    if counts and max(counts) >= BUCKETS:
        raise ValueError(f"there is no bucket {max(counts)}")
    return Sketch(counts)


def _base_128(number: int) -> Iterator[int]:
    """The lowest seven bits first; all but the last byte have the highest bit set."""
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


def _numbers(data: Iterable[int]) -> Iterator[int]:
    number, shift = 0, 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number, shift = 0, 0
    if shift:
        raise ValueError("the last number is cut")
