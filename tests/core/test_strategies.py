"""Each strategy's promise, over many simulated picks and over fleets that see health seconds late."""

from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config.schema import Strategy
from pllm.core.deployment import Deployment
from pllm.core.health import DeploymentHealth
from pllm.core.profile import ModelProfile, Prices
from pllm.core.rota import Rota
from pllm.core.strategies import Candidate, Circumstances, TokenMix, order

PICKS = 100_000


def candidate(name: str, *, rank: tuple[int, ...] = (0,), weight: float = 1.0, turns: float = 1.0, **more: object) -> Candidate:
    return Candidate(Deployment(name, "m", "openai", "x", **more), rank, weight, turns)  # type: ignore[arg-type]


def circumstances(view: Mapping[str, DeploymentHealth] | None = None, *, seed: int = 1, stream: bool = False) -> Circumstances:
    random = Random(seed)
    return Circumstances("m", random, Rota(random), view or {}, stream)


def shares(strategy: Strategy, candidates: list[Candidate], now: Circumstances, picks: int = PICKS) -> dict[str, float]:
    had = Counter(order(strategy, candidates, now)[0].id for _ in range(picks))
    return {one.id: had[one.id] / picks for one in candidates}


def latency(ms: float) -> DeploymentHealth:
    return DeploymentHealth(latency_ms=ms)


@given(
    st.sampled_from(list(Strategy)),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 10), st.none() | st.floats(1, 1000)), min_size=1, max_size=6),
    st.integers(),
)
@settings(deadline=None, max_examples=150)
def test_every_strategy_orders_all_candidates_and_never_against_their_ranks(
    strategy: Strategy, facts: list[tuple[int, float, float | None]], seed: int
) -> None:
    many = [candidate(str(n), rank=(rank,), weight=weight) for n, (rank, weight, _) in enumerate(facts)]
    view = {str(n): DeploymentHealth(latency_ms=ms, in_flight=ms or 0) for n, (_, _, ms) in enumerate(facts)}
    ordered = order(strategy, many, circumstances(view, seed=seed))
    assert sorted(one.id for one in ordered) == sorted(one.id for one in many)
    assert [one.rank for one in ordered] == sorted(one.rank for one in many)


def test_weighted_shares_are_exact() -> None:
    many = [candidate("a", weight=1), candidate("b", weight=3), candidate("off", weight=0)]
    assert shares(Strategy.WEIGHTED, many, circumstances()) == pytest.approx({"a": 0.25, "b": 0.75, "off": 0}, abs=2 / PICKS)


def test_round_robin_is_exact_whatever_the_weights() -> None:
    many = [candidate("a", weight=1), candidate("b", weight=9), candidate("c")]
    assert shares(Strategy.ROUND_ROBIN, many, circumstances()) == pytest.approx(dict.fromkeys("abc", 1 / 3), abs=2 / PICKS)


def test_round_robin_gives_turns_to_models_not_to_keys() -> None:
    many = [candidate("a/1", turns=0.5), candidate("a/2", turns=0.5), candidate("b")]
    had = shares(Strategy.ROUND_ROBIN, many, circumstances())
    assert had == pytest.approx({"a/1": 0.25, "a/2": 0.25, "b": 0.5}, abs=2 / PICKS)


def test_random_is_uniform() -> None:
    had = shares(Strategy.RANDOM, [candidate(name) for name in "abcd"], circumstances())
    assert had == pytest.approx(dict.fromkeys("abcd", 0.25), abs=0.006)


def test_the_cheapest_for_the_expected_tokens_goes_first_and_an_unknown_price_last() -> None:
    def priced(name: str, prompt: int | None, completion: int | None) -> Candidate:
        return candidate(name, profile=ModelProfile(prices=Prices(input=prompt, output=completion)))

    many = [priced("unknown", None, None), priced("chatty", 10, 1_000), priced("wordy", 100, 100)]
    random = Random(1)
    short = Circumstances("m", random, Rota(random), mix=TokenMix(1_000, 10))
    long = Circumstances("m", random, Rota(random), mix=TokenMix(1_000, 1_000))
    assert [one.id for one in order(Strategy.COST_BASED, many, short)] == ["chatty", "wordy", "unknown"]
    assert [one.id for one in order(Strategy.COST_BASED, many, long)] == ["wordy", "chatty", "unknown"]


def test_equal_prices_share_the_traffic() -> None:
    prices = ModelProfile(prices=Prices(input=1, output=1))
    had = shares(Strategy.COST_BASED, [candidate(name, profile=prices) for name in "ab"], circumstances(), 10_000)
    assert had["a"] == pytest.approx(0.5, abs=0.03)


def test_the_less_busy_get_more_and_nobody_gets_nothing() -> None:
    view = {"a": DeploymentHealth(in_flight=1), "b": DeploymentHealth(in_flight=5), "c": DeploymentHealth(in_flight=9)}
    had = shares(Strategy.LEAST_BUSY, [candidate(name) for name in "abc"], circumstances(view), 20_000)
    assert had["a"] > had["b"] > had["c"] > 0.05


def test_usage_is_measured_against_each_deployments_own_limits() -> None:
    view = {"big": DeploymentHealth(requests=500, tokens=100), "small": DeploymentHealth(requests=50, tokens=100)}
    many = [candidate("big", rpm=10_000), candidate("small", rpm=60)]
    assert shares(Strategy.USAGE_BASED, many, circumstances(view), 20_000)["big"] == pytest.approx(0.75, abs=0.02)
    by_tokens = [candidate("big", tpm=110), candidate("small", tpm=100_000)]
    assert shares(Strategy.USAGE_BASED, by_tokens, circumstances(view), 20_000)["small"] == pytest.approx(0.75, abs=0.02)


def test_latency_chooses_among_those_within_a_fifth_of_the_fastest() -> None:
    view = {"fast": latency(100), "near": latency(115), "slow": latency(400)}
    had = shares(Strategy.LATENCY_BASED, [candidate(name) for name in view], circumstances(view), 20_000)
    assert had == pytest.approx({"fast": 0.75, "near": 0.25, "slow": 0}, abs=0.02)


def test_streams_are_chosen_by_their_first_event() -> None:
    view = {"a": DeploymentHealth(latency_ms=9_000, first_ms=100), "b": DeploymentHealth(latency_ms=1_000, first_ms=900)}
    many = [candidate("a"), candidate("b")]
    assert order(Strategy.LATENCY_BASED, many, circumstances(view, stream=True))[0].id == "a"
    assert order(Strategy.LATENCY_BASED, many, circumstances(view))[0].id == "b"


def test_the_untested_are_explored_now_and_then_and_always_when_nobody_is_tested() -> None:
    many = [candidate("known"), candidate("new")]
    view = {"known": latency(100)}
    assert shares(Strategy.LATENCY_BASED, many, circumstances(view), 20_000)["new"] == pytest.approx(0.1, abs=0.01)
    assert shares(Strategy.LATENCY_BASED, many, circumstances(), 20_000)["new"] == pytest.approx(0.5, abs=0.02)


class Fleet:
    """Environments that choose by a view which is `age_s` old, against deployments that get slower the more they are asked.

    Latencies are kept as the table keeps them: sums over minutes, forgotten after three."""

    def __init__(self, base_ms: dict[str, float], *, environments: int = 40, age_s: int = 5) -> None:
        self.base_ms = base_ms
        self.random = Random(5)
        self.ages = [self.random.randrange(age_s) for _ in range(environments)]
        self.age_s = age_s
        self.views: list[dict[str, DeploymentHealth]] = [{} for _ in range(environments)]
        self.minutes: list[dict[str, tuple[float, int]]] = [{}]
        self.candidates = [candidate(name) for name in base_ms]
        self.rota = Rota(self.random)
        self.clock_s = 0

    def second(self, requests: int = 80, load_ms: float = 0.0) -> Counter[str]:
        """One second of traffic; gives who was asked how often."""
        self.clock_s += 1
        if self.clock_s % 60 == 0:
            self.minutes = [{}, *self.minutes[:2]]
        for number, offset in enumerate(self.ages):
            if self.clock_s % self.age_s == offset:
                self.views[number] = self._view()
        asked: Counter[str] = Counter()
        for _ in range(requests):
            view = self.views[self.random.randrange(len(self.views))]
            now = Circumstances("m", self.random, self.rota, view)
            asked[order(Strategy.LATENCY_BASED, self.candidates, now)[0].id] += 1
        for name, times in asked.items():
            spent, answers = self.minutes[0].get(name, (0.0, 0))
            took_ms = self.base_ms[name] + load_ms * times
            self.minutes[0][name] = (spent + took_ms * times, answers + times)
        return asked

    def _view(self) -> dict[str, DeploymentHealth]:
        view = {}
        for name in self.base_ms:
            weighted = [
                (w * m[name][0], w * m[name][1]) for w, m in zip((1, 0.5, 0.25), self.minutes, strict=False) if name in m
            ]
            if weighted:
                view[name] = latency(sum(s for s, _ in weighted) / sum(n for _, n in weighted))
        return view


def test_a_fleet_converges_on_the_fast_one_and_finds_out_when_that_changes() -> None:
    fleet = Fleet({"a": 100.0, "b": 300.0, "c": 900.0})
    for _ in range(60):
        fleet.second()
    assert sum((fleet.second() for _ in range(30)), Counter[str]())["a"] / (30 * 80) > 0.85
    fleet.base_ms.update(a=900.0, c=100.0)
    for _ in range(240):
        fleet.second()
    assert sum((fleet.second() for _ in range(30)), Counter[str]())["c"] / (30 * 80) > 0.85


def test_a_fleet_does_not_run_from_one_deployment_to_the_other_in_herds() -> None:
    fleet = Fleet({"a": 100.0, "b": 100.0, "c": 105.0})
    for _ in range(60):
        fleet.second(load_ms=0.3)
    seconds = [fleet.second(load_ms=0.3) for _ in range(120)]
    most = max(max(second.values()) / sum(second.values()) for second in seconds)
    total = sum(seconds, Counter[str]())
    assert most < 0.8
    assert min(total.values()) / sum(total.values()) > 0.15
