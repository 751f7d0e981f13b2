"""What is tried for a request, in which order, and when that ends."""

from collections import Counter
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.plans import DOWN, catalogue, deployments, plan, walked

from pllm.core.config.schema import Route, RouteModel, Strategy
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.health import DeploymentHealth
from pllm.core.plan import MAX_ATTEMPTS, Plan, RoutingPolicy, Step, Surroundings, backoff_s, longest_backoff_s
from pllm.core.profile import ModelProfile
from pllm.core.rota import Rota

# --- The order of things --------------------------------------------------------------------------------------------


def test_every_deployment_is_tried_once_then_the_fallbacks_and_what_they_fall_back_to() -> None:
    known = catalogue(deployments("a/1", "a/2"), deployments("b/1"), deployments("c/1"))
    policy = RoutingPolicy(Strategy.PRIORITY, 0, {"a": ("b",), "b": ("c", "gone")})
    tried = walked(plan(known, "a", policy))
    assert sorted(tried[:2]) == ["a/1", "a/2"]
    assert tried[2:] == ["b/1", "c/1"]


def test_with_fewer_deployments_than_tries_they_are_gone_round_again_after_a_pause() -> None:
    policy = RoutingPolicy(Strategy.PRIORITY, retries=3)
    one = plan(catalogue(deployments("a/1", "a/2")), "a", policy)
    waits = []
    tried = []
    while (step := one.next()) is not None:
        tried.append(step.deployment.id)
        waits.append(step.wait_s)
        one.failed(step, GatewayError(DOWN, "x"))
    assert Counter(tried) == {"a/1": 2, "a/2": 2}
    assert tried[:2] == tried[2:]
    assert waits[:2] == [0, 0]
    assert all(0 < wait <= 0.25 for wait in waits[2:])


def test_an_alias_goes_in_order_by_weight_and_priority_and_is_one_pool_for_the_others() -> None:
    known = catalogue(deployments("a/1"), deployments("b/1"), deployments("c/1"), aliases={"smart": ("c", "a", "gone", "b")})
    for strategy in (Strategy.PRIORITY, Strategy.WEIGHTED):
        assert walked(plan(known, "smart", RoutingPolicy(strategy, 0))) == ["c/1", "a/1", "b/1"]
    health = {
        "a/1": DeploymentHealth(latency_ms=10),
        "b/1": DeploymentHealth(latency_ms=50),
        "c/1": DeploymentHealth(latency_ms=90),
    }
    fastest = plan(known, "smart", RoutingPolicy(Strategy.LATENCY_BASED, 0), health=health)
    assert walked(fastest) == ["a/1", "b/1", "c/1"]


def test_a_route_shares_by_its_models_weights_however_many_keys_they_have() -> None:
    route = Route(
        slug="r", models=(RouteModel(model_name="a", weight=3), RouteModel(model_name="b")), strategy=Strategy.WEIGHTED
    )
    known = catalogue(deployments("a/1", "a/2", "a/3"), deployments("b/1"), routes={"r": route})
    random = Random(1)
    world = Surroundings(random, Rota(random))
    first: Counter[str] = Counter()
    for _ in range(4_000):
        step = Plan(known, RoutingPolicy(Strategy.RANDOM, 0), "r", world).next()
        assert step is not None
        first[step.deployment.model_name] += 1
    assert first == {"a": 3_000, "b": 1_000}


def test_a_routes_priorities_and_fallback_models_come_in_their_order() -> None:
    models = (RouteModel(model_name="a", priority=2), RouteModel(model_name="b", priority=1))
    known = catalogue(
        deployments("a/1"),
        deployments("b/1"),
        deployments("c/1"),
        routes={"r": Route(slug="r", models=models, fallback_models=("c",))},
    )
    assert walked(plan(known, "r")) == ["b/1", "a/1", "c/1"]


def test_an_alias_falls_back_as_its_models_do() -> None:
    known = catalogue(deployments("a/1"), deployments("b/1"), deployments("c/1"), aliases={"smart": ("a",)})
    assert walked(plan(known, "smart", RoutingPolicy(Strategy.PRIORITY, 0, {"a": ("b",)}))) == ["a/1", "b/1"]
    both = RoutingPolicy(Strategy.PRIORITY, 0, {"smart": ("c",), "a": ("b",)})
    assert walked(plan(known, "smart", both)) == ["a/1", "c/1", "b/1"]


def test_no_deployment_is_tried_again_as_a_fallback() -> None:
    known = catalogue(deployments("a/1"), deployments("b/1"), aliases={"both": ("a", "b")})
    assert walked(plan(known, "a", RoutingPolicy(Strategy.PRIORITY, 0, {"a": ("both",)}))) == ["a/1", "b/1"]


def test_a_model_without_a_usable_deployment_goes_straight_to_its_fallbacks() -> None:
    known = catalogue(deployments("b/1"), disabled={"a": "no credential was found"})
    assert walked(plan(known, "a", RoutingPolicy(Strategy.PRIORITY, 0, {"a": ("b",)}))) == ["b/1"]
    with pytest.raises(GatewayError) as error:
        plan(known, "a")
    assert error.value.status == 503


def test_an_unknown_name_is_a_404_whatever_fallbacks_say() -> None:
    with pytest.raises(GatewayError) as error:
        plan(catalogue(deployments("b/1")), "a", RoutingPolicy(Strategy.PRIORITY, 0, {"a": ("b",)}))
    assert error.value.status == 404


# --- Ends -----------------------------------------------------------------------------------------------------------


def test_what_the_caller_did_wrong_is_not_tried_elsewhere() -> None:
    policy = RoutingPolicy(Strategy.PRIORITY, 2, {"a": ("b",)})
    one = plan(catalogue(deployments("a/1", "a/2"), deployments("b/1")), "a", policy)
    assert len(walked(one, ErrorKind.INVALID_REQUEST)) == 1
    assert one.outcome().status == 400


def test_an_outage_is_not_multiplied() -> None:
    many = catalogue(deployments(*(f"a/{n}" for n in range(30))), deployments(*(f"b/{n}" for n in range(30))))
    assert len(walked(plan(many, "a", RoutingPolicy(Strategy.RANDOM, 5, {"a": ("b",)})))) == MAX_ATTEMPTS


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 6), st.sampled_from(list(Strategy)))
@settings(deadline=None, max_examples=80)
def test_no_request_is_tried_more_often_than_its_budget_nor_gives_up_before_all_were_tried(
    sizes: list[int], retries: int, strategy: Strategy
) -> None:
    names = [chr(ord("a") + number) for number in range(len(sizes))]
    models = [deployments(*(f"{name}/{n}" for n in range(size))) for name, size in zip(names, sizes, strict=True)]
    chain = {name: (names[number + 1],) for number, name in enumerate(names[:-1])}
    tried = walked(plan(catalogue(*models), "a", RoutingPolicy(strategy, retries, chain)))
    assert len(tried) == min(MAX_ATTEMPTS, sum(max(size, 1 + retries) for size in sizes))
    if len(tried) < MAX_ATTEMPTS:
        assert set(tried) == {one.id for model in models for one in model}


def test_a_refused_credential_is_not_tried_twice_but_another_is() -> None:
    policy = RoutingPolicy(Strategy.PRIORITY, retries=5)
    assert sorted(walked(plan(catalogue(deployments("a/1", "a/2")), "a", policy), ErrorKind.UPSTREAM_AUTH)) == ["a/1", "a/2"]


def test_the_pause_that_a_provider_asks_for_is_kept_or_not_waited_for() -> None:
    policy = RoutingPolicy(Strategy.PRIORITY, retries=1)
    short = plan(catalogue(deployments("a/1")), "a", policy)
    first = short.next()
    assert first is not None
    short.failed(first, GatewayError(ErrorKind.RATE_LIMITED, "x", retry_after_s=2))
    again = short.next()
    assert again is not None
    assert again.wait_s >= 2
    assert walked(plan(catalogue(deployments("a/1")), "a", policy), ErrorKind.RATE_LIMITED, retry_after_s=60) == ["a/1"]


def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    one = plan(catalogue(deployments("a/1")), "a", RoutingPolicy(Strategy.PRIORITY, retries=1))
    first = one.next()
    assert first is not None
    one.failed(first, GatewayError(ErrorKind.RATE_LIMITED, "x", retry_after_s=2))
    assert one.next(longest_wait_s=1.5) is None


def test_with_another_model_to_try_one_does_not_wait_long_for_the_first() -> None:
    policy = RoutingPolicy(Strategy.PRIORITY, 3, {"a": ("b",)})
    tried = walked(
        plan(catalogue(deployments("a/1"), deployments("b/1")), "a", policy), ErrorKind.RATE_LIMITED, retry_after_s=5
    )
    assert tried[:2] == ["a/1", "b/1"]


# --- Prompts that are too long, or refused --------------------------------------------------------------------------


def window(name: str, tokens: int | None) -> tuple[Deployment, ...]:
    return deployments(name, profile=ModelProfile(max_input_tokens=tokens))


LONGER = RoutingPolicy(Strategy.PRIORITY, 0, fallbacks={"a": ("c",)}, context_window_fallbacks={"a": ("b",)})


def test_a_prompt_that_surely_does_not_fit_is_never_sent_to_the_small_model() -> None:
    known = catalogue(window("a/1", 4_000), window("b/1", 100_000), window("c/1", 100))
    assert walked(plan(known, "a", LONGER, least_tokens=lambda: 5_000)) == ["b/1", "c/1"]
    assert walked(plan(known, "a", LONGER, least_tokens=lambda: 3_000))[0] == "a/1"


def test_without_a_larger_model_to_go_to_the_provider_is_the_judge() -> None:
    assert walked(plan(catalogue(window("a/1", 4_000)), "a", least_tokens=lambda: 5_000)) == ["a/1"]


def test_of_several_deployments_those_with_room_are_tried() -> None:
    known = catalogue((*window("a/1", 4_000), *window("a/2", 32_000)))
    assert walked(plan(known, "a", least_tokens=lambda: 5_000)) == ["a/2"]


def test_tokens_are_not_counted_where_the_count_decides_nothing() -> None:
    def never() -> int:
        raise AssertionError("counted")

    walked(plan(catalogue(window("a/1", 4_000)), "a", least_tokens=never))
    walked(plan(catalogue(window("a/1", None), window("b/1", 9)), "a", LONGER, least_tokens=never))


def test_a_provider_that_says_too_long_sends_the_request_to_the_longer_model() -> None:
    known = catalogue(window("a/1", None), window("b/1", None), window("c/1", None))
    one = plan(known, "a", LONGER)
    first = one.next()
    assert first is not None
    one.failed(first, GatewayError(ErrorKind.CONTEXT_LENGTH, "too long"))
    second = one.next()
    assert second is not None
    assert second.deployment.id == "b/1"
    one.failed(second, GatewayError(ErrorKind.CONTEXT_LENGTH, "too long"))
    assert one.next() is None
    assert one.outcome().kind is ErrorKind.CONTEXT_LENGTH


def test_too_long_for_one_of_several_goes_to_those_that_are_known_to_be_larger() -> None:
    known = catalogue((*window("a/1", 4_000), *window("a/2", 4_000), *window("a/3", 32_000)))
    order = walked(plan(known, "a"), ErrorKind.CONTEXT_LENGTH)
    assert order[-1] == "a/3"
    assert len(order) <= 2


def test_a_refused_prompt_goes_to_the_content_policy_fallbacks_only() -> None:
    known = catalogue(deployments("a/1", "a/2"), deployments("b/1"), deployments("c/1"))
    policy = RoutingPolicy(Strategy.PRIORITY, 3, fallbacks={"a": ("c",)}, content_policy_fallbacks={"a": ("b",)})
    tried = walked(plan(known, "a", policy), ErrorKind.CONTENT_POLICY)
    assert [name.split("/")[0] for name in tried] == ["a", "b"]


# --- Backoff --------------------------------------------------------------------------------------------------------


def paused(seed: int, asked_s: float | None, longest_wait_s: float = inf, *, repeats: int = 1, **more: Any) -> Step | None:
    """The step after so many failures of the only deployment, the last with this Retry-After."""
    random = Random(seed)
    known = catalogue(deployments("a/1"), *more.pop("others", ()))
    one = Plan(known, RoutingPolicy(Strategy.PRIORITY, retries=7, **more), "a", Surroundings(random, Rota(random)))
    for number in range(1, repeats + 1):
        step = one.next()
        assert step is not None
        one.failed(step, GatewayError(ErrorKind.RATE_LIMITED, "x", retry_after_s=asked_s if number == repeats else None))
    return one.next(longest_wait_s)


@given(st.integers(1, 1000), st.integers())
@settings(deadline=None)
def test_a_pause_is_anything_up_to_a_bound_that_doubles_to_its_cap(repeat: int, seed: int) -> None:
    bound_s = min(0.25 * 2 ** (repeat - 1), 8.0)
    assert longest_backoff_s(repeat) == bound_s
    assert 0 <= backoff_s(repeat, Random(seed)) <= bound_s


@pytest.mark.parametrize("repeat", [1, 3, 6])
def test_pauses_are_spread_evenly_from_none_at_all_to_the_bound(repeat: int) -> None:
    random = Random(11)
    tenths = Counter(int(10 * backoff_s(repeat, random) / longest_backoff_s(repeat)) for _ in range(5_000))
    assert set(tenths) == set(range(10))
    assert all(400 <= count <= 600 for count in tenths.values())


@given(st.floats(0.01, 9.9), st.integers(), st.integers(1, 6))
@settings(deadline=None)
def test_jitter_only_ever_adds_to_what_the_provider_asked_for(asked_s: float, seed: int, repeats: int) -> None:
    step = paused(seed, asked_s, repeats=repeats)
    assert step is not None
    assert asked_s <= step.wait_s <= asked_s + longest_backoff_s(repeats)


@given(st.one_of(st.none(), st.floats(0, 12)), st.floats(0.001, 25), st.integers(), st.integers(1, 6))
@settings(deadline=None)
def test_no_pause_outlasts_the_deadline_and_chance_does_not_decide_whether_there_is_one(
    asked_s: float | None, left_s: float, seed: int, repeats: int
) -> None:
    steps = [paused(other, asked_s, left_s, repeats=repeats) for other in (seed, seed + 1, seed + 2)]
    assert len({step is None for step in steps}) == 1
    assert all(step.wait_s <= left_s for step in steps if step is not None)


def test_with_another_model_to_try_it_is_the_bound_of_a_pause_that_is_looked_at() -> None:
    others: dict[str, Any] = {"others": (deployments("b/1"),), "fallbacks": {"a": ("b",)}}
    third, fourth = (paused(5, None, repeats=repeats, **others) for repeats in (3, 4))
    assert third is not None
    assert fourth is not None
    assert (third.deployment.id, fourth.deployment.id) == ("a/1", "b/1")
