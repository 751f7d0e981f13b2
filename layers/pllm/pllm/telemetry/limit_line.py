"""The lines that tell of limits: what could not be asked or settled, and budgets of which less than a tenth is left."""

from collections.abc import Mapping

from pllm.core.clock import Clock
from pllm.telemetry.emf import event_line
from pllm.telemetry.log import Emit

_NEARLY_SPENT = "budget_nearly_spent"


def emit_limit_event(emit: Emit, function: str, clock: Clock, event: Mapping[str, str | int | bool]) -> None:
    """`event` has a name under "event" and its numbers. Of a budget there is a metric, too, for alarms."""
    now_ms = int(clock.wall_s() * 1000)
    spent = event["event"] == _NEARLY_SPENT
    if spent:
        emit(event_line({"BudgetNearlySpent": 1}, function, now_ms))
    message = "budget nearly spent" if spent else "limits"
    emit({"level": "WARN", "message": message, "timestamp": now_ms, **event})
