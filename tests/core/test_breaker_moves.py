"""What is asked of a breaker: for how long it opens, cools and doubles, and how it is given back."""

from tests.support.moved_breakers import NOW, POLICY, after, opened

from pllm.core import breaker_moves as moves
from pllm.core.breaker import Admission, Breaker, Circuit
from pllm.core.errors import ErrorKind


def test_a_successful_probe_closes_and_a_failed_one_doubles_the_cooldown_up_to_its_maximum() -> None:
    breaker, now = opened(), NOW
    for expected_ms in (60_000, 100_000, 100_000):
        now = breaker.until_ms
        breaker = after(breaker, moves.claim(POLICY, "p", now, 10))
        breaker = after(breaker, moves.fail(POLICY, breaker, "p", now, "upstream_timeout", None))
        assert (breaker.state, breaker.until_ms - now, breaker.probe) == (Circuit.OPEN, expected_ms, "")
    half = after(breaker, moves.claim(POLICY, "p", breaker.until_ms, 10))
    closed = after(half, moves.succeed("p", NOW))
    assert (closed.state, closed.until_ms, closed.generation) == (Circuit.CLOSED, 0, breaker.generation + 1)
    assert closed.admits(0) is Admission.ALL


def test_a_429_that_names_no_pause_gets_a_short_one_and_one_that_names_a_day_an_hour() -> None:
    assert moves.cool(0, NOW, None).until_ms == NOW + 5_000
    assert moves.cool(0, NOW, 86_400).until_ms == NOW + 3_600_000


def test_a_refused_credential_opens_for_the_longest_time() -> None:
    assert after(None, moves.trip(POLICY, 0, NOW, ErrorKind.UPSTREAM_AUTH.value)).until_ms == NOW + 100_000


def test_a_released_breaker_is_probed_where_it_was_open_and_used_where_it_was_closed() -> None:
    forced = after(Breaker(), moves.force_open(0, NOW))
    asked = moves.release(forced, NOW + 1)
    assert asked is not None
    assert after(forced, asked).admits(NOW + 1) is Admission.PROBE
    forced = after(Breaker(), moves.force_close(0, NOW))
    asked = moves.release(forced, NOW + 1)
    assert asked is not None
    free = after(forced, asked)
    assert (free.admits(NOW + 1), free.forced(NOW + 1), free.why) == (Admission.ALL, False, "")
    assert after(free, moves.trip(POLICY, free.generation, NOW + 2, "upstream_error")).state is Circuit.OPEN


def test_there_is_nothing_to_release_where_nothing_was_forced() -> None:
    assert moves.release(opened(), NOW) is None
    assert moves.release(after(Breaker(), moves.force_open(0, NOW, NOW + 10)), NOW + 10) is None
