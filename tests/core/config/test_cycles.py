from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config.cycles import find_cycles


def test_a_chain_has_no_circle() -> None:
    assert find_cycles({"a": ("b", "c"), "b": ("c",), "c": ("d",)}, {}) == []


def test_a_circle_is_told_once_from_the_name_that_stands_first() -> None:
    assert find_cycles({"a": ("b",), "b": ("c",), "c": ("a",)}, {}) == [("a", "b", "c")]


def test_a_model_that_falls_back_to_itself_is_a_circle() -> None:
    assert find_cycles({"a": ("a",)}, {}) == [("a",)]


def test_a_circle_through_an_alias_is_found() -> None:
    assert find_cycles({"a": ("smart",)}, {"smart": ("b", "a")}) == [("a", "smart")]


def test_two_circles_are_both_told() -> None:
    assert find_cycles({"a": ("b",), "b": ("a",), "c": ("d",), "d": ("c",)}, {}) == [("a", "b"), ("c", "d")]


def test_a_chain_as_long_as_the_file_is_walked() -> None:
    chain = {str(n): (str(n + 1),) for n in range(50_000)}
    assert find_cycles(chain, {}) == []
    assert len(find_cycles({**chain, "50000": ("0",)}, {})[0]) == 50_001


_NAMES = st.sampled_from("abcdef")


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(_NAMES, st.lists(_NAMES, max_size=3).map(tuple), max_size=6))
def test_circles_are_found_exactly_where_some_name_reaches_itself(fallbacks: dict[str, tuple[str, ...]]) -> None:
    reach = {name: set(targets) for name, targets in fallbacks.items()}
    for _ in fallbacks:
        reach = {name: targets.union(*(reach.get(target, set()) for target in targets)) for name, targets in reach.items()}
    cycles = find_cycles(fallbacks, {})
    assert bool(cycles) == any(name in targets for name, targets in reach.items())
    for cycle in cycles:
        assert all(after in fallbacks[name] for name, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
