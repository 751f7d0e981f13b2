"""The metric line: valid, bounded, and with CloudWatch's own limits in mind."""

import json

from pllm.core.pricing import Counts
from pllm.core.record import RequestRecord
from pllm.telemetry.emf import NAMESPACE, UNITS, abandoned_lines, emf_line

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
MOST_METRICS = 100
MOST_DIMENSIONS = 30


def full() -> RequestRecord:
    return RequestRecord(
        "r-1", "chat", 10.0, model="m", principal="key/1", stream=True, deployment="m@p/x", provider="p", upstream_model="x",
        attempts=2, failed=["m@q/x: upstream_error"], status=200, broken=True, finish="stop", upstream_s=1.5,
        first_event_s=10.5, ended_s=12.0, prompt_tokens=100, completion_tokens=30, cached_tokens=10, cost_micro_usd=1_250,
        cold_start=True, degraded=True, estimated=True, auth_s=0.001, admit_s=0.002, route_s=0.003, translate_s=0.004,
    )  # fmt: skip


def test_a_full_request_has_every_metric_that_is_not_a_refusal() -> None:
    line = emf_line(full(), "f", 7)
    of_their_own = {"BreakerOpened", "BudgetNearlySpent", "ProbesOk", "ProbesFailed"}
    assert set(UNITS) - set(line) == of_their_own | {"RateLimited", "BudgetExceeded", "AuthFailed"}
    assert {name: line[name] for name in ("Latency", "OverheadMs", "TimeToFirstToken", "OutputTokensPerSecond")} == {
        "Latency": 2000.0,
        "OverheadMs": 500.0,
        "TimeToFirstToken": 500.0,
        "OutputTokensPerSecond": 20.0,
    }
    assert [line[f"{part}Ms"] for part in ("Auth", "Admit", "Route", "Translate")] == [1.0, 2.0, 3.0, 4.0]
    assert (line["CostUSD"], line["Fallbacks"], line["Retries"], line["StreamBroken"]) == (0.00125, 1, 1, 1)
    assert (line["estimated"], line["EstimatedRequests"], line["EstimatedCostUSD"]) == (True, 1, 0.00125)


def test_what_a_provider_told_is_no_estimate_and_an_estimate_without_a_price_costs_nothing_known() -> None:
    told = RequestRecord("r", "chat", 0.0, model="m", status=200, cost_micro_usd=7)
    assert not {"estimated", "EstimatedRequests", "EstimatedCostUSD"} & set(emf_line(told, "f", 7))
    unpriced = emf_line(RequestRecord("r", "chat", 0.0, model="m", status=200, estimated=True), "f", 7)
    assert unpriced["EstimatedRequests"] == 1
    assert "EstimatedCostUSD" not in unpriced


def given_up() -> RequestRecord:
    record = full()
    record.used = Counts(100, output=30)
    record.abandon(record)
    return record


def test_an_attempt_that_was_given_up_has_a_line_of_its_own_with_what_it_used_and_no_request() -> None:
    record = given_up()
    (line,) = abandoned_lines(record, "f", 7)
    assert (line["model"], line["provider"], line["request_id"]) == ("m", "p", "r-1")
    estimated = {"EstimatedRequests": 1, "EstimatedCostUSD": 0.00125}
    used = {"PromptTokens": 100, "CompletionTokens": 30, "CachedTokens": 10, "CostUSD": 0.00125} | estimated
    assert {name: line[name] for name in UNITS if name in line} == used
    assert not {*used} & {*emf_line(record, "f", 7)}


def test_every_definition_has_its_value_and_every_dimension_its_name() -> None:
    records = (full(), RequestRecord("r", "health", 0.0, status=200), RequestRecord("r", "chat", 0.0, model="m"))
    lines = [*(emf_line(record, "f", 7) for record in records), *abandoned_lines(given_up(), "f", 7)]
    for made in lines:
        line = json.loads(json.dumps(made))
        assert line["_aws"]["Timestamp"] == 7
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == NAMESPACE
            assert 0 < len(directive["Metrics"]) <= MOST_METRICS
            for metric in directive["Metrics"]:
                assert metric == {"Name": metric["Name"], "Unit": UNITS[metric["Name"]]}
                assert isinstance(line[metric["Name"]], int | float)
            for dimensions in directive["Dimensions"]:
                assert len(dimensions) <= MOST_DIMENSIONS
                assert all(line[name] and isinstance(line[name], str) for name in dimensions)


def test_no_name_is_both_a_dimension_and_something_else() -> None:
    line = emf_line(full(), "f", 7)
    assert len(line) == len(set(line))
    assert not {"function", "model", "provider"} & set(UNITS)


def test_a_model_that_is_not_recorded_makes_no_dimension() -> None:
    line = emf_line(RequestRecord("r", "chat", 0.0, status=404, error="model_not_found"), "f", 7)
    assert [directive["Dimensions"] for directive in line["_aws"]["CloudWatchMetrics"]] == [[["function"]], [["function"]]]
    assert (line["Errors"], line["error.type"]) == (1, "model_not_found")


def test_a_refusal_of_ours_is_a_limit_hit_and_a_providers_is_not() -> None:
    refused = RequestRecord("r", "chat", 0.0, model="m", status=429, error="rate_limit_exceeded")
    assert emf_line(refused, "f", 7)["RateLimited"] == 1
    refused.attempts = 1
    assert "RateLimited" not in emf_line(refused, "f", 7)
    spent = RequestRecord("r", "chat", 0.0, model="m", status=429, error="insufficient_quota")
    assert emf_line(spent, "f", 7)["BudgetExceeded"] == 1
    stranger = RequestRecord("r", "unknown", 0.0, status=401, error="invalid_api_key")
    assert emf_line(stranger, "f", 7)["AuthFailed"] == 1


def test_properties_go_by_the_names_of_opentelemetry() -> None:
    line = emf_line(full(), "f", 7)
    assert line["gen_ai.provider.name"] == "p"
    assert line["gen_ai.usage.input_tokens"] == 100
    assert line["gen_ai.usage.output_tokens"] == 30
    assert line["gen_ai.response.finish_reasons"] == ["stop"]
    assert "principal" not in line
