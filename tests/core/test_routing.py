"""The names a client may ask for, and what stands behind each."""

import pytest

from pllm.core.config.schema import Route, RouteModel, Strategy
from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError
from pllm.core.routing import Catalogue


def deployment(name: str, **changes: float) -> Deployment:
    return Deployment(name, name.split("/")[0], "openai", "x", **changes)  # type: ignore[arg-type]


def route(slug: str, *models: RouteModel, **more: object) -> Route:
    return Route(slug=slug, models=models, **more)  # type: ignore[arg-type]


A = (deployment("a/1", weight=1), deployment("a/2", weight=3, priority=2))
B = (deployment("b/1"),)
FAST = route(
    "fast", RouteModel(model_name="a", weight=8), RouteModel(model_name="gone"), RouteModel(model_name="b", priority=4)
)
KNOWN = Catalogue({"a": A, "b": B}, {"smart": ("gone", "b", "a"), "dead": ("gone",)}, {"gone": "no key"}, {"fast": FAST})


def test_an_alias_or_a_route_resolves_to_those_of_its_models_that_are_usable() -> None:
    assert KNOWN.resolve("a") == ("a",)
    assert KNOWN.resolve("smart") == ("b", "a")
    assert KNOWN.resolve("fast") == ("a", "b")


def test_what_cannot_be_resolved_says_why() -> None:
    with pytest.raises(GatewayError) as unknown:
        KNOWN.resolve("smrat")
    assert unknown.value.status == 404
    assert "'smart'" in unknown.value.message
    with pytest.raises(GatewayError) as disabled:
        KNOWN.resolve("gone")
    assert disabled.value.status == 503
    assert "no key" in disabled.value.message
    with pytest.raises(GatewayError) as empty:
        KNOWN.resolve("dead")
    assert empty.value.status == 503


def test_what_can_be_asked_for_are_models_then_aliases_then_routes() -> None:
    assert KNOWN.names() == ["a", "b", "smart", "fast"]
    assert all(KNOWN.knows(name) for name in ("a", "gone", "smart", "dead", "fast"))
    assert not KNOWN.knows("smrat")


def test_a_models_candidates_keep_their_own_weights_and_priorities() -> None:
    assert [(c.id, c.rank, c.weight, c.turns) for c in KNOWN.candidates("a", Strategy.WEIGHTED)] == [
        ("a/1", (0, 0), 1, 1),
        ("a/2", (0, 2), 3, 1),
    ]


def test_an_aliases_list_is_an_order_for_strategies_that_go_by_weight_and_a_pool_for_the_others() -> None:
    ranked = KNOWN.candidates("smart", Strategy.PRIORITY)
    assert [(c.id, c.rank) for c in ranked] == [("b/1", (0, 0)), ("a/1", (1, 0)), ("a/2", (1, 2))]
    pooled = KNOWN.candidates("smart", Strategy.ROUND_ROBIN)
    assert [(c.id, c.rank, c.turns) for c in pooled] == [("b/1", (0, 0), 1), ("a/1", (0, 0), 0.5), ("a/2", (0, 2), 0.5)]


def test_a_routes_weights_are_its_models_however_many_deployments_they_have() -> None:
    assert [(c.id, c.rank, c.weight, c.turns) for c in KNOWN.candidates("fast", Strategy.WEIGHTED)] == [
        ("a/1", (0, 0), 2, 0.5),
        ("a/2", (0, 2), 6, 0.5),
        ("b/1", (4, 0), 1, 1),
    ]


def test_a_route_may_have_a_strategy_of_its_own() -> None:
    own = Catalogue({"a": A}, routes={"r": route("r", RouteModel(model_name="a"), strategy=Strategy.RANDOM), "fast": FAST})
    assert own.strategy("r", Strategy.PRIORITY) is Strategy.RANDOM
    assert own.strategy("fast", Strategy.PRIORITY) is Strategy.PRIORITY
    assert own.strategy("a", Strategy.PRIORITY) is Strategy.PRIORITY


def test_a_name_without_deployments_has_no_candidates() -> None:
    assert KNOWN.candidates("gone", Strategy.RANDOM) == []
    assert KNOWN.candidates("dead", Strategy.RANDOM) == []
