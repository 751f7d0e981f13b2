"""Where usage stands in the table: keys that can be read back, and spans that hold what lies in them and nothing else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pllm.core.usage_keys import (
    LENGTH_S,
    PERIODS,
    SHARDS,
    Period,
    ceil_s,
    floor_s,
    read_key,
    row_key,
    shard_of,
    spans,
)
from pllm.core.usage_rows import Account

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(["a#b", "%23", "a%", "#", "m/1", "é#"])
ACCOUNTS = st.builds(Account, *[NAMES] * 5)
TIMES = st.integers(1_600_000_000, 4_000_000_000)
PERIOD: st.SearchStrategy[Period] = st.sampled_from(PERIODS)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_keys_are_those_of_the_design() -> None:
    account = Account("key1", "gpt-4o", "gpt-4o/openai", "red", "2026-11-22")
    tail = "#key1#gpt-4o#gpt-4o/openai#red#2026-11-22"
    time_s = at("2026-11-09T14:03")
    assert row_key("minute", time_s, account, 5) == ("U#m#20261109#5", "1403" + tail)
    assert row_key("hour", floor_s("hour", time_s), account) == ("U#h#202611", "0914" + tail)
    assert row_key("day", floor_s("day", time_s), account) == ("U#d#2026", "1109" + tail)


@given(PERIOD, TIMES, ACCOUNTS, st.integers(0, SHARDS - 1))
def test_a_key_can_be_read_back_whatever_the_names_are(period: Period, time_s: int, account: Account, shard: int) -> None:
    start_s = floor_s(period, time_s)
    assert read_key(period, *row_key(period, start_s, account, shard)) == (start_s, account)


@given(st.lists(st.builds(Account, *[st.text(max_size=500)] * 5), min_size=2, max_size=2, unique=True))
def test_names_of_any_length_and_any_characters_fit_a_sort_key_and_stay_different(accounts: list[Account]) -> None:
    keys = [row_key("minute", 0, account)[1] for account in accounts]
    assert all(len(key.encode()) <= 1024 for key in keys)
    assert all(key.count("#") == 5 for key in keys)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("long", ["x" * 5000, "#" * 5000, "é" * 5000, "%" * 251])
def test_a_name_that_is_too_long_keeps_its_beginning(long: str) -> None:
    _, account = read_key("minute", *row_key("minute", 0, Account(*[long] * 5)))
    assert account.key.startswith(long[:30])
    assert row_key("minute", 0, Account(long + "y"))[1] != row_key("minute", 0, Account(long + "z"))[1]


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="no sort key"):
        read_key("hour", "U#h#202611", "rolled up")


@given(PERIOD, TIMES, st.integers(1, 3000), ACCOUNTS, st.booleans())
def test_spans_hold_every_row_of_their_time_once_and_no_other(
    period: Period, time_s: int, length: int, account: Account, wide: bool
) -> None:
    step = LENGTH_S[period]
    start_s = floor_s(period, time_s)
    end_s = start_s + length * step
    found = list(spans(period, start_s, end_s, wide=wide))
    assert [found[0].start_s, found[-1].end_s] == [start_s, end_s]
    assert [one.end_s for one in found[:-1]] == [one.start_s for one in found[1:]]
    for at_s in (start_s - step, start_s, end_s - step, end_s, (start_s + end_s) // 2 // step * step):
        pk, sk = row_key(period, at_s, account, 3)
        holding = [one for one in found if pk in one.partitions and one.since <= sk <= one.until]
        assert len(holding) == (1 if start_s <= at_s < end_s else 0)


def test_a_time_is_rounded_to_its_period() -> None:
    assert floor_s("minute", 119.9) == 60
    assert ceil_s("minute", 60.0) == 60
    assert ceil_s("minute", 60.1) == 120
    assert ceil_s("hour", 3601) == 7200


def test_environments_spread_over_the_shards_and_stay_where_they_are() -> None:
    assert {shard_of(f"environment-{n}") for n in range(200)} == set(range(SHARDS))
    assert shard_of("one") == shard_of("one")
