"""What is said of health probes, and which of it is counted."""

from typing import Any

import pytest
from tests.support.gateway import deployment

from pllm.core.evidence import Evidence
from pllm.core.probing import Due, Reason
from pllm.telemetry.emf import UNITS
from pllm.telemetry.probe_line import emit_probe, emit_run

DUE = Due(deployment("http://up", id="m/1"), Reason.IDLE, Evidence.MODEL)


def probed(outcome: str, why: str = "") -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    emit_probe(lines.append, DUE, outcome, why, 12.34567, 7)
    (line,) = lines
    return line


def test_a_line_says_who_was_asked_why_and_what_came_of_it() -> None:
    assert probed("ok") == {
        "level": "INFO",
        "message": "probe",
        "timestamp": 7,
        "deployment": "m/1",
        "model": "m",
        "provider": "openai",
        "reason": "idle",
        "asked": "model",
        "outcome": "ok",
        "latency_ms": 12.346,
    }


@pytest.mark.parametrize(("outcome", "why", "level"), [("failed", "upstream_timeout", "WARN"), ("unclear", "", "INFO")])
def test_only_a_failure_is_a_warning_and_only_it_has_an_error(outcome: str, why: str, level: str) -> None:
    line = probed(outcome, why)
    assert (line["level"], line.get("error", "")) == (level, why)


def test_a_run_is_two_metrics_of_the_function_and_the_other_outcomes_beside_them() -> None:
    lines: list[dict[str, Any]] = []
    emit_run(lines.append, "stack-Rollup", {"ok": 2, "failed": 0, "unclear": 1, "lost": 0, "late": 3}, 7)
    (line,) = lines
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (line["_aws"]["Timestamp"], directive["Dimensions"], line["function"]) == (7, [["function"]], "stack-Rollup")
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        name: UNITS[name] for name in ("ProbesOk", "ProbesFailed")
    }
    assert (line["ProbesOk"], line["ProbesFailed"]) == (2, 0)
    assert (line["probes_unclear"], line["probes_lost"], line["probes_late"]) == (1, 0, 3)
