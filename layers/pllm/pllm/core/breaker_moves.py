"""What is asked of a breaker, for `breaker.moved` and the shared table: each move with its times worked out."""

from pllm.core.breaker import FORCED, UNTIL_RELEASED_MS, Asked, Breaker, Circuit, Move
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.errors import ErrorKind

_DEFAULT_COOL_MS = 5_000
_LONGEST_COOL_MS = 3_600_000


def trip(policy: BreakerPolicy, generation: int, now_ms: int, why: str) -> Asked:
    """Open it, for the failures seen in `generation`. A refused credential does not mend itself in seconds."""
    long = why == ErrorKind.UPSTREAM_AUTH.value
    cooldown_ms = policy.max_cooldown_ms if long else policy.cooldown_ms
    return Asked(Move.TRIP, now_ms, generation, now_ms + cooldown_ms, cooldown_ms, why)


def cool(generation: int, now_ms: int, retry_after_s: float | None) -> Asked:
    """Leave it alone for as long as a 429 asked, five seconds when it did not say, an hour at most."""
    pause_ms = _DEFAULT_COOL_MS if retry_after_s is None else int(retry_after_s * 1000)
    return Asked(Move.COOL, now_ms, generation, now_ms + min(pause_ms, _LONGEST_COOL_MS), why=ErrorKind.RATE_LIMITED.value)


def lease_ms(policy: BreakerPolicy, timeout_s: float) -> int:
    """Longer than a probe with this upstream timeout can live, by any two clocks within the bound."""
    return int(timeout_s * 1000) + 2 * policy.clock_bound_ms + 1_000


def claim(policy: BreakerPolicy, probe: str, now_ms: int, timeout_s: float, former_probe: str = "") -> Asked:
    """Be the probe. `former_probe`: a claim of one's own whose answer was lost, and which never ran."""
    until_ms = now_ms + lease_ms(policy, timeout_s)
    return Asked(Move.CLAIM, now_ms, probe=probe, probe_until_ms=until_ms, former_probe=former_probe)


def succeed(probe: str, now_ms: int) -> Asked:
    """The probe was answered: close."""
    return Asked(Move.SUCCEED, now_ms, probe=probe)


def fail(policy: BreakerPolicy, breaker: Breaker, probe: str, now_ms: int, why: str, retry_after_s: float | None) -> Asked:
    """The probe failed: open for twice as long as the last time, or for as long as the provider asked when that is more."""
    doubled = max(2 * breaker.cooldown_ms, policy.cooldown_ms)
    cooldown_ms = policy.max_cooldown_ms if why == ErrorKind.UPSTREAM_AUTH.value else min(doubled, policy.max_cooldown_ms)
    asked_ms = min(int((retry_after_s or 0.0) * 1000), _LONGEST_COOL_MS)
    until_ms = now_ms + max(cooldown_ms, asked_ms)
    return Asked(Move.FAIL, now_ms, until_ms=until_ms, cooldown_ms=cooldown_ms, why=why, probe=probe)


def abandon(probe: str, now_ms: int) -> Asked:
    """The probe ended without telling anything of the deployment (its client left): the next may probe at once."""
    return Asked(Move.ABANDON, now_ms, until_ms=now_ms, probe=probe)


def force_open(generation: int, now_ms: int, until_ms: int = UNTIL_RELEASED_MS, note: str = "") -> Asked:
    """An administrator's: nothing is sent until then, whatever happens; after that, a probe."""
    return Asked(Move.FORCE_OPEN, now_ms, generation, until_ms, why=FORCED, forced_until_ms=until_ms, note=note)


def force_close(generation: int, now_ms: int, until_ms: int = UNTIL_RELEASED_MS, note: str = "") -> Asked:
    """An administrator's: it is used until then, whatever happens; a running probe's verdict will be ignored."""
    return Asked(Move.FORCE_CLOSE, now_ms, generation, why=FORCED, forced_until_ms=until_ms, note=note)


def release(breaker: Breaker, now_ms: int) -> Asked | None:
    """An administrator's: what happens decides again, beginning with a probe where it was open. None where it does already."""
    if not breaker.forced(now_ms):
        return None
    move = Move.FORCE_OPEN if breaker.state is Circuit.OPEN else Move.FORCE_CLOSE
    return Asked(move, now_ms, breaker.generation, now_ms if move is Move.FORCE_OPEN else 0)
