"""Which deployments are asked, and what an answer to a call that costs nothing may be taken for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.gateway import deployment

from pllm.core import breaker_moves as moves
from pllm.core.breaker import Breaker, Circuit, moved
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.evidence import Evidence
from pllm.core.health import DeploymentHealth
from pllm.core.probing import Due, Reason, due, failure_of

NOW = 1_800_000_000_000
POLICY = BreakerPolicy()
DEP = deployment("http://up", id="d")
KINDS = [kind.value for kind in ErrorKind]


def asked(breaker: Breaker, evidence: Evidence = Evidence.MODEL, heard_ms: int = NOW) -> list[Due]:
    return due([(DEP, evidence)], {"d": seen(breaker)}, {"d": heard_ms}, 900, NOW)


def seen(breaker: Breaker) -> DeploymentHealth:
    return DeploymentHealth(admission=breaker.admits(NOW), why=breaker.why)


def opened(why: str, now_ms: int = NOW - 60_000) -> Breaker:
    breaker = moved(None, moves.trip(BreakerPolicy(max_cooldown_ms=30_000), 0, now_ms, why))
    assert breaker is not None
    return breaker


def test_what_was_heard_of_lately_is_not_asked_and_what_was_not_is() -> None:
    assert asked(Breaker(), heard_ms=NOW - 899_999) == []
    assert asked(Breaker(), heard_ms=NOW - 900_000) == [Due(DEP, Reason.IDLE, Evidence.MODEL)]
    assert due([(DEP, Evidence.REACHABLE)], {}, {}, 900, NOW) == [Due(DEP, Reason.IDLE, Evidence.REACHABLE)]


def test_an_open_one_is_asked_when_its_cooldown_is_over_and_before_the_idle_ones() -> None:
    assert asked(opened("upstream_error")) == [Due(DEP, Reason.OPEN, Evidence.MODEL)]
    assert asked(opened("upstream_error", NOW - 29_000), heard_ms=0) == []
    idle = deployment("http://up", id="idle")
    both = due([(idle, Evidence.MODEL), (DEP, Evidence.MODEL)], {"d": seen(opened("upstream_error"))}, {}, 900, NOW)
    assert [one.deployment.id for one in both] == ["d", "idle"]


def test_one_whose_probe_is_under_way_is_left_alone_until_the_lease_is_over() -> None:
    half = moved(opened("upstream_error"), moves.claim(POLICY, "x", NOW - 13_000, 10))
    assert half is not None
    assert half.state is Circuit.HALF_OPEN
    assert [one.reason for one in asked(half)] == [Reason.OPEN]
    early = moved(opened("upstream_error"), moves.claim(POLICY, "x", NOW - 12_000, 10))
    assert early is not None
    assert asked(early, heard_ms=0) == []


def test_one_that_cools_after_a_429_is_not_asked() -> None:
    cooling = moved(None, moves.cool(0, NOW - 1_000, 60))
    assert cooling is not None
    assert asked(cooling, heard_ms=0) == []


@given(st.sampled_from(KINDS), st.sampled_from([Evidence.REACHABLE, Evidence.CREDENTIAL]))
def test_a_call_that_costs_nothing_disproves_a_lost_connection_and_nothing_else(why: str, evidence: Evidence) -> None:
    assert bool(asked(opened(why), evidence)) == (why == "upstream_unreachable")
    assert asked(opened(why), Evidence.MODEL)


def error(kind: ErrorKind) -> GatewayError:
    return GatewayError(kind, "x")


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_a_server_that_fails_on_its_list_fails(status: int) -> None:
    failed = error(ErrorKind.UPSTREAM_ERROR)
    assert failure_of(status, b"", failed, Evidence.REACHABLE) is failed


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"", ErrorKind.NOT_FOUND),
        (405, b"", ErrorKind.INVALID_REQUEST),
        (429, b"", ErrorKind.RATE_LIMITED),
        (501, b"", ErrorKind.UPSTREAM_ERROR),
        (403, b"", ErrorKind.UPSTREAM_AUTH),
        (401, b'{"error": {"message": "Missing scopes: api.model.read"}}', ErrorKind.UPSTREAM_AUTH),
        (401, b"You have insufficient permissions", ErrorKind.UPSTREAM_AUTH),
    ],
)
def test_what_a_list_refuses_a_model_need_not(status: int, body: bytes, kind: ErrorKind) -> None:
    assert failure_of(status, body, error(kind), Evidence.CREDENTIAL) is None


def test_a_refused_credential_counts_where_one_is_asked_for() -> None:
    refused = error(ErrorKind.UPSTREAM_AUTH)
    assert failure_of(401, b"Incorrect API key", refused, Evidence.CREDENTIAL) is refused
    assert failure_of(401, b"Incorrect API key", refused, Evidence.REACHABLE) is None
