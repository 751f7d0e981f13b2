"""Order and number of attempts."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError
from pllm.core.routing import Catalogue, attempts, backoff_s, order


def deployment(name: str, **changes: float) -> Deployment:
    return Deployment(name, "m", "openai", "x", **changes)  # type: ignore[arg-type]


def test_a_lower_priority_number_always_goes_first() -> None:
    many = [deployment("b", priority=2), deployment("a", priority=1), deployment("c", priority=3)]
    assert [d.id for d in order(many, Random(1))] == ["a", "b", "c"]


def test_shares_follow_weights() -> None:
    random = Random(3)
    many = [deployment("a", weight=1), deployment("b", weight=3), deployment("off", weight=0)]
    first = Counter(order(many, random)[0].id for _ in range(20_000))
    assert abs(first["b"] / 20_000 - 0.75) < 0.01
    assert first["off"] == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100)), min_size=1, max_size=8), st.integers())
@settings(deadline=None)
def test_order_is_a_permutation(facts: list[tuple[int, float]], seed: int) -> None:
    many = [deployment(str(n), priority=p, weight=w) for n, (p, w) in enumerate(facts)]
    assert sorted(d.id for d in order(many, Random(seed))) == sorted(d.id for d in many)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 5))
@settings(deadline=None)
def test_every_deployment_is_tried_and_retries_are_further_tries(sizes: list[int], retries: int) -> None:
    models = [[deployment(f"{m}/{d}") for d in range(size)] for m, size in enumerate(sizes)]
    plan = attempts(models, retries, Random(0))
    tried = Counter(a.deployment.id for a in plan)
    for model in models:
        assert all(tried[d.id] >= 1 for d in model)
        assert sum(tried[d.id] for d in model) == max(len(model), 1 + retries)
    seen: Counter[str] = Counter()
    for attempt in plan:
        assert attempt.repeat == seen[attempt.deployment.id]
        seen[attempt.deployment.id] += 1


@given(st.integers(1, 5), st.integers())
@settings(deadline=None)
def test_every_backoff_is_longer_than_the_one_before_whatever_the_jitter(repeat: int, seed: int) -> None:
    random = Random(seed)
    assert backoff_s(repeat, random) * 1.15 < backoff_s(repeat + 1, random)


@given(st.integers(1, 1000), st.integers())
@settings(deadline=None)
def test_backoff_stays_under_its_cap(repeat: int, seed: int) -> None:
    assert 0.15 <= backoff_s(repeat, Random(seed)) <= 8.0


def test_an_alias_resolves_to_those_of_its_models_that_are_usable() -> None:
    catalogue = Catalogue({"a": (deployment("a/1"),)}, {"smart": ("gone", "a"), "dead": ("gone",)}, {"gone": "no key"})
    assert catalogue.resolve("smart") == ("a",)
    with pytest.raises(GatewayError) as unknown:
        catalogue.resolve("smrat")
    assert unknown.value.status == 404
    assert "'smart'" in unknown.value.message
    with pytest.raises(GatewayError) as disabled:
        catalogue.resolve("gone")
    assert disabled.value.status == 503
    assert "no key" in disabled.value.message
    with pytest.raises(GatewayError) as empty:
        catalogue.resolve("dead")
    assert empty.value.status == 503
