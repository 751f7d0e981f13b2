"""A plan leaves out what is open, and probes what is due."""

from tests.core.plans import DOWN, catalogue, deployments, plan, walked

from pllm.core.breaker import Admission
from pllm.core.config.schema import Strategy
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.health import DeploymentHealth
from pllm.core.plan import RoutingPolicy

OPEN = DeploymentHealth(Admission.NONE, opens_in_ms=20_000, why="upstream_error")
SOONER = DeploymentHealth(Admission.NONE, opens_in_ms=7_000, why="upstream_timeout")
COOLING = DeploymentHealth(Admission.NONE, opens_in_ms=9_000, why="rate_limit_exceeded")
DUE = DeploymentHealth(Admission.PROBE)


def test_open_deployments_are_left_out() -> None:
    known = catalogue(deployments("a/1", "a/2", "a/3"))
    assert walked(plan(known, "a", health={"a/1": OPEN, "a/3": COOLING})) == ["a/2"]


def test_all_open_is_a_503_with_the_time_until_the_first_is_tried_again() -> None:
    one = plan(catalogue(deployments("a/1", "a/2")), "a", health={"a/1": OPEN, "a/2": SOONER})
    assert one.next() is None
    assert (one.outcome().status, one.outcome().retry_after_s) == (503, 7)


def test_all_cooling_after_429s_is_a_429() -> None:
    one = plan(catalogue(deployments("a/1")), "a", health={"a/1": COOLING})
    assert one.next() is None
    assert (one.outcome().status, one.outcome().retry_after_s) == (429, 9)


def test_an_open_model_goes_to_its_fallbacks() -> None:
    known = catalogue(deployments("a/1"), deployments("b/1"))
    assert walked(plan(known, "a", RoutingPolicy(Strategy.PRIORITY, 0, {"a": ("b",)}), health={"a/1": OPEN})) == ["b/1"]


def test_one_that_is_due_is_probed_before_its_equals_and_the_rest_are_a_last_resort() -> None:
    known = catalogue(deployments("a/1", "a/2", "a/3", "a/4"))
    one = plan(known, "a", health={"a/2": DUE, "a/4": DUE})
    steps = []
    while (step := one.next()) is not None:
        steps.append(step)
        one.failed(step, GatewayError(DOWN, "x"))
    assert [step.probe for step in steps] == [True, False, False, True]


def test_a_spare_that_is_due_is_not_probed_while_the_first_choice_is_well() -> None:
    known = catalogue((*deployments("a/1", priority=1), *deployments("a/2", priority=2)))
    step = plan(known, "a", health={"a/2": DUE}).next()
    assert step is not None
    assert step.deployment.id == "a/1"


def test_a_lost_probe_costs_nothing() -> None:
    known = catalogue(deployments("a/1", "a/2"))
    one = plan(known, "a", RoutingPolicy(Strategy.PRIORITY, 0, max_attempts=1), health={"a/1": DUE})
    probe = one.next()
    assert probe is not None
    assert probe.probe
    one.lost(probe)
    other = one.next()
    assert other is not None
    assert other.deployment.id == "a/2"


def test_a_lost_probe_with_nothing_else_is_a_503_that_says_come_back_soon() -> None:
    one = plan(catalogue(deployments("a/1")), "a", health={"a/1": DUE})
    probe = one.next()
    assert probe is not None
    one.lost(probe)
    assert one.next() is None
    assert (one.outcome().status, one.outcome().retry_after_s) == (503, 1)


def test_where_all_are_full_the_client_is_told_when_the_first_has_room_again() -> None:
    one = plan(catalogue(deployments("a/1", "a/2", "a/3")), "a", health={"a/3": OPEN})
    for wait_s in (None, 20.0):
        step = one.next()
        assert step is not None
        one.full(step, GatewayError(ErrorKind.RATE_LIMITED, "full", retry_after_s=wait_s))
    assert one.next() is None
    assert (one.outcome().status, one.outcome().retry_after_s) == (429, 20.0)


def test_one_that_has_opened_meanwhile_is_not_tried_again() -> None:
    health = {"a/1": DeploymentHealth()}
    one = plan(catalogue(deployments("a/1")), "a", RoutingPolicy(Strategy.PRIORITY, retries=5), health=health)
    first = one.next()
    assert first is not None
    health["a/1"] = OPEN
    one.failed(first, GatewayError(DOWN, "x"))
    assert one.next() is None


def test_beside_a_silent_one_goes_another_healthy_one() -> None:
    one = plan(catalogue(deployments("a/1", "a/2", "a/3")), "a", health={"a/3": DUE})
    probe, first = one.next(), one.next()
    beside = one.beside()
    assert probe is not None
    assert first is not None
    assert beside is not None
    assert {first.deployment.id, beside.deployment.id} == {"a/1", "a/2"}
    assert one.beside() is None


def test_one_that_was_to_go_beside_and_did_not_is_the_next_to_be_tried() -> None:
    one = plan(catalogue(deployments("a/1", "a/2", "a/3")), "a", RoutingPolicy(Strategy.PRIORITY, 0, max_attempts=2))
    first, beside = one.next(), one.beside()
    assert first is not None
    assert beside is not None
    one.spared(beside)
    one.failed(first, GatewayError(ErrorKind.UPSTREAM_ERROR, "no"))
    assert one.next() == beside
    assert one.next() is None
