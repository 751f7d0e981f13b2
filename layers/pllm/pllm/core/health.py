"""What is known of a deployment's health when a request is routed: sums over minutes, blended, and the breaker's word.

The fleet shares sums because sums commute: any environment may add to them in any order. Averages are made here, by the
reader, from the last three minutes with weights 1, 1/2 and 1/4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from pllm.core.breaker import Admission, Breaker

MINUTES = 3
_WEIGHTS = (1.0, 0.5, 0.25)


@dataclass(slots=True)
class Sums:
    """One deployment's minute. `latency_ms` and `first_ms` are sums over `latencies` and `firsts` answers: the whole
    answer, and the first event of a stream. `tokens`: prompt and answer together."""

    ok: int = 0
    failed: int = 0
    latency_ms: int = 0
    latencies: int = 0
    first_ms: int = 0
    firsts: int = 0
    tokens: int = 0

    def add(self, other: "Sums") -> None:
        for name in SUM_FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __add__(self, other: "Sums") -> "Sums":
        """Field by field: every request adds those of every deployment that it may go to."""
        return Sums(
            self.ok + other.ok,
            self.failed + other.failed,
            self.latency_ms + other.latency_ms,
            self.latencies + other.latencies,
            self.first_ms + other.first_ms,
            self.firsts + other.firsts,
            self.tokens + other.tokens,
        )

    @property
    def empty(self) -> bool:
        return not any(getattr(self, name) for name in SUM_FIELDS)


SUM_FIELDS = tuple(item.name for item in fields(Sums))


@dataclass(frozen=True, slots=True)
class DeploymentHealth:
    """What routing may know of a deployment.

    latency_ms, first_ms: blended means, None where there was no answer within the last minutes. in_flight: requests being
    answered now, over the fleet (estimated) and here. requests, tokens: of this minute, over the fleet. error_ratio: failed
    share of the last minutes' requests.
    """

    admission: Admission = Admission.ALL
    opens_in_ms: int = 0
    latency_ms: float | None = None
    first_ms: float | None = None
    in_flight: float = 0.0
    requests: int = 0
    tokens: int = 0
    error_ratio: float = 0.0
    generation: int = 0
    why: str = ""

    @property
    def usable(self) -> bool:
        return self.admission is not Admission.NONE


HealthView = Mapping[str, DeploymentHealth]
"""Deployment id -> health. An id that is not in it is healthy and unknown."""

UNKNOWN = DeploymentHealth()


def blended(breaker: Breaker, minutes: Sequence[Sums], elapsed_s: float, local_in_flight: int, now_ms: int) -> DeploymentHealth:
    """One deployment's health. `minutes`: this minute, the one before, and the one before that; `elapsed_s`: of this one."""
    this = minutes[0]
    failed, ok = _weighted([sums.failed for sums in minutes]), _weighted([sums.ok for sums in minutes])
    return DeploymentHealth(
        admission=breaker.admits(now_ms),
        opens_in_ms=breaker.opens_in_ms(now_ms),
        latency_ms=_mean([sums.latency_ms for sums in minutes], [sums.latencies for sums in minutes]),
        first_ms=_mean([sums.first_ms for sums in minutes], [sums.firsts for sums in minutes]),
        in_flight=local_in_flight + _concurrency(minutes, elapsed_s),
        requests=this.ok + this.failed,
        tokens=this.tokens,
        error_ratio=failed / (failed + ok) if failed else 0.0,
        generation=breaker.generation,
        why=breaker.why,
    )


def _weighted(minutes: Sequence[int]) -> float:
    return sum(weight * number for weight, number in zip(_WEIGHTS, minutes, strict=False))


def _mean(totals: Sequence[int], counts: Sequence[int]) -> float | None:
    weight = _weighted(counts)
    return _weighted(totals) / weight if weight else None


def _concurrency(minutes: Sequence[Sums], elapsed_s: float) -> float:
    """Little's law: the time that answers took, over the time in which they were given, is how many ran at once."""
    spent_ms = minutes[0].latency_ms + (minutes[1].latency_ms if len(minutes) > 1 else 0)
    return spent_ms / ((elapsed_s + (60.0 if len(minutes) > 1 else 0.0)) * 1000 or 1.0)
