"""The breaker as a value: what moves it and what does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.moved_breakers import NOW, POLICY, after, opened

from pllm.core import breaker_moves as moves
from pllm.core.breaker import RULES, UNTIL_RELEASED_MS, Admission, Asked, Breaker, Circuit, Move, moved


def test_a_trip_opens_for_the_cooldown_and_begins_a_generation() -> None:
    breaker = opened(generation=3)
    assert (breaker.state, breaker.until_ms, breaker.generation) == (Circuit.OPEN, NOW + 30_000, 4)
    assert breaker.admits(NOW + 29_999) is Admission.NONE
    assert breaker.admits(NOW + 30_000) is Admission.PROBE
    assert breaker.opens_in_ms(NOW) == 30_000


def test_a_failure_of_an_earlier_generation_cannot_open_what_has_recovered() -> None:
    assert moved(Breaker(generation=4), moves.trip(POLICY, 3, NOW, "upstream_error")) is None
    assert moved(opened(), moves.trip(POLICY, 0, NOW, "upstream_error")) is None


def test_one_claim_wins_and_the_next_only_when_the_lease_has_run_out() -> None:
    due = NOW + 30_000
    half = after(opened(), moves.claim(POLICY, "a/1", due, timeout_s=10))
    assert (half.state, half.probe, half.probe_until_ms) == (Circuit.HALF_OPEN, "a/1", due + 10_000 + 2_000 + 1_000)
    assert half.admits(due) is Admission.NONE
    assert moved(half, moves.claim(POLICY, "b/1", half.probe_until_ms - 1, 10)) is None
    assert after(half, moves.claim(POLICY, "b/1", half.probe_until_ms, 10)).probe == "b/1"


def test_a_claim_before_it_is_due_loses() -> None:
    assert moved(opened(), moves.claim(POLICY, "a/1", NOW + 29_999, 10)) is None


def test_a_claim_whose_answer_was_lost_can_be_taken_up_again_by_its_author_alone() -> None:
    half = after(opened(), moves.claim(POLICY, "a/1", NOW + 30_000, 10))
    assert after(half, moves.claim(POLICY, "a/2", NOW + 30_100, 10, former_probe="a/1")).probe == "a/2"
    assert moved(half, moves.claim(POLICY, "b/2", NOW + 30_100, 10, former_probe="b/1")) is None


def test_a_verdict_that_comes_too_late_is_ignored() -> None:
    half = after(opened(), moves.claim(POLICY, "a/1", NOW + 30_000, 10))
    taken = after(half, moves.claim(POLICY, "b/1", half.probe_until_ms, 10))
    assert moved(taken, moves.succeed("a/1", NOW)) is None
    assert moved(taken, moves.fail(POLICY, half, "a/1", NOW, "x", None)) is None


def test_a_probe_that_learnt_nothing_lets_the_next_one_try_at_once() -> None:
    half = after(opened(), moves.claim(POLICY, "a/1", NOW + 30_000, 10))
    free = after(half, moves.abandon("a/1", NOW + 31_000))
    assert free.admits(NOW + 31_000) is Admission.PROBE
    assert free.cooldown_ms == 30_000


def test_a_429_cools_without_opening_and_needs_no_probe_afterwards() -> None:
    cooling = after(Breaker(generation=2), moves.cool(2, NOW, 17))
    assert (cooling.state, cooling.generation) == (Circuit.CLOSED, 2)
    assert cooling.admits(NOW + 16_999) is Admission.NONE
    assert cooling.admits(NOW + 17_000) is Admission.ALL
    assert moved(cooling, moves.cool(2, NOW, 3)) is None
    assert after(cooling, moves.cool(2, NOW, 30)).until_ms == NOW + 30_000
    assert moved(opened(), moves.cool(1, NOW, 1_000)) is None


@pytest.mark.parametrize("until_ms", [NOW + 5_000, UNTIL_RELEASED_MS])
def test_an_administrators_word_holds_from_any_state_until_its_time_is_over(until_ms: int) -> None:
    half = after(opened(), moves.claim(POLICY, "a/1", NOW + 30_000, 10))
    for breaker in (Breaker(), opened(), half):
        forced = after(breaker, moves.force_open(breaker.generation, NOW, until_ms, "maintenance"))
        assert (forced.forced(until_ms - 1), forced.forced(until_ms), forced.note) == (True, False, "maintenance")
        assert forced.admits(until_ms - 1) is Admission.NONE
        assert moved(forced, moves.claim(POLICY, "b/1", until_ms - 1, 10)) is None
        assert moved(forced, moves.succeed("a/1", NOW)) is None
        assert forced.admits(until_ms) is Admission.PROBE


def test_what_is_forced_closed_neither_trips_nor_cools_until_its_time_is_over() -> None:
    forced = after(opened(), moves.force_close(1, NOW, NOW + 5_000))
    assert forced.admits(NOW) is Admission.ALL
    assert moved(forced, moves.trip(POLICY, forced.generation, NOW + 4_999, "upstream_error")) is None
    assert moved(forced, moves.cool(forced.generation, NOW + 4_999, 60)) is None
    tripped = after(forced, moves.trip(POLICY, forced.generation, NOW + 5_000, "upstream_error"))
    assert (tripped.state, tripped.forced(NOW + 5_000)) == (Circuit.OPEN, False)


def test_an_administrators_word_is_on_what_was_seen() -> None:
    assert moved(opened(generation=3), moves.force_open(3, NOW)) is None
    assert moved(opened(generation=3), moves.force_open(4, NOW)) is not None


def test_every_move_says_when_it_was_made() -> None:
    assert opened().since_ms == NOW
    assert after(opened(), moves.claim(POLICY, "a/1", NOW + 30_000, 10)).since_ms == NOW + 30_000


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
