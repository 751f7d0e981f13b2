"""core/pricing.py: what a request costs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.pricing import Counts, cost_micro_usd, is_long
from pllm.core.profile import Prices
from pllm.wire.neutral import Usage

# Claude Haiku 4.5's list price: 1 USD in, 5 USD out per million.
HAIKU = Prices(input=1_000_000, output=5_000_000, cache_read=100_000, cache_write_5m=1_250_000, cache_write_1h=2_000_000)
TIERED = Prices(
    input=1_250_000,
    output=10_000_000,
    cache_read=125_000,
    long_context_over=200_000,
    long_input=2_500_000,
    long_output=15_000_000,
    long_cache_read=250_000,
)
COUNT = st.integers(0, 5_000_000)
PRICE = st.integers(0, 200_000_000)


def test_a_thousand_tokens_in_and_a_hundred_out_at_list_price() -> None:
    assert cost_micro_usd(Counts(input=1000, output=100), HAIKU) == 1000 + 500


def test_the_neutral_usage_is_priced_as_it_stands() -> None:
    usage = Usage(input=10, cache_read=1000, cache_write_5m=200, cache_write_1h=100, output=20)
    assert cost_micro_usd(usage, HAIKU) == 10 + 100 + 250 + 200 + 100


def test_a_fraction_of_a_micro_dollar_is_rounded_up_once_for_the_whole_request() -> None:
    cents = Prices(input=100_000, output=400_000)
    assert cost_micro_usd(Counts(input=1), cents) == 1
    assert cost_micro_usd(Counts(input=1, output=1), cents) == 1
    assert cost_micro_usd(Counts(input=10, output=10), cents) == 5


def test_nothing_used_costs_nothing_even_where_no_price_is_known() -> None:
    assert cost_micro_usd(Counts(), Prices()) == 0


@pytest.mark.parametrize(
    "used",
    [
        Counts(input=1),
        Counts(output=1),
        Counts(cache_read=1),
        Counts(cache_write_5m=1),
        Counts(cache_write_1h=1),
        Counts(input=1, audio_input=1),
        Counts(output=1, audio_output=1),
    ],
)
def test_a_price_that_is_needed_and_not_known_makes_the_whole_cost_unknown(used: Counts) -> None:
    assert cost_micro_usd(used, Prices()) is None


def test_free_is_not_unknown() -> None:
    assert cost_micro_usd(Counts(input=1000, output=1000), Prices(input=0, output=0)) == 0


def test_a_price_that_is_not_needed_may_be_missing() -> None:
    assert cost_micro_usd(Counts(input=1_000_000), Prices(input=20_000)) == 20_000


def test_reasoning_is_billed_as_output_unless_it_has_a_price_of_its_own() -> None:
    used = Counts(output=100, reasoning=60)
    assert cost_micro_usd(used, Prices(output=10_000_000)) == 1000
    assert cost_micro_usd(used, Prices(output=10_000_000, reasoning=5_000_000)) == 400 + 300


def test_audio_tokens_are_taken_out_of_the_text_they_were_counted_with() -> None:
    prices = Prices(input=2_500_000, output=10_000_000, audio_input=40_000_000, audio_output=80_000_000)
    used = Counts(input=100, audio_input=60, output=50, audio_output=50)
    assert cost_micro_usd(used, prices) == 40 * 5 // 2 + 60 * 40 + 50 * 80


def test_image_tokens_are_billed_as_input_unless_they_have_a_price_of_their_own() -> None:
    used = Counts(input=100, image_input=80)
    assert cost_micro_usd(used, Prices(input=5_000_000)) == 500
    assert cost_micro_usd(used, Prices(input=5_000_000, image_input=10_000_000)) == 100 + 800


def test_the_long_context_price_holds_for_the_whole_request_once_the_prompt_is_over_it() -> None:
    at, over = Counts(input=100_000, cache_read=100_000, output=10), Counts(input=100_001, cache_read=100_000, output=10)
    assert not is_long(at, TIERED)
    assert is_long(over, TIERED)
    assert cost_micro_usd(at, TIERED) == 125_000 + 12_500 + 100
    assert cost_micro_usd(over, TIERED) == -(-100_001 * 5 // 2) + 25_000 + 150


def test_a_long_context_without_its_price_for_cache_writes_is_of_unknown_cost() -> None:
    assert cost_micro_usd(Counts(input=300_000, cache_write_5m=1), TIERED) is None


def test_images_audio_and_characters_are_billed_by_the_piece() -> None:
    assert cost_micro_usd(Counts(images=3), Prices(per_image_micro_usd=40_000)) == 120_000
    assert cost_micro_usd(Counts(audio_seconds=90.5), Prices(per_second_micro_usd=100)) == 9_050
    assert cost_micro_usd(Counts(characters=11), Prices(per_million_characters=15_000_000)) == 165
    assert cost_micro_usd(Counts(search_units=3), Prices(per_search_unit_micro_usd=2_000)) == 6_000
    assert cost_micro_usd(Counts(search_units=3), Prices(input=5)) is None
    assert cost_micro_usd(Counts(images=1), Prices()) is None


def test_what_came_with_tokens_is_not_billed_by_the_piece_as_well() -> None:
    both = Prices(input=5_000_000, output=40_000_000, per_image_micro_usd=40_000)
    made = Counts(input=10, output=100, images=1)
    assert cost_micro_usd(made, both) == 50 + 4000
    assert cost_micro_usd(made, Prices(input=5_000_000, output=40_000_000)) == 50 + 4000
    assert cost_micro_usd(made, Prices(per_image_micro_usd=40_000)) == 40_000
    assert cost_micro_usd(made, Prices()) is None


@st.composite
def usages(draw: st.DrawFn) -> Counts:
    """Counts as a provider gives them: parts are never more than their whole."""
    whole_in, whole_out = draw(COUNT), draw(COUNT)
    audio_in = draw(st.integers(0, whole_in))
    reasoning = draw(st.integers(0, whole_out))
    return Counts(
        input=whole_in,
        cache_read=draw(COUNT),
        cache_write_5m=draw(COUNT),
        cache_write_1h=draw(COUNT),
        output=whole_out,
        reasoning=reasoning,
        audio_input=audio_in,
        audio_output=draw(st.integers(0, whole_out - reasoning)),
        image_input=draw(st.integers(0, whole_in - audio_in)),
    )


PRICES = st.builds(
    Prices,
    input=PRICE,
    output=PRICE,
    cache_read=PRICE,
    cache_write_5m=PRICE,
    cache_write_1h=PRICE,
    reasoning=st.none() | PRICE,
    audio_input=PRICE,
    audio_output=PRICE,
    image_input=st.none() | PRICE,
)


def added(one: Counts, other: Counts) -> Counts:
    return Counts(**{name: getattr(one, name) + getattr(other, name) for name in Counts.__slots__})


@settings(deadline=None, max_examples=100)
@given(usages(), usages(), PRICES)
def test_costs_add_up_to_within_the_rounding(one: Counts, other: Counts, prices: Prices) -> None:
    parts = [cost_micro_usd(one, prices), cost_micro_usd(other, prices)]
    whole = cost_micro_usd(added(one, other), prices)
    assert whole is not None
    assert whole <= sum(part for part in parts if part is not None) <= whole + 1


@settings(deadline=None, max_examples=100)
@given(usages(), usages(), PRICES)
def test_more_use_never_costs_less(less: Counts, further: Counts, prices: Prices) -> None:
    little, much = cost_micro_usd(less, prices), cost_micro_usd(added(less, further), prices)
    assert little is not None
    assert much is not None
    assert little <= much


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 500_000), st.integers(0, 500_000), st.integers(0, 10_000))
def test_a_longer_prompt_never_costs_less_across_the_threshold(prompt: int, more: int, output: int) -> None:
    short, long = Counts(input=prompt, output=output), Counts(input=prompt + more, output=output)
    cheaper, dearer = cost_micro_usd(short, TIERED), cost_micro_usd(long, TIERED)
    assert cheaper is not None
    assert dearer is not None
    assert cheaper <= dearer
