"""What is said of limits, and which of it is counted."""

from typing import Any

from pllm.core.clock import ManualClock
from pllm.telemetry.limit_line import emit_limit_event


def lines(event: dict[str, str | int | bool]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    emit_limit_event(found.append, "stack-Gateway", ManualClock(1_800_000_000.5), event)
    return found


def test_a_budget_that_is_nearly_spent_is_a_metric_of_the_function_and_a_line_that_says_whose() -> None:
    metric, line = lines({"event": "budget_nearly_spent", "scope": "team/t", "budget_micro_usd": 10, "left_micro_usd": 0})
    (directive,) = metric["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["function"]]
    assert directive["Metrics"] == [{"Name": "BudgetNearlySpent", "Unit": "Count"}]
    assert (metric["function"], metric["BudgetNearlySpent"]) == ("stack-Gateway", 1)
    assert line["message"] == "budget nearly spent"
    assert (line["scope"], line["budget_micro_usd"], line["left_micro_usd"]) == ("team/t", 10, 0)
    assert line["timestamp"] == metric["_aws"]["Timestamp"] == 1_800_000_000_500


def test_what_could_not_be_settled_is_a_line_with_all_its_numbers_and_no_metric() -> None:
    (line,) = lines({"event": "unsettled", "scope": "key/a", "reason": "timeout", "kept": True, "used_micro_usd": 7})
    assert (line["level"], line["message"], line["event"]) == ("WARN", "limits", "unsettled")
    assert (line["reason"], line["kept"], line["used_micro_usd"]) == ("timeout", True, 7)
