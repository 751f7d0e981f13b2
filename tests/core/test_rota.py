"""Shares kept exactly: by one environment, and by a fleet of them."""

from collections import Counter
from math import log
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.rota import Rota

PICKS = 100_000


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.integers(), st.integers(1, 400))
@settings(deadline=None, max_examples=60)
def test_after_any_number_of_turns_everyone_had_their_share_to_within_about_one(
    weights: list[float], seed: int, turns: int
) -> None:
    shares = {str(number): weight for number, weight in enumerate(weights)}
    rota = Rota(Random(seed))
    had = Counter(rota.turn("m", shares)[0] for _ in range(turns))
    for name, weight in shares.items():
        owed = turns * weight / sum(weights)
        assert -(2 + log(len(weights))) < had[name] - owed < 2 + log(len(weights))


@pytest.mark.parametrize("environments", [1, 50, 1000])
def test_a_fleets_shares_are_exact_to_within_a_turn_for_each_environment(environments: int) -> None:
    shares = {"a": 1.0, "b": 3.0, "c": 6.0}
    rotas = [Rota(Random(seed)) for seed in range(environments)]
    had = Counter(rotas[number % environments].turn("m", shares)[0] for number in range(PICKS))
    for name, share in shares.items():
        assert abs(had[name] / PICKS - share / 10) <= environments * 2 / PICKS


def test_environments_that_choose_once_each_still_share_out_by_weight() -> None:
    shares = {"a": 1.0, "b": 3.0}
    had = Counter(Rota(Random(seed)).turn("m", shares)[0] for seed in range(4_000))
    assert abs(had["b"] / 4_000 - 0.75) < 0.03


def test_equal_shares_go_round_in_a_circle() -> None:
    rota = Rota(Random(1))
    turns = [rota.turn("m", {"a": 1, "b": 1, "c": 1})[0] for _ in range(9)]
    assert turns[:3] == turns[3:6] == turns[6:]
    assert sorted(turns[:3]) == ["a", "b", "c"]


def test_nobody_makes_up_for_turns_missed_while_they_could_not_go() -> None:
    rota = Rota(Random(1))
    for _ in range(100):
        rota.turn("m", {"a": 1, "b": 1})
    assert {rota.turn("m", {"a": 1})[0] for _ in range(50)} == {"a"}
    assert Counter(rota.turn("m", {"a": 1, "b": 1})[0] for _ in range(10)) == {"a": 5, "b": 5}


def test_who_has_no_share_goes_last_and_first_only_where_nobody_has_one() -> None:
    rota = Rota(Random(2))
    assert all(rota.turn("m", {"spare": 0, "a": 1, "b": 2})[-1] == "spare" for _ in range(20))
    assert {rota.turn("n", {"x": 0, "y": 0})[0] for _ in range(4)} == {"x", "y"}


def test_names_are_kept_apart() -> None:
    rota = Rota(Random(3))
    first = [rota.turn("m", {"a": 1, "b": 1})[0] for _ in range(2)]
    rota.turn("other", {"a": 1, "b": 1})
    assert [rota.turn("m", {"a": 1, "b": 1})[0] for _ in range(2)] == first
