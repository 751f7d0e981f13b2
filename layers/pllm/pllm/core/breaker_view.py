"""Breakers as JSON: what administrators see and what audit rows keep."""

from pllm.core.breaker import UNTIL_RELEASED_MS, Admission, Breaker, Circuit
from pllm.core.clock import rfc3339
from pllm.core.jsontext import JsonObject

_ADMITS = {Admission.ALL: "all", Admission.PROBE: "probe", Admission.NONE: "none"}


def breaker_view(breaker: Breaker, now_ms: int) -> JsonObject:
    """A breaker as the control plane shows it. `until` is null where nothing ends it but a request or an administrator; a
    breaker that was never moved has no `since`."""
    forced = breaker.forced(now_ms)
    return {
        "state": breaker.state.value,
        "admits": _ADMITS[breaker.admits(now_ms)],
        "forced": forced,
        "why": breaker.why or None,
        "reason": breaker.note if forced and breaker.note else None,
        "since": rfc3339(breaker.since_ms / 1000) if breaker.since_ms else None,
        "until": _until(breaker, now_ms),
        "generation": breaker.generation,
    }


def _until(breaker: Breaker, now_ms: int) -> str | None:
    if breaker.forced(now_ms):
        until_ms = breaker.forced_until_ms
    else:
        until_ms = breaker.probe_until_ms if breaker.state is Circuit.HALF_OPEN else breaker.until_ms
    return rfc3339(until_ms / 1000) if now_ms < until_ms < UNTIL_RELEASED_MS else None
