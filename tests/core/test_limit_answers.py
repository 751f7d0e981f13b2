"""What clients read about their limits."""

import pytest

from pllm.core.limit_answers import Standing, denial, describe, rate_headers, unreachable
from pllm.core.limit_image import GateImage
from pllm.core.limits import BudgetLimit, GateLimits, LimitKind, Reservation

AT_S = 1_800_000_042.25
WINDOW = 30_000_000


def standing(scope: str = "key/a", at_s: float = AT_S, sliding: bool = False, **image: int) -> Standing:
    limits = GateLimits(scope, sliding=sliding, budget=BudgetLimit(500_000, "day"))
    return Standing(limits, GateImage(WINDOW, 0, 0, **image), at_s)  # type: ignore[arg-type]  # its integer fields


def test_headers_tell_the_scope_with_least_left_for_each_unit() -> None:
    many = standing("team/t", requests_left=40, requests_limit=50, tokens_left=7, tokens_limit=100)
    few = standing("key/a", requests_left=2, requests_limit=500, tokens_left=90, tokens_limit=90)
    assert rate_headers([many, few]) == {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "18s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "7",
        "x-ratelimit-reset-tokens": "18s",
    }


def test_nothing_is_told_of_what_is_not_limited() -> None:
    assert rate_headers([]) == {}
    assert rate_headers([standing(budget_left=5, budget_limit=10)]) == {}


def test_what_is_overdrawn_is_told_as_nothing_left() -> None:
    headers = rate_headers([standing(requests_left=3, requests_limit=5, tokens_left=-40, tokens_limit=90)])
    assert headers["x-ratelimit-remaining-tokens"] == "0"


def test_a_sliding_limit_tells_what_still_passes() -> None:
    headers = rate_headers([standing(sliding=True, requests_left=10, requests_limit=10, requests_before=10)])
    assert headers["x-ratelimit-remaining-requests"] == "8"  # 17.75 s of the minute before still weigh: 2.9 of 10


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("key/a", "key 'a'"),
        ("team/t", "team 't'"),
        ("model/gpt/4", "model 'gpt/4'"),
        ("key/a/model/gpt/4", "key 'a' for model 'gpt/4'"),
        ("dep/x", "deployment 'x'"),
    ],
)
def test_scopes_in_words(scope: str, words: str) -> None:
    assert describe(scope) == words


def test_tokens_are_refused_with_what_was_needed() -> None:
    found = denial(LimitKind.TOKENS, standing(tokens_left=10, tokens_limit=100), Reservation(60, 0))
    assert (found.limit, found.remaining, found.needed, found.retry_after_s) == (100, 10, 60, 17.75)
    assert "tokens per minute: limit 100, remaining 10, needed 60. Try again in 18 s." in found.error().message


def test_a_budget_that_never_starts_anew_names_no_time() -> None:
    limits = GateLimits("key/a", budget=BudgetLimit(2_500_000, "total"))
    image = GateImage(WINDOW, 0, 0, budget_left=-1, budget_limit=2_500_000)
    error = denial(LimitKind.BUDGET, Standing(limits, image, AT_S), Reservation(1, 123_456)).error()
    assert error.message == ("Budget of key 'a' exceeded: $2.50 in total, $0.00 left, this request may cost up to $0.123456.")
    assert error.retry_after_s is None


def test_a_request_that_costs_more_than_the_whole_budget_is_not_told_to_wait() -> None:
    found = denial(LimitKind.BUDGET, standing(budget_left=5, budget_limit=500_000), Reservation(1, 600_000))
    assert found.permanent
    assert found.retry_after_s is None


def test_without_the_table_the_client_is_asked_to_come_back() -> None:
    error = unreachable(GateLimits("team/t", rpm=1)).error()
    assert (error.status, error.retry_after_s) == (503, 2.0)
    assert "team 't'" in error.message
