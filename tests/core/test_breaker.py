"""The breaker as a value: what moves it, what does not, and when it opens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core import breaker as circuit
from pllm.core.breaker import (
    RULES,
    Admission,
    Asked,
    Breaker,
    BreakerPolicy,
    Circuit,
    Impact,
    Move,
    Outcomes,
    impact_of,
    moved,
    should_trip,
)
from pllm.core.errors import ErrorKind, GatewayError

POLICY = BreakerPolicy(min_failures=5, failure_ratio=0.5, cooldown_ms=30_000, max_cooldown_ms=100_000)
NOW = 1_000_000


def after(breaker: Breaker | None, asked: Asked) -> Breaker:
    changed = moved(breaker, asked)
    assert changed is not None
    return changed


def opened(generation: int = 0) -> Breaker:
    return after(Breaker(generation=generation), circuit.trip(POLICY, generation, NOW, "upstream_error"))


def test_a_trip_opens_for_the_cooldown_and_begins_a_generation() -> None:
    breaker = opened(generation=3)
    assert (breaker.state, breaker.until_ms, breaker.generation) == (Circuit.OPEN, NOW + 30_000, 4)
    assert breaker.admits(NOW + 29_999) is Admission.NONE
    assert breaker.admits(NOW + 30_000) is Admission.PROBE
    assert breaker.opens_in_ms(NOW) == 30_000


def test_a_failure_of_an_earlier_generation_cannot_open_what_has_recovered() -> None:
    assert moved(Breaker(generation=4), circuit.trip(POLICY, 3, NOW, "upstream_error")) is None
    assert moved(opened(), circuit.trip(POLICY, 0, NOW, "upstream_error")) is None


def test_one_claim_wins_and_the_next_only_when_the_lease_has_run_out() -> None:
    due = NOW + 30_000
    half = after(opened(), circuit.claim(POLICY, "a/1", due, timeout_s=10))
    assert (half.state, half.probe, half.probe_until_ms) == (Circuit.HALF_OPEN, "a/1", due + 10_000 + 2_000 + 1_000)
    assert half.admits(due) is Admission.NONE
    assert moved(half, circuit.claim(POLICY, "b/1", half.probe_until_ms - 1, 10)) is None
    assert after(half, circuit.claim(POLICY, "b/1", half.probe_until_ms, 10)).probe == "b/1"


def test_a_claim_before_it_is_due_loses() -> None:
    assert moved(opened(), circuit.claim(POLICY, "a/1", NOW + 29_999, 10)) is None


def test_a_claim_whose_answer_was_lost_can_be_taken_up_again_by_its_author_alone() -> None:
    half = after(opened(), circuit.claim(POLICY, "a/1", NOW + 30_000, 10))
    assert after(half, circuit.claim(POLICY, "a/2", NOW + 30_100, 10, former_probe="a/1")).probe == "a/2"
    assert moved(half, circuit.claim(POLICY, "b/2", NOW + 30_100, 10, former_probe="b/1")) is None


def test_a_successful_probe_closes_and_a_failed_one_doubles_the_cooldown_up_to_its_maximum() -> None:
    breaker, now = opened(), NOW
    for expected_ms in (60_000, 100_000, 100_000):
        now = breaker.until_ms
        breaker = after(breaker, circuit.claim(POLICY, "p", now, 10))
        breaker = after(breaker, circuit.fail(POLICY, breaker, "p", now, "upstream_timeout", None))
        assert (breaker.state, breaker.until_ms - now, breaker.probe) == (Circuit.OPEN, expected_ms, "")
    half = after(breaker, circuit.claim(POLICY, "p", breaker.until_ms, 10))
    closed = after(half, circuit.succeed("p", NOW))
    assert (closed.state, closed.until_ms, closed.generation) == (Circuit.CLOSED, 0, breaker.generation + 1)
    assert closed.admits(0) is Admission.ALL


def test_a_verdict_that_comes_too_late_is_ignored() -> None:
    half = after(opened(), circuit.claim(POLICY, "a/1", NOW + 30_000, 10))
    taken = after(half, circuit.claim(POLICY, "b/1", half.probe_until_ms, 10))
    assert moved(taken, circuit.succeed("a/1", NOW)) is None
    assert moved(taken, circuit.fail(POLICY, half, "a/1", NOW, "x", None)) is None


def test_a_probe_that_learnt_nothing_lets_the_next_one_try_at_once() -> None:
    half = after(opened(), circuit.claim(POLICY, "a/1", NOW + 30_000, 10))
    free = after(half, circuit.abandon("a/1", NOW + 31_000))
    assert free.admits(NOW + 31_000) is Admission.PROBE
    assert free.cooldown_ms == 30_000


def test_a_429_cools_without_opening_and_needs_no_probe_afterwards() -> None:
    cooling = after(Breaker(generation=2), circuit.cool(2, NOW, 17))
    assert (cooling.state, cooling.generation) == (Circuit.CLOSED, 2)
    assert cooling.admits(NOW + 16_999) is Admission.NONE
    assert cooling.admits(NOW + 17_000) is Admission.ALL
    assert moved(cooling, circuit.cool(2, NOW, 3)) is None
    assert after(cooling, circuit.cool(2, NOW, 30)).until_ms == NOW + 30_000
    assert moved(opened(), circuit.cool(1, NOW, 1_000)) is None


def test_a_429_that_names_no_pause_gets_a_short_one_and_one_that_names_a_day_an_hour() -> None:
    assert circuit.cool(0, NOW, None).until_ms == NOW + 5_000
    assert circuit.cool(0, NOW, 86_400).until_ms == NOW + 3_600_000


def test_a_refused_credential_opens_for_the_longest_time() -> None:
    assert after(None, circuit.trip(POLICY, 0, NOW, ErrorKind.UPSTREAM_AUTH.value)).until_ms == NOW + 100_000


@pytest.mark.parametrize("until_ms", [NOW + 5_000, circuit.UNTIL_RELEASED_MS])
def test_an_administrators_word_holds_from_any_state_until_its_time_is_over(until_ms: int) -> None:
    half = after(opened(), circuit.claim(POLICY, "a/1", NOW + 30_000, 10))
    for breaker in (Breaker(), opened(), half):
        forced = after(breaker, circuit.force_open(breaker.generation, NOW, until_ms, "maintenance"))
        assert (forced.forced(until_ms - 1), forced.forced(until_ms), forced.note) == (True, False, "maintenance")
        assert forced.admits(until_ms - 1) is Admission.NONE
        assert moved(forced, circuit.claim(POLICY, "b/1", until_ms - 1, 10)) is None
        assert moved(forced, circuit.succeed("a/1", NOW)) is None
        assert forced.admits(until_ms) is Admission.PROBE


def test_what_is_forced_closed_neither_trips_nor_cools_until_its_time_is_over() -> None:
    forced = after(opened(), circuit.force_close(1, NOW, NOW + 5_000))
    assert forced.admits(NOW) is Admission.ALL
    assert moved(forced, circuit.trip(POLICY, forced.generation, NOW + 4_999, "upstream_error")) is None
    assert moved(forced, circuit.cool(forced.generation, NOW + 4_999, 60)) is None
    tripped = after(forced, circuit.trip(POLICY, forced.generation, NOW + 5_000, "upstream_error"))
    assert (tripped.state, tripped.forced(NOW + 5_000)) == (Circuit.OPEN, False)


def test_a_released_breaker_is_probed_where_it_was_open_and_used_where_it_was_closed() -> None:
    forced = after(Breaker(), circuit.force_open(0, NOW))
    asked = circuit.release(forced, NOW + 1)
    assert asked is not None
    assert after(forced, asked).admits(NOW + 1) is Admission.PROBE
    forced = after(Breaker(), circuit.force_close(0, NOW))
    asked = circuit.release(forced, NOW + 1)
    assert asked is not None
    free = after(forced, asked)
    assert (free.admits(NOW + 1), free.forced(NOW + 1), free.why) == (Admission.ALL, False, "")
    assert after(free, circuit.trip(POLICY, free.generation, NOW + 2, "upstream_error")).state is Circuit.OPEN


def test_there_is_nothing_to_release_where_nothing_was_forced() -> None:
    assert circuit.release(opened(), NOW) is None
    assert circuit.release(after(Breaker(), circuit.force_open(0, NOW, NOW + 10)), NOW + 10) is None


def test_an_administrators_word_is_on_what_was_seen() -> None:
    assert moved(opened(generation=3), circuit.force_open(3, NOW)) is None
    assert moved(opened(generation=3), circuit.force_open(4, NOW)) is not None


def test_every_move_says_when_it_was_made() -> None:
    assert opened().since_ms == NOW
    assert after(opened(), circuit.claim(POLICY, "a/1", NOW + 30_000, 10)).since_ms == NOW + 30_000


@pytest.mark.parametrize(
    ("this", "last", "elapsed", "trips"),
    [
        (Outcomes(0, 5), Outcomes(), 0.5, True),
        (Outcomes(0, 4), Outcomes(), 0.5, False),
        (Outcomes(5, 5), Outcomes(), 0.5, True),
        (Outcomes(6, 5), Outcomes(), 0.5, False),
        (Outcomes(0, 1), Outcomes(0, 8), 0.5, True),
        (Outcomes(0, 1), Outcomes(0, 8), 0.9, False),
        (Outcomes(0, 5), Outcomes(100, 0), 0.0, False),
        (Outcomes(0, 5), Outcomes(100, 0), 1.0, True),
    ],
)
def test_it_opens_for_enough_failures_that_are_a_large_enough_share(
    this: Outcomes, last: Outcomes, elapsed: float, trips: bool
) -> None:
    assert should_trip(POLICY, this, last, elapsed) is trips


def test_a_breaker_that_is_switched_off_never_opens() -> None:
    assert not should_trip(BreakerPolicy(enabled=False), Outcomes(0, 1000), Outcomes(), 0.5)


COUNTED = {
    "upstream_error",
    "upstream_overloaded",
    "upstream_timeout",
    "upstream_unreachable",
    "upstream_protocol",
    "stream_broken",
}


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_only_what_is_the_deployments_fault_counts(kind: ErrorKind) -> None:
    others = {ErrorKind.RATE_LIMITED: Impact.RATE_LIMITED, ErrorKind.UPSTREAM_AUTH: Impact.REFUSED}
    expected = Impact.FAILURE if kind.value in COUNTED else others.get(kind, Impact.NONE)
    assert impact_of(GatewayError(kind, "x")) is expected


def test_every_move_leads_to_one_state_whatever_the_row() -> None:
    assert set(RULES) == set(Move)
    for effect in RULES.values():
        assert len({rule.target for rule in effect.rules}) == 1


NAMES = st.sampled_from(["", "a", "b"])
SMALL = st.integers(0, 4)
ASKED = st.builds(
    Asked, st.sampled_from(list(Move)), SMALL, SMALL, SMALL, SMALL, st.just("why"), NAMES.filter(bool), SMALL, NAMES, SMALL
)


@given(st.lists(ASKED, max_size=30))
@settings(deadline=None, max_examples=200)
def test_whatever_is_asked_generations_never_go_back_and_only_a_half_open_breaker_has_a_probe(asks: list[Asked]) -> None:
    breaker: Breaker | None = None
    for asked in asks:
        before, breaker = breaker, moved(breaker, asked) or breaker
        if breaker is None:
            continue
        assert before is None or breaker.generation >= before.generation
        assert bool(breaker.probe) == (breaker.state is Circuit.HALF_OPEN)
        if before is not None and before.state is Circuit.HALF_OPEN and asked.move not in (Move.FORCE_OPEN, Move.FORCE_CLOSE):
            authors = {asked.probe, asked.former_probe}
            assert breaker == before or before.probe in authors or before.probe_until_ms <= asked.now_ms
        if before is not None and before.state is Circuit.CLOSED and before.forced(asked.now_ms):
            assert breaker == before or asked.move in (Move.FORCE_OPEN, Move.FORCE_CLOSE)
