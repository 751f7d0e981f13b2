"""Which outcomes speak against a deployment, and how many open its breaker."""

import pytest
from tests.support.moved_breakers import POLICY

from pllm.core.breaker_policy import BreakerPolicy, Impact, Outcomes, impact_of, should_trip
from pllm.core.errors import ErrorKind, GatewayError


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
