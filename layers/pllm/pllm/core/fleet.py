"""What the table knows of the whole fleet at one moment: the one source of the stats page and of `/metrics`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pllm.core.breaker import Admission, Breaker
from pllm.core.counters import ABANDONED, ATTEMPT, PROBE, UNCLEAR, Series, Tallies, Tally, summed
from pllm.core.health import Sums
from pllm.core.usage_rows import Amounts

WINDOW_MINUTES = 15
"""How far back "lately" goes: as far as the minutes of deployments are kept."""

_NO_ERRORS = frozenset({"slower", UNCLEAR})  # a hedged attempt that was given up; a probe that told nothing
_OURS = frozenset({ATTEMPT, ABANDONED, PROBE})


@dataclass(frozen=True, slots=True)
class Failure:
    """The last thing that went wrong with a deployment. `kind` is an errors.ErrorKind's value, `times` its count so far."""

    kind: str
    at_ms: int
    times: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """`minutes`: (epoch minute, deployment) -> its sums, WINDOW_MINUTES back. `counters`: since the table was made.
    `answers`: usage of the same minutes, by the deployment that was asked last. `active_users`: how many different callers
    asked for a model in them."""

    now_s: float
    minutes: Mapping[tuple[int, str], Sums] = field(default_factory=dict)
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    counters: Tallies = field(default_factory=dict)
    answers: Mapping[str, Amounts] = field(default_factory=dict)
    active_users: int = 0

    @property
    def minute(self) -> int:
        return int(self.now_s) // 60

    @property
    def window_start_s(self) -> int:
        return (self.minute - WINDOW_MINUTES + 1) * 60

    def window(self, deployment: str) -> Sums:
        """A deployment's attempts of the window."""
        found = Sums()
        for (_, one), sums in self.minutes.items():
            if one == deployment:
                found.add(sums)
        return found

    def this_minute(self, deployment: str) -> Sums:
        return self.minutes.get((self.minute, deployment)) or Sums()

    def breaker(self, deployment: str) -> Breaker:
        return self.breakers.get(deployment) or Breaker()

    def usable(self, deployment: str) -> bool:
        """Whether a request, or at least a probe, may be sent there now."""
        return self.breaker(deployment).admits(int(self.now_s * 1000)) is not Admission.NONE

    def requests(self) -> Iterator[tuple[Series, Tally]]:
        """Series of clients' requests: failed attempts and probes left out."""
        return ((series, tally) for series, tally in self.counters.items() if series.endpoint not in _OURS)

    def probes(self) -> Iterator[tuple[Series, Tally]]:
        """Series of health probes."""
        return ((series, tally) for series, tally in self.counters.items() if series.endpoint == PROBE)

    def model_requests(self) -> Iterator[tuple[Series, Tally]]:
        """Those of requests for a model that there is."""
        return ((series, tally) for series, tally in self.requests() if series.model)

    def model_use(self) -> Iterator[tuple[Series, Tally]]:
        """Those, and what attempts used that were given up for another."""
        yield from self.model_requests()
        yield from ((series, tally) for series, tally in self.counters.items() if series.endpoint == ABANDONED)

    def totals(self) -> dict[str, Tally]:
        """By deployment: the requests that ended there, whatever came of them, and all that was used there."""
        by_deployment = summed((Series("", deployment=one.deployment), tally) for one, tally in self.model_use())
        return {series.deployment: tally for series, tally in by_deployment.items()}

    def last_success_ms(self) -> dict[str, int]:
        """By deployment: of requests and of probes."""
        return _latest((one, at) for one, at in (*self.model_requests(), *self.probes()) if not one.error)

    def last_heard_ms(self) -> dict[str, int]:
        """By deployment: when anything at all was last heard of it, good or bad, to the minute where only that is known."""
        found = _latest(self.counters.items())
        for (minute, deployment), sums in self.minutes.items():
            if not sums.empty:
                found[deployment] = max(min((minute + 1) * 60_000, int(self.now_s * 1000)), found.get(deployment, 0))
        return found

    def last_failure(self) -> dict[str, Failure]:
        """By deployment: of attempts that another one made good and of probes as well as of requests."""
        found: dict[str, Failure] = {}
        for series, tally in self.counters.items():
            if not series.error or not series.deployment or series.error in _NO_ERRORS:
                continue
            known = found.get(series.deployment)
            if known is None or tally.at_ms > known.at_ms:
                found[series.deployment] = Failure(series.error, tally.at_ms, tally.requests)
        return found


def _latest(tallies: Iterable[tuple[Series, Tally]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for series, tally in tallies:
        if series.deployment:
            found[series.deployment] = max(tally.at_ms, found.get(series.deployment, 0))
    return found
