"""What is counted of requests, and for whom: sums that add up, from one request to a year.

A sum never mixes two teams, two versions of prices or two tariffs (long contexts have one of their own), so what it cost can
be worked out again from its own counts: the same, or less by under one micro-dollar for each request in it, because a
request's cost is rounded up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import reduce
from math import ceil
from operator import add

from pllm.core.pricing import Counts, is_long
from pllm.core.record import RequestRecord

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
    provider did not say what they used."""

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
    unpriced: int = 0
    estimated: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(*map(add, _numbers(self), _numbers(other)))

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
    "unpriced": "up",
    "estimated": "es",
}
"""Names in the table: short, because a write is paid by the kilobyte."""

_FIELDS = tuple(field.name for field in fields(Amounts))


def total(many: Iterable[Amounts]) -> Amounts:
    return reduce(add, many, Amounts())


def account_of(record: RequestRecord) -> Account | None:
    """None for a request that asked for no model there is: it has no usage, whoever sent it."""
    if not record.model or not record.principal:
        return None
    return Account(record.principal, record.model, record.deployment, record.team, tariff_of(record))


def tariff_of(record: RequestRecord) -> str:
    """The version of the prices in force, with LONG where those for long contexts were; empty where no deployment was asked."""
    long = record.used is not None and is_long(record.used, record.prices)
    return record.prices.version + (LONG if long else "") if record.deployment else ""


def amounts_of(record: RequestRecord) -> Amounts:
    """One request, once it is over."""
    used = record.used or Counts()
    return Amounts(
        requests=1,
        errors=1 if record.error else 0,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        cached_tokens=record.cached_tokens,
        cost_micro_usd=record.cost_micro_usd or 0,
        latency_ms=round(record.latency_ms),
        cache_write_5m_tokens=used.cache_write_5m,
        cache_write_1h_tokens=used.cache_write_1h,
        reasoning_tokens=record.reasoning_tokens,
        audio_input_tokens=used.audio_input,
        audio_output_tokens=used.audio_output,
        image_input_tokens=used.image_input,
        images=record.images,
        audio_ms=ceil(record.audio_seconds * 1000),
        characters=record.characters,
        unpriced=1 if record.used is not None and record.cost_micro_usd is None else 0,
        estimated=int(record.estimated),
    )


def attributes(amounts: Amounts, *, zeros: bool = False) -> dict[str, int]:
    """By their names in the table. Zeros are left out where they change nothing: in what is added."""
    named = zip(_FIELDS, _numbers(amounts), strict=True)
    return {ATTRIBUTES[name]: number for name, number in named if number or zeros}


def read_amounts(item: Mapping[str, object]) -> Amounts:
    """Of an item of the table; what it lacks is zero."""
    found = ((name, item.get(ATTRIBUTES[name], 0)) for name in _FIELDS)
    return Amounts(**{name: number for name, number in found if isinstance(number, int)})


def _numbers(amounts: Amounts) -> tuple[int, ...]:
    return tuple(getattr(amounts, name) for name in _FIELDS)
