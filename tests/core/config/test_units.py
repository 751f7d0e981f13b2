from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config.units import micro_usd_per_million, parse_duration, parse_size, parse_usd, show


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (30, 30.0),
        (0.25, 0.25),
        ("45", 45.0),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("250ms", 0.25),
        ("1h30m", 5400.0),
        ("1d", 86400.0),
        (0, 0.0),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", ["30 parsecs", "s", "", "-5s", -5, True, None, [], float("inf"), float("nan"), "5m junk", "٣s", "1e3"]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration in seconds, or 30s"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "micro"),
    [(25, 25_000_000), (0.1, 100_000), ("0.10", 100_000), ("$25", 25_000_000), ("25 usd", 25_000_000), (0, 0), (0.000001, 1)],
)
def test_money_is_whole_micro_dollars(text: object, micro: int) -> None:
    assert parse_usd(text) == micro


@pytest.mark.parametrize("value", ["25 EUR", -1, "-1", True, None, "", float("inf")])
def test_what_is_no_money_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected an amount in USD"):
        parse_usd(value)


def test_money_finer_than_a_micro_dollar_is_refused_rather_than_rounded() -> None:
    with pytest.raises(ValueError, match="finer than a micro-dollar"):
        parse_usd("0.0000001")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**12))
def test_every_micro_dollar_amount_survives_being_written_as_usd(micro: int) -> None:
    assert parse_usd(f"{Decimal(micro) / 1_000_000:f}") == micro


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (6_000_000, 6_000_000),
        ("6MB", 6_000_000),
        ("6 mb", 6_000_000),
        ("6MiB", 6 * 2**20),
        ("300KB", 300_000),
        ("1.5KB", 1500),
        ("12", 12),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: object, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("value", ["6 parsecs", "MB", "0.5", -1, None, 1.5, "1.0001KB"])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size in bytes"):
        parse_size(value)


@pytest.mark.parametrize(
    ("usd", "micro"), [(0.0000025, 2_500_000), (2.5e-06, 2_500_000), (1e-07, 100_000), (0.0, 0), (1.0, 10**12)]
)
def test_a_token_price_is_exact_per_million_tokens(usd: float, micro: int) -> None:
    assert micro_usd_per_million(usd) == micro


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "nothing"), (True, "true"), (False, "false"), ({}, "a mapping"), ([1], "a list"), ("a", "'a'"), (5, "5")],
)
def test_messages_show_values_in_words(value: object, text: str) -> None:
    assert show(value) == text


def test_messages_show_a_long_value_cut_short() -> None:
    assert len(show("x" * 500)) == 60
