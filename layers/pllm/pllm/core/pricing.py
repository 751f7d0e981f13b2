"""What a request cost: token counts at a model's prices, in whole micro-dollars.

Rounding: the exact cost of the whole request is rounded up to the next micro-dollar, once. So the costs of the parts of a
request add up to its own cost or, at most, one micro-dollar more for each further part.
"""

from dataclasses import dataclass
from math import ceil
from typing import Protocol

from pllm.core.profile import Prices

_MILLION = 1_000_000
_THOUSAND = 1_000


class Used(Protocol):
    """Counts as wire.neutral.Usage has them: input kinds are disjoint, but `input` includes `audio_input` and
    `image_input`; `output` includes `reasoning` and `audio_output`. Images made, seconds heard and characters spoken are what
    models without tokens are billed by; search units are what rankings are."""

    @property
    def input(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write_5m(self) -> int: ...
    @property
    def cache_write_1h(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def reasoning(self) -> int: ...
    @property
    def audio_input(self) -> int: ...
    @property
    def audio_output(self) -> int: ...
    @property
    def image_input(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def audio_seconds(self) -> float: ...
    @property
    def characters(self) -> int: ...
    @property
    def search_units(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts for callers that have no Usage at hand."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    images: int = 0
    audio_seconds: float = 0.0
    characters: int = 0
    search_units: int = 0


def cost_micro_usd(used: Used, prices: Prices) -> int | None:
    """The whole cost, rounded up; None when a price that is needed is not known. A count of zero needs no price.

    What came with tokens is billed by them; images, seconds and characters count where there are no tokens, or where the
    model has no price for them."""
    by_tokens = _sum(_token_lines(used, prices))
    pieces = _piece_lines(used, prices)
    if any(count for count, _, _ in pieces) and not by_tokens:
        return _sum(pieces)
    return by_tokens


def _sum(lines: "tuple[_Line, ...]") -> int | None:
    total = 0
    for count, price, per in lines:
        if count == 0:
            continue
        if price is None:
            return None
        total += count * price * (_MILLION // per)
    return -(-total // _MILLION)


def is_long(used: Used, prices: Prices) -> bool:
    """Whether the long-context prices hold for the request: its prompt, cached tokens included, is over the threshold."""
    prompt = used.input + used.cache_read + used.cache_write_5m + used.cache_write_1h
    return prices.long_context_over is not None and prompt > prices.long_context_over


_Line = tuple[int, int | None, int]
"""(count, price in micro-dollars, for how many)."""


def _token_lines(used: Used, prices: Prices) -> tuple[_Line, ...]:
    base = _long(prices) if is_long(used, prices) else prices
    image_input = base.input if prices.image_input is None else prices.image_input
    # In a long context reasoning is billed as output: no provider that has both names a price of its own for it.
    reasoning = base.output if prices.reasoning is None or base is not prices else prices.reasoning
    # A provider may count what is heard or thought apart from the total it gives: no text is ever negative.
    text_in = max(used.input - used.audio_input - used.image_input, 0)
    text_out = max(used.output - used.reasoning - used.audio_output, 0)
    return (
        (text_in, base.input, _MILLION),
        (used.audio_input, prices.audio_input, _MILLION),
        (used.image_input, image_input, _MILLION),
        (used.cache_read, base.cache_read, _MILLION),
        (used.cache_write_5m, base.cache_write_5m, _MILLION),
        (used.cache_write_1h, base.cache_write_1h, _MILLION),
        (text_out, base.output, _MILLION),
        (used.reasoning, reasoning, _MILLION),
        (used.audio_output, prices.audio_output, _MILLION),
    )


def _long(prices: Prices) -> Prices:
    return Prices(
        input=prices.long_input,
        output=prices.long_output,
        cache_read=prices.long_cache_read,
        cache_write_5m=prices.long_cache_write_5m,
        cache_write_1h=prices.long_cache_write_1h,
    )


def _piece_lines(used: Used, prices: Prices) -> tuple[_Line, ...]:
    return (
        (used.images, prices.per_image_micro_usd, 1),
        (ceil(used.audio_seconds * _THOUSAND), prices.per_second_micro_usd, _THOUSAND),
        (used.characters, prices.per_million_characters, _MILLION),
        (used.search_units, prices.per_search_unit_micro_usd, 1),
    )
