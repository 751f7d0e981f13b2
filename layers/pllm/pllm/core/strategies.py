"""How one deployment is chosen among several: one function and one row for each strategy.

A strategy puts candidates in the order in which they are tried. It is a pure function of the candidates, what is known of
their health, injected randomness and the environment's rota. Health is seconds old and the same for a whole fleet, so no
strategy sends everybody to "the best one": that herds. They choose at random among good ones, or take turns.

Whatever the strategy, a candidate with a lower `rank` goes first: a strategy chooses among equals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from random import Random
from typing import Any

from pllm.core.config.schema import Strategy
from pllm.core.deployment import Deployment
from pllm.core.health import UNKNOWN, DeploymentHealth, HealthView
from pllm.core.rota import Rota

FAST_ENOUGH = 1.2
"""Latency within which deployments count as equally fast: a factor over the fastest."""

EXPLORED = 0.1
"""Share of the choices that go to a deployment of which nobody has heard for minutes."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment among others. rank: lower goes first, compared left to right. weight: its share by configuration.
    turns: its share when everybody has equal turns (less than 1 for each of several keys of one model in a route)."""

    deployment: Deployment
    rank: tuple[int, ...] = ()
    weight: float = 1.0
    turns: float = 1.0

    @property
    def id(self) -> str:
        return self.deployment.id


@dataclass(frozen=True, slots=True)
class TokenMix:
    """How many tokens a request is expected to cost, for comparing prices."""

    prompt: int = 1_000
    completion: int = 250


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a choice may depend on. key: what is chosen among (the name that was asked for). stream: whether the time to the
    first event is what matters."""

    key: str
    random: Random
    rota: Rota
    view: HealthView = field(default_factory=dict)
    stream: bool = False
    mix: TokenMix = TokenMix()

    def health(self, candidate: Candidate) -> DeploymentHealth:
        return self.view.get(candidate.id, UNKNOWN)


Candidates = Sequence[Candidate]
Choose = Callable[[Candidates, Circumstances], list[Candidate]]


def order(strategy: Strategy, candidates: Candidates, circumstances: Circumstances) -> list[Candidate]:
    """The candidates in the order in which they are tried."""
    choose = CHOOSE[strategy]
    ranked = sorted(candidates, key=lambda candidate: candidate.rank)
    ordered: list[Candidate] = []
    for _, equals in groupby(ranked, key=lambda candidate: candidate.rank):
        group = list(equals)
        ordered += choose(group, circumstances) if len(group) > 1 else group
    return ordered


def _by_weight(candidates: Candidates, now: Circumstances) -> list[Candidate]:
    return _by_turn(candidates, now, {one.id: one.weight for one in candidates})


def _in_turn(candidates: Candidates, now: Circumstances) -> list[Candidate]:
    return _by_turn(candidates, now, {one.id: one.turns for one in candidates})


def _at_random(candidates: Candidates, now: Circumstances) -> list[Candidate]:
    return now.random.sample(candidates, len(candidates))


def _by_latency(candidates: Candidates, now: Circumstances) -> list[Candidate]:
    known = {one.id: latency for one in candidates if (latency := _latency_ms(one, now)) is not None}
    tested = sorted((one for one in candidates if one.id in known), key=lambda one: known[one.id])
    untested = _at_random([one for one in candidates if one.id not in known], now)
    if not tested:
        return untested
    if untested and now.random.random() < EXPLORED:
        return [*untested, *tested]
    limit_ms = known[tested[0].id] * FAST_ENOUGH
    fast = [one for one in tested if known[one.id] <= limit_ms]
    first = _better_of_two(fast, known, now.random)
    return [first, *(one for one in tested if one is not first), *untested]


def _by_cost(candidates: Candidates, now: Circumstances) -> list[Candidate]:
    shuffled = _at_random(candidates, now)
    return sorted(shuffled, key=lambda one: _cost(one.deployment, now.mix))


def _by_load(candidates: Candidates, now: Circumstances) -> list[Candidate]:
    return _least(candidates, {one.id: (now.health(one).in_flight / _size(one),) for one in candidates}, now.random)


def _by_usage(candidates: Candidates, now: Circumstances) -> list[Candidate]:
    return _least(candidates, {one.id: _used(one, now.health(one)) for one in candidates}, now.random)


CHOOSE: Mapping[Strategy, Choose] = {
    Strategy.PRIORITY: _by_weight,
    Strategy.WEIGHTED: _by_weight,
    Strategy.ROUND_ROBIN: _in_turn,
    Strategy.RANDOM: _at_random,
    Strategy.LATENCY_BASED: _by_latency,
    Strategy.COST_BASED: _by_cost,
    Strategy.LEAST_BUSY: _by_load,
    Strategy.USAGE_BASED: _by_usage,
}


def _by_turn(candidates: Candidates, now: Circumstances, shares: Mapping[str, float]) -> list[Candidate]:
    named = {one.id: one for one in candidates}
    rank = candidates[0].rank
    return [named[name] for name in now.rota.turn(f"{now.key} {rank}" if any(rank) else now.key, shares)]


def _least(candidates: Candidates, load: Mapping[str, tuple[float, ...]], random: Random) -> list[Candidate]:
    rising = sorted(random.sample(candidates, len(candidates)), key=lambda one: load[one.id])
    first = _better_of_two(rising, load, random)
    return [first, *(one for one in rising if one is not first)]


def _better_of_two(candidates: Candidates, load: Mapping[str, Any], random: Random) -> Candidate:
    """Of two random ones (perhaps the same) the better: everyone gets some, the better get more."""
    return min(random.choice(candidates), random.choice(candidates), key=lambda one: load[one.id])


def _latency_ms(candidate: Candidate, now: Circumstances) -> float | None:
    health = now.health(candidate)
    return (health.first_ms if health.first_ms is not None else health.latency_ms) if now.stream else health.latency_ms


def _cost(deployment: Deployment, mix: TokenMix) -> tuple[bool, int]:
    """(unknown, micro-dollars for a million such requests): an unknown price is no low price."""
    prices = deployment.profile.prices
    if prices.input is None or prices.output is None:
        return True, 0
    return False, prices.input * mix.prompt + prices.output * mix.completion


def _used(candidate: Candidate, health: DeploymentHealth) -> tuple[float, ...]:
    """(share of its limits that this minute used up, requests): those without limits go by requests alone."""
    deployment = candidate.deployment
    requests = health.requests / deployment.rpm if deployment.rpm else 0.0
    tokens = health.tokens / deployment.tpm if deployment.tpm else 0.0
    return max(requests, tokens), health.requests / _size(candidate)


def _size(candidate: Candidate) -> float:
    return candidate.weight or 1e-9
