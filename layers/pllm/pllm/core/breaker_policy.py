"""When a breaker opens: which outcomes speak against a deployment, and how many of them are enough."""

from dataclasses import dataclass
from enum import Enum, auto

from pllm.core.config.schema import Router
from pllm.core.errors import ErrorKind, GatewayError


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and for how long. `clock_bound_ms`: the most that two environments' clocks are assumed to differ."""

    enabled: bool = True
    min_failures: int = 5
    failure_ratio: float = 0.5
    cooldown_ms: int = 30_000
    max_cooldown_ms: int = 300_000
    clock_bound_ms: int = 1_000

    @staticmethod
    def of(router: Router) -> "BreakerPolicy":
        """As the configuration's `router` section says."""
        given = router.circuit_breaker
        return BreakerPolicy(
            router.circuit_breaker_enabled,
            given.min_failures,
            given.failure_ratio,
            int(given.cooldown * 1000),
            int(given.max_cooldown * 1000),
        )


class Impact(Enum):
    """What an outcome says of a deployment. NONE: nothing, the request itself was at fault, or we were."""

    NONE = auto()
    FAILURE = auto()
    RATE_LIMITED = auto()
    REFUSED = auto()


_FAILURES = frozenset(
    {
        ErrorKind.UPSTREAM_ERROR,
        ErrorKind.UPSTREAM_OVERLOADED,
        ErrorKind.UPSTREAM_TIMEOUT,
        ErrorKind.UPSTREAM_UNREACHABLE,
        ErrorKind.UPSTREAM_PROTOCOL,
        ErrorKind.STREAM_BROKEN,
    }
)


def impact_of(error: GatewayError) -> Impact:
    """Timeouts, lost connections, 5xx and 529 count. A 429 asks for a pause. A refused credential is out for long. What
    the caller did wrong never counts."""
    if error.kind in _FAILURES:
        return Impact.FAILURE
    if error.kind is ErrorKind.RATE_LIMITED:
        return Impact.RATE_LIMITED
    return Impact.REFUSED if error.kind is ErrorKind.UPSTREAM_AUTH else Impact.NONE


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many requests of one minute ended well and how many failed, over the whole fleet."""

    ok: int = 0
    failed: int = 0


def should_trip(policy: BreakerPolicy, this: Outcomes, last: Outcomes, elapsed: float) -> bool:
    """Whether the failures of this minute, of which the share `elapsed` (0 to 1) is over, and of what a minute back from now
    still holds of the last one, are enough."""
    rest = 1.0 - min(max(elapsed, 0.0), 1.0)
    failed = this.failed + last.failed * rest
    total = failed + this.ok + last.ok * rest
    return policy.enabled and failed >= policy.min_failures and failed >= policy.failure_ratio * total


RECENT_MS = 10_000
"""How far back `fails_now` looks."""


def fails_now(policy: BreakerPolicy, since: Outcomes, this: Outcomes) -> bool:
    """Whether what happened between two looks at one minute's sums, a few seconds apart, is enough by itself. Sums only grow,
    so their difference is what happened in between: an outage is seen in seconds, however well the minute had begun."""
    return should_trip(policy, Outcomes(this.ok - since.ok, this.failed - since.failed), Outcomes(), 1.0)
