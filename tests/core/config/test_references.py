from typing import Any

import pytest

from pllm.core.config.references import check_references


def said(data: Any) -> list[tuple[str, str]]:
    return [(finding.severity, finding.message) for finding in check_references(data)]


def models(*names: str) -> list[dict[str, Any]]:
    return [{"model_name": name, "params": {"model": f"openai/{name}"}} for name in names]


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"model_list": 5}, {"model_list": [5, None]}, {"model_aliases": []}, {"router": [1]}]
)
def test_what_has_the_wrong_shape_is_left_to_validation(data: Any) -> None:
    assert said(data) == []


def test_a_configuration_that_fits_together_has_no_findings() -> None:
    data = {
        "model_list": [*models("a", "b", "c"), {"model_name": "a", "params": {"model": "azure/a"}, "weight": 0}],
        "model_aliases": {"smart": ["a", "b"], "one": "c"},
        "routes": [{"slug": "r", "models": ["a", {"model_name": "b", "weight": 2}], "fallback_models": ["smart"]}],
        "router": {"fallbacks": {"a": ["b"], "b": ["c"], "r": ["c"], "smart": ["c"]}, "context_window_fallbacks": {"b": ["a"]}},
        "limits": {"models": {"a": {"rpm": 1}, "smart": {"rpm": 1}}},
    }
    assert said(data) == []


def test_two_lists_of_fallbacks_may_point_at_each_other() -> None:
    data = {"model_list": models("a", "b"), "router": {"fallbacks": {"a": ["b"]}, "context_window_fallbacks": {"b": ["a"]}}}
    assert said(data) == []


def test_an_unknown_fallback_is_a_warning_with_the_nearest_name() -> None:
    data = {"model_list": models("gpt-4", "gpt-4-mini"), "router": {"fallbacks": {"gpt-4": ["gpt-4-mnii"]}}}
    (finding,) = check_references(data)
    assert (finding.severity, finding.path, finding.suggestion) == (
        "warning",
        ("router", "fallbacks", "gpt-4", 0),
        "did you mean 'gpt-4-mini'?",
    )


def test_an_alias_of_a_route_is_refused() -> None:
    data = {"model_list": models("a"), "routes": [{"slug": "r", "models": "a"}], "model_aliases": {"x": ["r"]}}
    assert said(data) == [("error", "the alias 'x' names 'r', which is a route")]


def test_a_route_given_as_one_name_is_checked_like_a_list() -> None:
    data = {"model_list": models("a"), "routes": [{"slug": "r", "models": "b"}]}
    assert said(data) == [("error", "the route 'r' names the unknown model 'b'")]


def test_the_same_entry_twice_is_a_warning() -> None:
    assert said({"model_list": [*models("a"), *models("a")]}) == [
        ("warning", "'model_list[1]' repeats 'model_list[0]' word for word")
    ]


@pytest.mark.parametrize(
    ("size", "warned"), [("10MB", True), (6_291_457, True), ("6MiB", False), (1, False), ("large", False), (None, False)]
)
def test_a_body_larger_than_lambda_takes_is_a_warning(size: object, warned: bool) -> None:
    found = said({"model_list": models("a"), "limits": {"max_body": size}})
    assert [severity for severity, _ in found] == ["warning"] * warned
    assert all("than what Lambda takes (6291456 bytes)" in message for _, message in found)


def test_a_timeout_longer_than_a_function_lives_is_a_warning() -> None:
    data = {"model_list": [{**models("a")[0], "timeout": "20m"}]}
    assert said(data) == [("warning", "a timeout of 1200 s is longer than a Lambda function lives (900 s)")]


def test_the_default_longest_cooldown_counts() -> None:
    data = {"model_list": models("a"), "router": {"circuit_breaker": {"cooldown": "10m"}}}
    assert said(data) == [("error", "max_cooldown (300 s) is shorter than cooldown (600 s)")]


def test_weights_of_zero_are_fine_beside_one_that_is_not() -> None:
    entries = [{**models("a")[0], "weight": 0}, {**models("a")[0], "weight": 1}]
    assert said({"model_list": entries}) == []
