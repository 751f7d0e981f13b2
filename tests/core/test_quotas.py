"""Where a scope stands: used, reserved, remaining, and when it starts anew."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pllm.core.limit_image import GateImage, new_image
from pllm.core.limits import BudgetLimit, GateLimits, epochs
from pllm.core.quotas import Quota, quotas

NOW_S = 1_800_000_020.0  # twenty seconds into a minute
MINUTE_END_S = 1_800_000_060
ALL = GateLimits("key/k", 60, 1_000, 4, BudgetLimit(5_000_000, "day"))


def image(limits: GateLimits = ALL) -> GateImage:
    return new_image(limits, epochs(limits, NOW_S))


def test_a_gate_that_nobody_used_has_everything_left() -> None:
    found = quotas(ALL, None, NOW_S)
    assert found.requests == Quota(60, 0, resets_at_s=MINUTE_END_S)
    assert found.tokens == Quota(1_000, 0, resets_at_s=MINUTE_END_S)
    assert found.parallel == Quota(4, 0)
    assert found.budget is not None
    assert (found.budget.remaining, found.budget.percent, found.revoked) == (5_000_000, 0.0, False)


def test_what_is_taken_and_what_is_held_are_told_apart() -> None:
    seen = replace(image(), requests_left=45, tokens_left=-50, budget_left=1_000_000, held=1_500_000, parallel=3, revoked=True)
    found = quotas(ALL, seen, NOW_S)
    assert found.requests is not None
    assert (found.requests.used, found.requests.remaining, found.requests.percent) == (15, 45, 25.0)
    assert found.tokens is not None
    assert (found.tokens.used, found.tokens.remaining, found.tokens.percent) == (1_050, 0, 105.0)
    assert found.parallel is not None
    assert (found.parallel.remaining, found.parallel.resets_at_s) == (1, None)
    assert found.budget is not None
    assert (found.budget.used, found.budget.reserved, found.budget.remaining) == (2_500_000, 1_500_000, 1_000_000)
    assert found.budget.percent == 80.0
    assert found.revoked


def test_what_is_not_limited_is_not_there() -> None:
    found = quotas(GateLimits("key/k", rpm=60), image(), NOW_S)
    assert (found.tokens, found.parallel, found.budget) == (None, None, None)


def test_a_budget_of_nothing_is_all_used_and_one_in_total_never_starts_anew() -> None:
    limits = GateLimits("team/t", budget=BudgetLimit(0, "total"))
    found = quotas(limits, None, NOW_S).budget
    assert found is not None
    assert (found.percent, found.remaining, found.resets_at_s) == (100.0, 0, None)


def test_a_sliding_window_counts_the_fading_rest_of_the_minute_before() -> None:
    limits = replace(ALL, sliding=True)
    found = quotas(limits, replace(image(limits), requests_left=50, requests_before=30), NOW_S)
    assert found.requests is not None
    assert found.requests.used == 10 + 20


@given(st.integers(0, 100), st.integers(1, 200), st.integers(0, 4_000_000))
def test_a_limit_that_the_gate_was_not_told_of_yet_forgets_nothing_that_was_used(used: int, rpm: int, spent: int) -> None:
    seen = replace(image(), requests_left=60 - used, budget_left=5_000_000 - spent)
    newer = replace(ALL, rpm=rpm, budget=BudgetLimit(9_000_000, "day"), version=9)
    found = quotas(newer, seen, NOW_S)
    assert found.requests is not None
    assert (found.requests.used, found.requests.remaining) == (used, max(rpm - used, 0))
    assert found.budget is not None
    assert found.budget.remaining == 9_000_000 - spent
