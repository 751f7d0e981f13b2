"""A breaker as JSON: what ends it, who holds it, and what is not known."""

from dataclasses import replace

import pytest

from pllm.core.breaker import UNTIL_RELEASED_MS, Breaker, Circuit
from pllm.core.breaker_view import breaker_view

NOW_MS = 1_800_000_000_000
NOW, SOON = "2027-01-15T08:00:00Z", "2027-01-15T08:00:30Z"
SOON_MS = NOW_MS + 30_000


def test_one_that_was_never_moved_has_no_history() -> None:
    shown = breaker_view(Breaker(), NOW_MS)
    assert shown == {
        "state": "closed",
        "admits": "all",
        "forced": False,
        "why": None,
        "reason": None,
        "since": None,
        "until": None,
        "generation": 0,
    }


@pytest.mark.parametrize(
    ("breaker", "admits", "until"),
    [
        (Breaker(Circuit.OPEN, SOON_MS), "none", SOON),
        (Breaker(Circuit.OPEN, NOW_MS), "probe", None),
        (Breaker(Circuit.CLOSED, SOON_MS), "none", SOON),
        (Breaker(Circuit.HALF_OPEN, probe="a/1", probe_until_ms=SOON_MS), "none", SOON),
        (Breaker(Circuit.HALF_OPEN, probe="a/1", probe_until_ms=NOW_MS), "probe", None),
    ],
)
def test_it_says_until_when_nothing_is_sent_and_nothing_of_a_time_that_is_over(
    breaker: Breaker, admits: str, until: str | None
) -> None:
    shown = breaker_view(replace(breaker, why="upstream_error", since_ms=NOW_MS), NOW_MS)
    assert (shown["admits"], shown["until"], shown["why"], shown["since"]) == (admits, until, "upstream_error", NOW)


def test_an_administrators_reason_is_shown_as_long_as_it_holds() -> None:
    forced = Breaker(Circuit.OPEN, SOON_MS, forced_until_ms=SOON_MS, note="maintenance")
    shown, later = breaker_view(forced, NOW_MS), breaker_view(forced, SOON_MS)
    assert (shown["forced"], shown["reason"], shown["until"]) == (True, "maintenance", SOON)
    assert (later["forced"], later["reason"], later["until"]) == (False, None, None)


def test_what_ends_with_a_release_has_no_time() -> None:
    forced = Breaker(Circuit.OPEN, UNTIL_RELEASED_MS, forced_until_ms=UNTIL_RELEASED_MS)
    shown = breaker_view(forced, NOW_MS)
    assert (shown["forced"], shown["admits"], shown["until"]) == (True, "none", None)
