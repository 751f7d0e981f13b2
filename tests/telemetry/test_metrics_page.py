"""docs/metrics.md names every metric, and none that is not there."""

import re
from pathlib import Path

from pllm.admin.metrics import families
from pllm.core.fleet import Fleet
from pllm.core.record import RequestRecord
from pllm.core.routing import Catalogue
from pllm.telemetry.emf import UNITS, emf_line

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def rows(table: str) -> list[tuple[str, ...]]:
    """A table's rows, code marks off, without the head."""
    (text,) = re.findall(rf"<!-- table: {table} -->\n(.*?)<!-- end -->", PAGE.read_text("utf-8"), re.DOTALL)
    cells = [tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | ")) for line in text.splitlines()]
    return cells[2:]


def test_the_page_has_every_metric_of_cloudwatch_with_its_unit() -> None:
    assert {name: unit for name, unit, _, _ in rows("cloudwatch")} == UNITS


def test_the_page_says_by_what_they_are_told() -> None:
    record = RequestRecord(
        "r", "chat", 0.0, model="m", provider="p", stream=True, attempts=2, failed=["d: x"], status=200, first_event_s=1.0,
        ended_s=2.0, prompt_tokens=1, completion_tokens=1, cached_tokens=1, cost_micro_usd=1, cold_start=True, degraded=True,
        estimated=True, auth_s=1.0, admit_s=1.0, route_s=1.0, translate_s=1.0,
    )  # fmt: skip
    told = {
        metric["Name"]: "model" if ["model"] in directive["Dimensions"] else "function"
        for directive in emf_line(record, "f", 0)["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }
    page = {name: by for name, _, by, _ in rows("cloudwatch")}
    assert len(told) > 15
    assert {name: page[name] for name in told} == told


def test_the_page_has_every_metric_of_prometheus_with_its_labels() -> None:
    there = {one.name: (one.kind, ", ".join(one.labels)) for one in families(Fleet(0.0), Catalogue())}
    assert {name: (kind, labels) for name, kind, labels, _ in rows("prometheus")} == there
