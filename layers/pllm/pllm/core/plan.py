"""What is tried for one request, one step after the other: pure, and told what came of each step.

A name is a *stage*: its deployments in the order of its strategy, those left out that are open, each once; then, with fewer of
them than `1 + retries`, again after a pause. When a stage is exhausted the next of its fallbacks is entered. Why a step failed
decides where one goes: a prompt that was too long to `context_window_fallbacks`, a refused one to `content_policy_fallbacks`,
what the caller did wrong nowhere.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

from pllm.core.breaker import FORCED, Admission
from pllm.core.config.schema import Router, Strategy
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.health import UNKNOWN, HealthView
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue
from pllm.core.strategies import Candidate, Circumstances, TokenMix, order
from pllm.core.tags import NO_TAGS, Tags, chosen, no_match

MAX_ATTEMPTS = 8
"""What one request may cost upstream at most, however many deployments and fallbacks there are: an outage is not multiplied."""

# A provider that asks for a longer pause than this is not waited for: the client is told, and knows better what to do.
_LONGEST_WAIT_S = 10.0
# With another model still to try there is little to wait for.
_LONGEST_WAIT_WITH_FALLBACK_S = 1.0

# Trying the same deployment again cannot help where it refused our credential.
_ELSEWHERE_ONLY = frozenset({ErrorKind.UPSTREAM_AUTH})

# When a probe that another environment makes may have its verdict.
_PROBED_ELSEWHERE_MS = 1_000


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """How the configuration wants a request routed. `retries` counts further tries on the same name; `hedge_after_s`: when a
    second attempt is started beside a silent first one, None for never."""

    strategy: Strategy = Strategy.WEIGHTED
    retries: int = 1
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    context_window_fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    content_policy_fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_attempts: int = MAX_ATTEMPTS
    hedge_after_s: float | None = None

    @staticmethod
    def of(router: Router) -> "RoutingPolicy":
        """As the configuration's `router` section says."""
        return RoutingPolicy(
            router.routing_strategy,
            router.retries,
            router.fallbacks,
            router.context_window_fallbacks,
            router.content_policy_fallbacks,
            hedge_after_s=router.hedge_after,
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a plan asks of the world. `least_tokens`: what the prompt has at least; `refusal`: why a deployment cannot serve
    this call at all; `tags`: which deployments it is for."""

    random: Random
    rota: Rota
    view: Callable[[Sequence[str]], HealthView] = lambda ids: {}
    stream: bool = False
    mix: Callable[[], TokenMix] = TokenMix
    least_tokens: Callable[[], int] = lambda: 0
    refusal: Callable[[Deployment], GatewayError | None] = lambda deployment: None
    tags: Tags = NO_TAGS


@dataclass(frozen=True, slots=True)
class Step:
    """One try. `probe`: only whoever wins the deployment's probe may make it. `wait_s`: pause before it."""

    deployment: Deployment
    probe: bool = False
    wait_s: float = 0.0


@dataclass(slots=True)
class _Stage:
    """`first`: what was not tried yet. `tries`: how often each deployment was. `final`: there are no second tries."""

    name: str
    first: list[Step] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    tried: dict[str, Deployment] = field(default_factory=dict)
    final: bool = False


class Plan:
    """`next` gives a step until there is none; `failed` or `lost` is told of each; `outcome` is what the client hears then.

    Raises GatewayError when the name is unknown, or when nothing behind it is usable and it has no fallbacks.
    """

    def __init__(self, catalogue: Catalogue, policy: RoutingPolicy, name: str, surroundings: Surroundings) -> None:
        self._catalogue = catalogue
        self._policy = policy
        self._asked = name
        self._world = surroundings
        self._stage = _Stage(name)
        self._queue = [name]
        self._entered: set[str] = set()
        self._tried: set[str] = set()
        self._attempts = 0
        self._errors: dict[str, GatewayError] = {}
        self._failure: GatewayError | None = None
        self._refusal: GatewayError | None = None
        self._blocked: list[tuple[int, str]] = []
        self._full: list[GatewayError] = []
        self._over = False
        try:
            catalogue.resolve(name)
        except GatewayError as error:
            if error.kind is ErrorKind.MODEL_NOT_FOUND or not self._known(policy.fallbacks, (name,)):
                raise
            self._refusal = error

    @property
    def choices(self) -> bool:
        """Whether there is anything to choose: with a single deployment there is nothing to know either."""
        return len(self._behind(self._policy.fallbacks)) > 1

    @property
    def possible(self) -> list[Deployment]:
        """Every deployment that may come to answer: those behind the name, and behind its fallbacks of every kind."""
        policy = self._policy
        return self._behind(policy.fallbacks, policy.context_window_fallbacks, policy.content_policy_fallbacks)

    def _behind(self, *fallbacks: Mapping[str, tuple[str, ...]]) -> list[Deployment]:
        own = self._names(self._asked)
        names = dict.fromkeys((self._asked, *(target for kind in fallbacks for target in self._known(kind, own))))
        strategy = self._policy.strategy
        return [candidate.deployment for name in names for candidate in self._candidates(name, strategy)]

    def next(self, longest_wait_s: float = float("inf")) -> Step | None:
        """The next try, None when there is none. No pause will be longer than `longest_wait_s`."""
        out_of_time = longest_wait_s <= 0 and self._failure is not None
        while not (self._over or out_of_time) and self._attempts < self._policy.max_attempts:
            step = self._stage.first.pop(0) if self._stage.first else self._again(longest_wait_s)
            if step is not None:
                self._take(step)
                return step
            if not self._queue:
                return None
            self._enter(self._queue.pop(0))
        return None

    def beside(self) -> Step | None:
        """A try to be made beside one that is silent: another healthy deployment, if there is one."""
        if self._over or self._attempts >= self._policy.max_attempts:
            return None
        for step in self._stage.first:
            if not step.probe:
                self._stage.first.remove(step)
                self._take(step)
                return step
        return None

    def lost(self, step: Step) -> None:
        """Another environment has the probe: it is as if the deployment were open, and the step cost nothing."""
        self._untake(step)
        self._blocked.append((_PROBED_ELSEWHERE_MS, ""))

    def full(self, step: Step, refusal: GatewayError) -> None:
        """The deployment's own limits have no room, as `refusal` says: the step cost nothing."""
        self._untake(step)
        self._full.append(refusal)

    def spared(self, step: Step) -> None:
        """A try beside another that was not made: it may be made yet, and is the next one then."""
        self._tried.discard(step.deployment.id)
        self._untake(step)
        self._stage.first.insert(0, step)

    def failed(self, step: Step, error: GatewayError) -> None:
        self._failure = error
        self._errors[step.deployment.id] = error
        if error.kind is ErrorKind.CONTEXT_LENGTH:
            self._go_elsewhere(self._policy.context_window_fallbacks, step, _with_more_room(self._stage.first, step.deployment))
        elif error.kind is ErrorKind.CONTENT_POLICY:
            self._go_elsewhere(self._policy.content_policy_fallbacks, step, [])
        elif not error.retryable:
            self._over = True

    def outcome(self) -> GatewayError:
        """Why there was no answer."""
        if self._failure is not None:
            return self._failure
        if self._full:  # these are well: the first that has room again would answer
            return min(self._full, key=lambda refusal: inf if refusal.retry_after_s is None else refusal.retry_after_s)
        if self._blocked:
            return _all_left_alone(self._asked, self._blocked)
        return self._refusal or GatewayError(ErrorKind.UNAVAILABLE, f"No deployment of {self._asked!r} is usable.")

    def _take(self, step: Step) -> None:
        self._attempts += 1
        self._tried.add(step.deployment.id)
        self._stage.tries[step.deployment.id] += 1
        self._stage.tried[step.deployment.id] = step.deployment

    def _untake(self, step: Step) -> None:
        self._attempts -= 1
        del self._stage.tries[step.deployment.id], self._stage.tried[step.deployment.id]

    def _again(self, longest_wait_s: float) -> Step | None:
        """A deployment of this stage once more, after the pause that it asked for and some more at random. No pause is begun
        that might be longer than the time that is left, so whether there is one is not left to chance."""
        stage = self._stage
        if stage.final or stage.tries.total() > self._policy.retries:
            return None
        worth_waiting_s = _LONGEST_WAIT_WITH_FALLBACK_S if self._queue else _LONGEST_WAIT_S
        for name in sorted(stage.tried, key=stage.tries.__getitem__):
            error = self._errors.get(name)
            if error is None or error.kind in _ELSEWHERE_ONLY or self._has_opened(name):
                continue
            asked_s, own_s = error.retry_after_s or 0.0, longest_backoff_s(stage.tries[name])
            if max(asked_s, own_s) <= worth_waiting_s and asked_s + own_s <= longest_wait_s:
                return Step(stage.tried[name], wait_s=asked_s + backoff_s(stage.tries[name], self._world.random))
        return None

    def _has_opened(self, deployment: str) -> bool:
        """Open since we tried. The pause after a 429 is what waiting is for."""
        health = self._world.view([deployment]).get(deployment, UNKNOWN)
        return health.admission is not Admission.ALL and health.why != ErrorKind.RATE_LIMITED.value

    def _enter(self, name: str) -> None:
        if name in self._entered:
            return
        self._entered.add(name)
        self._queue += [other for other in self._known(self._policy.fallbacks, self._names(name)) if other not in self._queue]
        self._stage = _Stage(name)
        strategy = self._catalogue.strategy(name, self._policy.strategy)
        candidates = self._candidates(name, strategy)
        if not candidates and (others := self._catalogue.candidates(name, strategy)):
            self._refusal = self._refusal or no_match(name, [one.deployment for one in others], self._world.tags)
        able = self._able(candidates)
        fitting = self._fitting(name, [one for one in able if one.id not in self._tried])
        if fitting:
            self._line_up(strategy, fitting)

    def _candidates(self, name: str, strategy: Strategy) -> list[Candidate]:
        """Those behind a name that the request's tags leave."""
        found = self._catalogue.candidates(name, strategy)
        if not self._catalogue.tagged:
            return found
        left = chosen([one.deployment for one in found], self._world.tags)
        return [one for one in found if one.id in left]

    def _able(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        able = []
        for candidate in candidates:
            refusal = self._world.refusal(candidate.deployment)
            if refusal is None:
                able.append(candidate)
            else:
                self._refusal = self._refusal or refusal
        return able

    def _fitting(self, name: str, candidates: list[Candidate]) -> list[Candidate]:
        """Those whose window surely is not too small. When all are, and the configuration names others, none: those are next.
        When it does not, all: the provider is the judge."""
        elsewhere = [
            other
            for other in self._known(self._policy.context_window_fallbacks, self._names(name))
            if other not in self._entered and self._candidates(other, self._policy.strategy)
        ]
        windows = {one.deployment.profile.max_input_tokens for one in candidates}
        if windows <= {None} or (len(windows) == 1 and not elsewhere):
            return candidates
        needed = self._world.least_tokens()
        fitting = [one for one in candidates if (one.deployment.profile.max_input_tokens or needed) >= needed]
        if not fitting and elsewhere:
            self._queue = [*elsewhere, *(other for other in self._queue if other not in elsewhere)]
            return []
        return fitting or candidates

    def _line_up(self, strategy: Strategy, candidates: Sequence[Candidate]) -> None:
        view = self._world.view([one.id for one in candidates])
        mix = self._world.mix() if strategy is Strategy.COST_BASED else TokenMix()
        now = Circumstances(self._stage.name, self._world.random, self._world.rota, view, self._world.stream, mix)
        usable = []
        for one in candidates:
            health = view.get(one.id, UNKNOWN)
            if health.usable:
                usable.append(one)
            else:
                self._blocked.append((health.opens_in_ms, health.why))
        due = {one.id for one in usable if view.get(one.id, UNKNOWN).admission is Admission.PROBE}
        healthy = order(strategy, [one for one in usable if one.id not in due], now)
        probes = order(strategy, [one for one in usable if one.id in due], now)
        self._stage.first = _with_probes(healthy, probes)

    def _go_elsewhere(self, fallbacks: Mapping[str, tuple[str, ...]], step: Step, others: list[Step]) -> None:
        names = (step.deployment.model_name, *self._names(self._stage.name), self._asked)
        targets = [name for name in self._known(fallbacks, names) if name not in self._entered]
        self._stage = _Stage(self._stage.name, others, final=True)
        self._queue = targets
        self._over = not others and not targets

    def _names(self, name: str) -> tuple[str, ...]:
        """Under which names fallbacks of a stage may be configured: its own, then its models'."""
        try:
            return tuple(dict.fromkeys((name, *self._catalogue.resolve(name))))
        except GatewayError:
            return (name,)

    def _known(self, fallbacks: Mapping[str, tuple[str, ...]], names: Sequence[str]) -> list[str]:
        """The configured fallbacks of these names, in order. What does not exist is passed over; the loader warned of it."""
        listed = [target for name in names for target in self._listed(fallbacks, name)]
        return list(dict.fromkeys(target for target in listed if self._catalogue.knows(target)))

    def _listed(self, fallbacks: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
        route = self._catalogue.routes.get(name) if fallbacks is self._policy.fallbacks else None
        return (*(route.fallback_models if route else ()), *fallbacks.get(name, ()))


def _with_probes(healthy: Sequence[Candidate], probes: Sequence[Candidate]) -> list[Step]:
    """One probe goes before the healthy ones of its rank: behind them it would never come. The rest are a last resort."""
    steps = [Step(one.deployment) for one in healthy]
    if probes:
        place = sum(one.rank < probes[0].rank for one in healthy)
        steps.insert(place, Step(probes[0].deployment, probe=True))
    return [*steps, *(Step(one.deployment, probe=True) for one in probes[1:])]


def _with_more_room(steps: Sequence[Step], deployment: Deployment) -> list[Step]:
    had = deployment.profile.max_input_tokens
    return [step for step in steps if had is not None and (step.deployment.profile.max_input_tokens or 0) > had]


_LONG_S = 30 * 24 * 3600
"""Longer than anybody forces a breaker open who means to see it closed again."""


def _all_left_alone(name: str, blocked: Sequence[tuple[int, str]]) -> GatewayError:
    in_s = max(min(opens_in_ms for opens_in_ms, _ in blocked) / 1000, 1.0)
    if all(why == ErrorKind.RATE_LIMITED.value for _, why in blocked):
        message = f"Every deployment of {name!r} is rate limited by its provider; the next is free in {in_s:.0f} s."
        return GatewayError(ErrorKind.RATE_LIMITED, message, retry_after_s=in_s)
    if all(why == FORCED for _, why in blocked):
        known = in_s <= _LONG_S  # else until it is taken back, and nobody knows when that will be
        until = f" for another {in_s:.0f} s" if known else ""
        message = f"Every deployment of {name!r} was taken out of use by an administrator{until}."
        return GatewayError(ErrorKind.UNAVAILABLE, message, retry_after_s=in_s if known else None)
    message = f"Every deployment of {name!r} is failing and left alone; the next is tried again in {in_s:.0f} s."
    return GatewayError(ErrorKind.UNAVAILABLE, message, retry_after_s=in_s)


def longest_backoff_s(repeat: int, *, base_s: float = 0.25, cap_s: float = 8.0) -> float:
    """The longest pause of our own before the `repeat`th further try: 0.25 s, twice that each time, at most 8 s."""
    longest_s: float = min(cap_s, base_s * 2 ** (repeat - 1))
    return longest_s


def backoff_s(repeat: int, random: Random) -> float:
    """Full jitter: anything up to `longest_backoff_s`, on top of what the provider asked for. Requests that failed together
    come back spread over the whole time, even where a provider told all of them the same moment."""
    return random.uniform(0.0, longest_backoff_s(repeat))
