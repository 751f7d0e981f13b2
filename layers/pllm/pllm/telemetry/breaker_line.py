"""The lines that tell of a breaker that moved: a log line for people, a metric for alarms."""

from pllm.core.breaker import Breaker, Circuit, Move
from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind
from pllm.telemetry.emf import event_line
from pllm.telemetry.log import Emit

_SAID = {
    Move.TRIP: "breaker opened",
    Move.FAIL: "breaker opened again",
    Move.SUCCEED: "breaker closed",
    Move.FORCE_OPEN: "breaker opened by hand",
    Move.FORCE_CLOSE: "breaker closed by hand",
    Move.COOL: "deployment cools down",
}
_OPENING = frozenset({Move.TRIP, Move.FAIL})


def emit_move(emit: Emit, function: str, clock: Clock, deployment: str, move: Move, breaker: Breaker) -> None:
    """Claims and what came of nothing are not worth a line. A refused credential is an error: it does not mend itself."""
    if move not in _SAID:
        return
    now_ms = int(clock.wall_s() * 1000)
    if move in _OPENING:
        emit(event_line({"BreakerOpened": 1}, function, now_ms))
    opened = breaker.state is Circuit.OPEN
    emit(
        {
            "level": "ERROR" if opened and breaker.why == ErrorKind.UPSTREAM_AUTH.value else "WARN" if opened else "INFO",
            "message": _SAID[move],
            "timestamp": now_ms,
            "deployment": deployment,
            "why": breaker.why,
            "for_ms": breaker.opens_in_ms(now_ms),
        }
    )
