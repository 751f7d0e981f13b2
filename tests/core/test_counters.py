"""Series and tallies: what a request adds to the counters, and how that stands in the table."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.counters import (
    ABANDONED,
    ATTEMPT,
    Series,
    Tally,
    attributes,
    counted,
    read_series,
    read_tally,
    series_key,
    summed,
)
from pllm.core.fleet import Fleet
from pllm.core.pricing import Counts
from pllm.core.record import RequestRecord

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def over(**known: object) -> RequestRecord:
    record = RequestRecord("r", "chat", 10.0, ended_s=10.3)
    for name, value in known.items():
        setattr(record, name, value)
    return record


@settings(max_examples=100, deadline=None)
@given(NAMES, NAMES, NAMES, st.integers(0, 599))
def test_a_series_survives_its_key(model: str, deployment: str, error: str, status: int) -> None:
    series = Series("chat", model, deployment, "openai", status, error)
    assert read_series(series_key(series)) == series


def test_a_request_counts_in_its_series_and_its_failed_attempts_in_theirs() -> None:
    record = over(model="m", deployment="m@b/x: y", provider="b", status=200, attempts=2, failed=["m@a/x: y: upstream_error"])
    found = dict(counted(record, 5))
    assert list(found) == [
        Series("chat", "m", "m@b/x: y", "b", 200),
        Series(ATTEMPT, "m", "m@a/x: y", error="upstream_error"),
    ]
    tally = found[Series("chat", "m", "m@b/x: y", "b", 200)]
    assert (tally.requests, tally.latency_ms, tally.fallbacks, tally.retries, tally.at_ms) == (1, 300, 1, 1, 5)
    assert sum(tally.buckets.values()) == 1


def test_a_refusal_of_ours_is_told_from_a_providers() -> None:
    ours = over(model="m", status=429, error="rate_limit_exceeded")
    theirs = over(model="m", status=429, error="rate_limit_exceeded", deployment="d", provider="p", attempts=1)
    assert [series.limited for record in (ours, theirs) for series, _ in counted(record, 0)] == [True, False]


def test_what_a_given_up_attempt_used_is_told_of_its_own_deployment_and_is_no_request() -> None:
    record = over(
        model="m", deployment="d/1", provider="p", attempts=1, prompt_tokens=9, completion_tokens=4, cost_micro_usd=50
    )
    record.used = Counts(9, output=4)
    record.abandon(record)
    record.deployment, record.provider, record.prompt_tokens, record.cost_micro_usd = "d/2", "q", 3, 7
    found = dict(counted(record, 5))
    other, own = found[Series(ABANDONED, "m", "d/1", "p")], found[Series("chat", "m", "d/2", "q")]
    assert (other.requests, other.prompt_tokens, other.completion_tokens, other.cost_micro_usd, other.at_ms) == (0, 9, 4, 50, 5)
    assert (own.requests, own.prompt_tokens, own.completion_tokens, own.cost_micro_usd) == (1, 3, 0, 7)
    fleet = Fleet(0.0, counters=found)
    assert {name: (one.requests, one.cost_micro_usd) for name, one in fleet.totals().items()} == {"d/1": (0, 50), "d/2": (1, 7)}
    assert [series.deployment for series, _ in fleet.requests()] == ["d/2"]


def test_a_further_attempt_that_a_limit_of_ours_refused_is_a_refusal_of_ours() -> None:
    record = over(model="m", status=429, error="insufficient_quota", deployment="d", provider="p", attempts=1, stopped=True)
    assert [series.limited for series, _ in counted(record, 0)] == [True]


def test_tallies_add_up_and_survive_the_table() -> None:
    record = over(model="m", prompt_tokens=3, completion_tokens=5, cost_micro_usd=7, broken=True, cold_start=True)
    (both,) = summed([*counted(record, 1), *counted(record, 9)]).values()
    assert (both.requests, both.prompt_tokens, both.completion_tokens, both.cost_micro_usd) == (2, 6, 10, 14)
    assert (both.broken, both.cold_starts, both.at_ms) == (2, 2, 9)
    assert read_tally(attributes(both) | {"at": 9}) == both
    assert read_tally({}) == Tally()
