"""The dashboard, the alarms and the saved queries name what the code really emits: compared with a run, so they cannot rot."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.support.control import looked_out
from tests.support.traffic import CATALOGUE, Traffic, run

from pllm.admin.app import admin_app
from pllm.admin.services import AdminServices, Running
from pllm.core.clock import ManualClock
from pllm.core.config.schema import Config
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.principal import Principal
from pllm.telemetry.emf import UNITS

Template = dict[str, Any]
Named = tuple[str, tuple[str, ...]]
"""A metric's name and the names of its dimensions."""

GRID = 24
OURS = "<MetricsNamespace>"
"""The parameter, filled in."""
SEARCH = re.compile(rf"""SEARCH\('\{{{OURS},([a-z,]+)\}} MetricName="(\w+)"', '(\w+)', (\d+)\)""")
# Of AWS's own services, from their documentation.
OTHERS = {
    "AWS/Lambda": {"ConcurrentExecutions", "Throttles", "Errors"},
    "AWS/Firehose": {"DeliveryToS3.DataFreshness"},
    "AWS/DynamoDB": {"ReadThrottleEvents", "WriteThrottleEvents", "ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits"},
}


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return asyncio.run(run(200))


def resources(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    found = template["Resources"].items()
    return {name: resource["Properties"] for name, resource in found if resource["Type"] == kind}


def widgets(template: Template) -> list[dict[str, Any]]:
    """The dashboard's body as CloudWatch gets it, its names filled in."""
    (board,) = resources(template, "AWS::CloudWatch::Dashboard").values()
    body = re.sub(r"\$\{([^}]+)\}", r"<\1>", board["DashboardBody"]["Fn::Sub"])
    found: list[dict[str, Any]] = json.loads(body)["widgets"]
    return found


def lines(template: Template) -> Iterator[list[Any]]:
    for widget in widgets(template):
        yield from widget["properties"]["metrics"]


def filtered(template: Template) -> set[Named]:
    """Metrics that CloudWatch makes of log lines."""
    filters = resources(template, "AWS::Logs::MetricFilter").values()
    assert all(
        made["MetricNamespace"] == {"Ref": "MetricsNamespace"} for one in filters for made in one["MetricTransformations"]
    )
    return {(made["MetricName"], ()) for one in filters for made in one["MetricTransformations"]}


def shown(template: Template) -> set[Named]:
    """Every metric of ours on the dashboard."""
    found: set[Named] = set()
    for line in lines(template):
        names = [part for part in line if isinstance(part, str)]
        if names[:1] == [OURS]:
            found.add((names[1], tuple(names[2::2])))
        elif not names and "SEARCH" in line[0]["expression"]:
            match = SEARCH.fullmatch(line[0]["expression"])
            assert match is not None, line
            found.add((match[2], tuple(match[1].split(","))))
    return found


def test_every_metric_on_the_dashboard_is_emitted_under_its_dimensions(template: Template, traffic: Traffic) -> None:
    assert shown(template) - traffic.dimensions() == filtered(template)


def test_every_metric_that_is_emitted_is_on_the_dashboard(template: Template, traffic: Traffic) -> None:
    assert traffic.emitted() - {name for name, _ in shown(template)} == {"AuthFailed"}


def test_the_run_has_every_metric_that_there_is_a_source_for(traffic: Traffic) -> None:
    assert set(UNITS) == traffic.emitted()


def test_metrics_of_aws_go_by_their_names(template: Template) -> None:
    for line in lines(template):
        if isinstance(line[0], str) and line[0] != OURS:
            assert line[1] in OTHERS[line[0]]


def test_widgets_stand_beside_and_not_upon_each_other(template: Template) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in widgets(template):
        place = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not taken & place
        assert all(x < GRID for x, _ in place)
        taken |= place


def test_every_widget_asks_for_the_statistic_in_its_title(template: Template) -> None:
    for widget in widgets(template):
        settings = widget["properties"]
        wanted = re.search(r"\bp\d\d\b", settings["title"])
        assert settings["stat"] == (wanted[0] if wanted else "Sum")
        for line in settings["metrics"]:
            if isinstance(line[0], dict) and "SEARCH" in line[0]["expression"]:
                assert SEARCH.fullmatch(line[0]["expression"])[3] == settings["stat"]  # type: ignore[index]


def alarmed(template: Template) -> Iterator[tuple[str, Named]]:
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        metrics = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", ()) if "MetricStat" in one] or [alarm]
        for metric in metrics:
            if isinstance(metric["Namespace"], str):
                assert metric["MetricName"] in OTHERS[metric["Namespace"]]
                continue
            assert metric["Namespace"] == {"Ref": "MetricsNamespace"}
            yield name, (metric["MetricName"], tuple(one["Name"] for one in metric.get("Dimensions", ())))


def test_every_alarm_watches_what_is_emitted(template: Template, traffic: Traffic) -> None:
    watched = {metric for _, metric in alarmed(template)}
    assert watched <= traffic.dimensions() | filtered(template)
    assert {name for name, _ in watched} == {
        *("Faults", "Requests", "BreakerOpened", "BudgetExceeded", "BudgetNearlySpent", "StateDegraded", "AdminAuthFailures"),
    }


def test_every_alarm_tells_the_topic_and_is_quiet_when_nothing_happens(template: Template) -> None:
    for alarm in resources(template, "AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]


def fields_of(query: str) -> set[str]:
    """The names that a query reads, less those that it makes and CloudWatch's own."""
    text = re.sub(r'"[^"]*"|#.*', "", query)
    made = set(re.findall(r"\bas (\w+)", text))
    text = re.sub(r"\bas \w+|\w+\(\*\)", "", text)
    words = set(re.findall(r"(?<![\w@.])[a-z_]+(?=\b)(?!\()", text))
    return words - made - {"filter", "stats", "sort", "fields", "limit", "by", "and", "desc", "asc"}


def test_every_saved_query_reads_what_is_logged(template: Template, traffic: Traffic) -> None:
    logged = {name for line in traffic.lines for name in line if "_aws" not in line}
    queries = resources(template, "AWS::Logs::QueryDefinition")
    assert len(queries) >= 5
    for name, query in queries.items():
        fields = fields_of(query["QueryString"])
        assert fields, name
        assert fields <= logged, name


def test_the_fields_of_a_query_are_found() -> None:
    query = (
        'filter message = "request" and ispresent(error)\n| stats count(*) as n, latest(id) as last by a.0, b\n| sort n desc'
    )
    assert fields_of(query) == {"message", "error", "id", "a", "b"}


async def test_the_control_planes_log_line_is_what_its_filter_looks_for(template: Template) -> None:
    async def nobody(scope: object) -> Principal:
        raise GatewayError(ErrorKind.AUTHENTICATION, "Incorrect API key provided.")

    found: list[dict[str, Any]] = []
    running = Running(Config(model_list=()), CATALOGUE, "etag", "test")
    services = AdminServices(nobody, running, ManualClock(), lambda: "r", found.append, looked_out)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=admin_app(services)), base_url="http://a") as client:
        assert (await client.get("/api/admin/keys")).status_code == 401
    (one,) = resources(template, "AWS::Logs::MetricFilter").values()
    wanted = dict(re.findall(r'\$\.(\w+) = "(\w+)"', one["FilterPattern"]))
    assert wanted
    assert [line for line in found if all(line.get(name) == value for name, value in wanted.items())] == found


def test_the_dashboard_and_the_alarms_can_be_left_out(template: Template) -> None:
    conditions = {name: one.get("Condition") for name, one in template["Resources"].items()}
    assert conditions["OperatorDashboard"] == "WithDashboard"
    alarms = {name: conditions[name] for name in resources(template, "AWS::CloudWatch::Alarm")}
    assert alarms.pop("ProbeAlarm") == "ProbesWithAlarms"
    assert alarms.pop("ExportAlarm") == "WithExportAlarm"
    exported = {"Fn::And": [{"Condition": "WithRequestExport"}, {"Condition": "WithAlarms"}]}
    assert template["Conditions"]["WithExportAlarm"] == exported
    assert template["Conditions"]["ProbesWithAlarms"] == {"Fn::And": [{"Condition": "WithProbes"}, {"Condition": "WithAlarms"}]}
    assert {*alarms.values(), conditions["AlarmTopic"]} == {"WithAlarms"}
    assert conditions["AlarmSubscription"] == "WithAlarmEmail"
    address = re.compile(template["Parameters"]["AlarmEmail"]["AllowedPattern"])
    assert [bool(address.fullmatch(text)) for text in ("", "ops@example.com", "nobody")] == [True, True, False]
