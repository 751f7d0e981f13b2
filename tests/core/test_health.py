"""Averages from sums, as the reader makes them."""

from pllm.core.breaker import Admission, Breaker, Circuit
from pllm.core.health import Sums, blended

NOW = 60_000_000
NONE = Sums()


def test_minutes_weigh_less_the_older_they_are() -> None:
    minutes = [
        Sums(latency_ms=100, latencies=1),
        Sums(latency_ms=400, latencies=1),
        Sums(latency_ms=800, latencies=1, first_ms=90, firsts=3),
    ]
    health = blended(Breaker(), minutes, 30.0, 0, NOW)
    assert health.latency_ms == (100 + 400 / 2 + 800 / 4) / 1.75
    assert health.first_ms == 30


def test_without_answers_there_is_no_latency_rather_than_a_good_one() -> None:
    health = blended(Breaker(), [Sums(failed=9), NONE, NONE], 30.0, 0, NOW)
    assert health.latency_ms is None
    assert health.first_ms is None
    assert health.error_ratio == 1.0
    assert health.requests == 9


def test_what_runs_at_once_follows_from_time_spent_over_time_passed() -> None:
    minutes = [Sums(latency_ms=60_000, latencies=30), Sums(latency_ms=120_000, latencies=60), NONE]
    assert blended(Breaker(), minutes, 30.0, 1, NOW).in_flight == 1 + 180 / 90


def test_the_breakers_word_is_passed_on() -> None:
    health = blended(Breaker(Circuit.OPEN, NOW + 7_000, 3, why="forced"), [NONE] * 3, 1.0, 0, NOW)
    assert (health.admission, health.opens_in_ms, health.generation, health.why) == (Admission.NONE, 7_000, 3, "forced")
    assert not health.usable


def test_sums_add_up_field_by_field() -> None:
    total, more = Sums(1, 2, 3, 4, 5, 6, 7), Sums(10, 20, 30, 40, 50, 60, 70)
    assert total + more == Sums(11, 22, 33, 44, 55, 66, 77)
    total.add(more)
    assert total == Sums(11, 22, 33, 44, 55, 66, 77)
    assert Sums().empty
    assert not total.empty
