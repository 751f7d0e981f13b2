"""Time as it is told, and a clock that moves only when it is told to."""

import pytest

from pllm.core.clock import ManualClock, rfc3339


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_800_000_000.999, "2027-01-15T08:00:00Z"), (253_402_300_799, "9999-12-31T23:59:59Z")],
)
def test_a_moment_is_told_in_utc_to_the_second_that_it_is_in(time_s: float, text: str) -> None:
    assert rfc3339(time_s) == text


def test_a_manual_clock_moves_when_it_is_told_to_and_both_of_its_times_do() -> None:
    clock = ManualClock(10.0)
    clock.advance(2.5)
    assert (clock.wall_s(), clock.monotonic_s()) == (12.5, 12.5)
