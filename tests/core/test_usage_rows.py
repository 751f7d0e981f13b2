"""Sums of usage: what a request is counted as, and that its cost can be worked out again."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pllm.core.pricing import Counts, cost_micro_usd, is_long
from pllm.core.profile import Prices
from pllm.core.record import RequestRecord
from pllm.core.sketch import BUCKETS, Sketch, sketch_of
from pllm.core.usage_rows import (
    ATTRIBUTES,
    LONG,
    Account,
    Amounts,
    account_of,
    accounts_of,
    amounts_of,
    attributes,
    read_amounts,
    row_attributes,
    total,
)

PRICES = Prices(
    input=150_000,
    output=600_000,
    cache_read=75_000,
    cache_write_5m=187_500,
    cache_write_1h=300_000,
    reasoning=600_000,
    audio_input=1_000_000,
    audio_output=2_000_000,
    image_input=300_000,
    long_context_over=900,
    long_input=300_000,
    long_output=900_000,
    long_cache_read=150_000,
    long_cache_write_5m=375_000,
    long_cache_write_1h=600_000,
    version="2026-11-22",
)
SMALL = st.integers(0, 400)
SKETCHES = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 10**9), max_size=9).map(Sketch)
AMOUNTS = st.builds(Amounts, *(st.integers(0, 10**9) for _ in ATTRIBUTES), latencies=SKETCHES, firsts=SKETCHES)


@st.composite
def used(draw: st.DrawFn) -> Counts:
    audio_in, image_in = draw(SMALL), draw(SMALL)
    thought, spoken = draw(SMALL), draw(SMALL)
    return Counts(
        input=draw(SMALL) + audio_in + image_in,
        cache_read=draw(SMALL),
        cache_write_5m=draw(SMALL),
        cache_write_1h=draw(SMALL),
        output=draw(SMALL) + thought + spoken,
        reasoning=thought,
        audio_input=audio_in,
        audio_output=spoken,
        image_input=image_in,
    )


def record(counts: Counts | None = None, **changes: object) -> RequestRecord:
    made = RequestRecord("r", "chat", 10.0, model="m", principal="k", team="t", deployment="d", prices=PRICES, ended_s=10.5)
    if counts is not None:
        made.used = counts
        made.prompt_tokens = counts.input + counts.cache_read + counts.cache_write_5m + counts.cache_write_1h
        made.completion_tokens, made.cached_tokens = counts.output, counts.cache_read
        made.reasoning_tokens = counts.reasoning
        made.cost_micro_usd = cost_micro_usd(counts, PRICES)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@given(st.lists(used(), min_size=1, max_size=12))
def test_the_cost_of_a_row_can_be_worked_out_again_to_a_micro_dollar_a_request(requests: list[Counts]) -> None:
    rows: dict[Account, Amounts] = {}
    for one in map(record, requests):
        account = account_of(one)
        assert account is not None
        rows[account] = rows.get(account, Amounts()) + amounts_of(one)
    for account, amounts in rows.items():
        assert account.prices in ("2026-11-22", "2026-11-22" + LONG)
        counts = amounts.counts()
        # The row's own prompt is long even where no request's was: the tariff is the one its name says.
        tariff = PRICES if account.prices.endswith(LONG) == is_long(counts, PRICES) else replace(PRICES, long_context_over=None)
        again = cost_micro_usd(counts, tariff)
        assert again is not None
        assert again <= amounts.cost_micro_usd < again + amounts.requests


@given(st.lists(AMOUNTS, max_size=5))
def test_what_is_added_in_the_table_is_read_as_the_sum(many: list[Amounts]) -> None:
    item: dict[str, int] = {}
    for amounts in many:
        for name, number in attributes(amounts).items():
            item[name] = item.get(name, 0) + number
    assert read_amounts(item) == total(many)
    assert read_amounts(row_attributes(total(many))) == total(many)


@given(AMOUNTS, st.integers(1, 9))
def test_amounts_in_two_parts_are_the_whole(amounts: Amounts, most: int) -> None:
    now, later = amounts.split(most)
    assert now + later == amounts
    assert max(len(now.latencies.counts), len(now.firsts.counts)) <= most
    assert not any(later.numbers().values())


def test_every_amount_has_an_attribute_of_its_own() -> None:
    assert [*ATTRIBUTES, "latencies", "firsts"] == [field.name for field in fields(Amounts)]
    assert len(set(ATTRIBUTES.values())) == len(ATTRIBUTES)
    amounts = Amounts(requests=1, latencies=sketch_of(1), firsts=sketch_of(2))
    assert attributes(amounts) == {"n": 1, "l0": 1, "f8": 1}
    assert len(row_attributes(amounts)) == len(ATTRIBUTES) + 2


def test_an_answer_is_timed_until_its_last_byte_and_a_stream_until_its_first_event_too() -> None:
    amounts = amounts_of(record(stream=True, first_event_s=10.1))
    assert (amounts.latencies, amounts.firsts) == (sketch_of(500), sketch_of(100))
    amounts = amounts_of(record())
    assert (amounts.latencies, amounts.firsts) == (sketch_of(500), Sketch())


@pytest.mark.parametrize(
    "changes", [{"error": "timeout"}, {"client_gone": True}, {"deployment": ""}, {"endpoint": "count_tokens"}], ids=str
)
def test_what_is_no_answer_has_no_time(changes: dict[str, Any]) -> None:
    amounts = amounts_of(record(stream=True, first_event_s=10.1, **changes))
    assert (amounts.requests, amounts.latency_ms, amounts.latencies, amounts.firsts) == (1, 500, Sketch(), Sketch())


def test_a_request_that_failed_is_counted_as_an_error_of_whom_it_reached() -> None:
    failed = record(error="upstream_error")
    assert account_of(failed) == Account("k", "m", "d", "t", "2026-11-22")
    assert amounts_of(failed) == Amounts(requests=1, errors=1, latency_ms=500)


def test_an_answer_without_a_price_is_told_apart_from_a_free_one() -> None:
    assert amounts_of(record(Counts(output=5), cost_micro_usd=None)).unpriced == 1
    assert amounts_of(record(Counts(output=5), cost_micro_usd=0)).unpriced == 0
    assert amounts_of(record()).unpriced == 0


def test_units_without_tokens_are_counted_too() -> None:
    amounts = amounts_of(record(Counts(images=2), images=2, audio_seconds=1.2341, characters=7))
    assert (amounts.images, amounts.audio_ms, amounts.characters) == (2, 1235, 7)


def test_a_request_for_no_model_or_of_nobody_has_no_usage() -> None:
    assert account_of(record(model="")) is None
    assert account_of(record(principal="")) is None


def test_a_request_that_no_deployment_was_asked_for_names_neither_one_nor_its_prices() -> None:
    assert account_of(record(deployment="")) == Account("k", "m", "", "t", "")


def test_an_attempt_that_was_given_up_has_an_account_of_its_own_and_its_cost_can_be_worked_out_again() -> None:
    record = RequestRecord("r", "chat", 0.0, model="m", principal="key/1", team="t", deployment="d/1", prices=PRICES)
    record.used, record.prompt_tokens, record.completion_tokens, record.estimated = Counts(1_000, output=7), 1_000, 7, True
    record.cost_micro_usd = cost_micro_usd(record.used, PRICES)
    record.abandon(record)
    kept = {name: number for name, number in amounts_of(record).numbers().items() if number}
    assert kept == {"requests": 1}
    record.deployment, record.prices, record.ended_s = "d/2", replace(PRICES, version="other"), 1.0
    (_, own), (account, other) = accounts_of(record)
    assert (own.requests, own.latency_ms, own.cost_micro_usd, own.estimated) == (1, 1_000, 0, 0)
    assert account == Account("key/1", "m", "d/1", "t", "2026-11-22" + LONG)
    assert (other.requests, other.latency_ms, other.errors, other.estimated) == (0, 0, 0, 1)
    assert cost_micro_usd(other.counts(), PRICES) == other.cost_micro_usd > 0


def test_one_of_which_nothing_is_known_has_none() -> None:
    record = RequestRecord("r", "chat", 0.0, model="m", principal="key/1", deployment="d/1", billable=True)
    record.abandon(record)
    assert not record.billable
    assert [account.deployment for account, _ in accounts_of(record)] == ["d/1"]
