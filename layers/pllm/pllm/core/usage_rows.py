"""What is counted of requests, and for whom: sums that add up, from one request to a year.

A sum never mixes two teams, two versions of prices or two tariffs (long contexts have one of their own), so what it cost can
be worked out again from its own counts: the same, or less by under one micro-dollar for each request in it, because a
request's cost is rounded up.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import ceil
from operator import add, attrgetter
from typing import Any

from pllm.core.pricing import Counts, is_long
from pllm.core.record import Abandoned, RequestRecord
from pllm.core.sketch import NOTHING, Sketch, packed, read_sketch, sketch_attributes, sketch_of, unpacked

LONG = "~long"
"""Ends the name of a price version where the long-context prices held."""


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """Whose requests, and to what. `deployment` is empty where none was asked. `prices`: version of the prices in force,
    with LONG where those for long contexts were."""

    key: str = ""
    model: str = ""
    deployment: str = ""
    team: str = ""
    prices: str = ""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums over requests. Tokens are as in wire.neutral.Usage, but `prompt_tokens` is the whole prompt, cached ones included.
    `unpriced`: requests whose cost is not known and is not in `cost_micro_usd`. `estimated`: requests whose
    provider did not say what they used. An attempt that was given up for another is no request of its own, but is in
    everything that it used, in these two as well. `latencies`: of answers, until the last byte; `firsts`: of those that were
    streams, until the first event. An answer is what a deployment gave whole: an error is none, nor is what its client left."""

    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_micro_usd: int = 0
    latency_ms: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    images: int = 0
    audio_ms: int = 0
    characters: int = 0
    search_units: int = 0
    unpriced: int = 0
    estimated: int = 0
    latencies: Sketch = NOTHING
    firsts: Sketch = NOTHING

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(*map(add, _all_of(self), _all_of(other)))

    def numbers(self) -> dict[str, int]:
        """The plain sums, by name."""
        return {name: getattr(self, name) for name in ATTRIBUTES}

    def split(self, most: int) -> "tuple[Amounts, Amounts]":
        """In two that add up to this one: everything, with no more than `most` buckets of either sketch, and their others."""
        if max(len(self.latencies.counts), len(self.firsts.counts)) <= most:
            return self, Amounts()
        latencies, later = self.latencies.split(most)
        firsts, later_firsts = self.firsts.split(most)
        now = replace(self, latencies=latencies, firsts=firsts)
        return now, Amounts(latencies=later, firsts=later_firsts)

    def counts(self) -> Counts:
        """For pricing once more."""
        return Counts(
            input=self.prompt_tokens - self.cached_tokens - self.cache_write_5m_tokens - self.cache_write_1h_tokens,
            cache_read=self.cached_tokens,
            cache_write_5m=self.cache_write_5m_tokens,
            cache_write_1h=self.cache_write_1h_tokens,
            output=self.completion_tokens,
            reasoning=self.reasoning_tokens,
            audio_input=self.audio_input_tokens,
            audio_output=self.audio_output_tokens,
            image_input=self.image_input_tokens,
            images=self.images,
            audio_seconds=self.audio_ms / 1000,
            characters=self.characters,
            search_units=self.search_units,
        )


ATTRIBUTES: Mapping[str, str] = {
    "requests": "n",
    "errors": "e",
    "prompt_tokens": "pt",
    "completion_tokens": "ct",
    "cached_tokens": "cc",
    "cost_micro_usd": "us",
    "latency_ms": "ls",
    "cache_write_5m_tokens": "w5",
    "cache_write_1h_tokens": "w1",
    "reasoning_tokens": "rt",
    "audio_input_tokens": "ai",
    "audio_output_tokens": "ao",
    "image_input_tokens": "ii",
    "images": "im",
    "audio_ms": "am",
    "characters": "ch",
    "search_units": "su",
    "unpriced": "up",
    "estimated": "es",
}
"""Names in the table: short, because a write is paid by the kilobyte."""

_all_of = attrgetter(*(field.name for field in fields(Amounts)))

# Of sketches: a letter before the number of each bucket where rows are added to, else one attribute that is set whole.
_SKETCHES: Mapping[str, tuple[str, str]] = {"latencies": ("l", "lp"), "firsts": ("f", "fp")}

_NO_ANSWERS = frozenset({"count_tokens"})
"""Endpoints whose requests are no measure of how long a model takes to answer."""


class Running:
    """A sum that grows. Adding Amounts to Amounts copies every bucket, which is too slow for thousands of rows."""

    def __init__(self) -> None:
        self._numbers = [0] * len(ATTRIBUTES)
        self._sketches: tuple[dict[int, int], dict[int, int]] = {}, {}

    def add(self, amounts: Amounts) -> None:
        *numbers, latencies, firsts = _all_of(amounts)
        self._numbers = list(map(add, self._numbers, numbers))
        for counts, sketch in zip(self._sketches, (latencies, firsts), strict=True):
            for bucket, number in sketch.counts.items():
                counts[bucket] = counts.get(bucket, 0) + number

    def amounts(self) -> Amounts:
        fields: list[Any] = [*self._numbers, *(Sketch(dict(counts)) for counts in self._sketches)]
        return Amounts(*fields)


def total(many: Iterable[Amounts]) -> Amounts:
    running = Running()
    for amounts in many:
        running.add(amounts)
    return running.amounts()


def account_of(record: RequestRecord) -> Account | None:
    """None for a request that asked for no model there is: it has no usage, whoever sent it."""
    if not record.model or not record.principal:
        return None
    return Account(record.principal, record.model, record.deployment, record.team, tariff_of(record))


def accounts_of(record: RequestRecord) -> Iterator[tuple[Account, Amounts]]:
    """One request that is over, and each attempt of it that another one took the place of, on its own deployment's account."""
    account = account_of(record)
    if account is None:
        return
    yield account, amounts_of(record)
    for one in record.abandoned:
        yield replace(account, deployment=one.deployment, prices=tariff_of(one)), _used_by(one)


def tariff_of(record: RequestRecord | Abandoned) -> str:
    """The version of the prices in force, with LONG where those for long contexts were; empty where no deployment was asked."""
    long = record.used is not None and is_long(record.used, record.prices)
    return record.prices.version + (LONG if long else "") if record.deployment else ""


def amounts_of(record: RequestRecord) -> Amounts:
    """One request, once it is over; what attempts before used is not in it."""
    return replace(
        _used_by(record),
        requests=1,
        errors=1 if record.error else 0,
        latency_ms=round(record.latency_ms),
        latencies=sketch_of(record.latency_ms) if _answered(record) else NOTHING,
        firsts=sketch_of(record.ttft_ms) if _answered(record) and record.stream and record.ttft_ms is not None else NOTHING,
    )


def _used_by(record: RequestRecord | Abandoned) -> Amounts:
    used = record.used or Counts()
    return Amounts(
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        cached_tokens=record.cached_tokens,
        cost_micro_usd=record.cost_micro_usd or 0,
        cache_write_5m_tokens=used.cache_write_5m,
        cache_write_1h_tokens=used.cache_write_1h,
        reasoning_tokens=record.reasoning_tokens,
        audio_input_tokens=used.audio_input,
        audio_output_tokens=used.audio_output,
        image_input_tokens=used.image_input,
        images=record.images,
        audio_ms=ceil(record.audio_seconds * 1000),
        characters=record.characters,
        search_units=used.search_units,
        unpriced=1 if record.used is not None and record.cost_micro_usd is None else 0,
        estimated=int(record.estimated),
    )


def _answered(record: RequestRecord) -> bool:
    """A refusal takes no time, and a deadline that passed says nothing of how long answers take."""
    return bool(record.deployment) and not record.error and not record.client_gone and record.endpoint not in _NO_ANSWERS


def attributes(amounts: Amounts) -> dict[str, int]:
    """By their names in the table, to be added to a row: what is zero changes nothing and is left out."""
    sums = {ATTRIBUTES[name]: number for name, number in amounts.numbers().items() if number}
    for name, (letter, _) in _SKETCHES.items():
        sums |= sketch_attributes(getattr(amounts, name), letter)
    return sums


def row_attributes(amounts: Amounts) -> dict[str, int | bytes]:
    """By their names in the table, to be set in the place of whatever a row was."""
    sums = {ATTRIBUTES[name]: number for name, number in amounts.numbers().items()}
    return sums | {whole: packed(getattr(amounts, name)) for name, (_, whole) in _SKETCHES.items()}


def read_amounts(item: Mapping[str, object]) -> Amounts:
    """Of an item of the table, added to or set; what it lacks is zero."""
    found: dict[str, Any] = {name: item.get(short, 0) for name, short in ATTRIBUTES.items()}
    found |= {name: _sketch(item, letter, whole) for name, (letter, whole) in _SKETCHES.items()}
    return Amounts(**found)


def _sketch(item: Mapping[str, object], letter: str, whole: str) -> Sketch:
    data = item.get(whole)
    return unpacked(data) if isinstance(data, bytes) else read_sketch(item, letter)
