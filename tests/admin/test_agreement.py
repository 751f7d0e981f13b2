"""What clients saw, the EMF lines, /metrics, the stats page and usage are the same numbers, to the unit."""

import asyncio
import csv
import io
import json
from collections import Counter
from math import ceil
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.traffic import CATALOGUE, Traffic, run
from tests.support.traffic_admin import services_of

from pllm.admin.app import admin_app
from pllm.core.sketch import RELATIVE_ERROR

REQUESTS = 1_000
Sample = tuple[dict[str, str], float]


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return asyncio.run(run(REQUESTS))


async def told(traffic: Traffic, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=admin_app(services_of(traffic)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://admin") as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    return answer


async def scraped(traffic: Traffic) -> dict[str, list[Sample]]:
    """Every sample by its name, as Prometheus's own parser reads them."""
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families((await told(traffic, "/metrics")).text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def total(samples: list[Sample], **labels: str) -> float:
    return sum(value for names, value in samples if labels.items() <= names.items())


async def test_the_metric_lines_say_what_clients_saw(traffic: Traffic) -> None:
    told_by_lines: Counter[str] = Counter()
    for line in traffic.metrics():
        for name in traffic.seen.numbers:
            told_by_lines[name] += line.get(name, 0)
        told_by_lines["micro_usd"] += round(line.get("CostUSD", 0) * 1_000_000)
        told_by_lines["estimated_micro_usd"] += round(line.get("EstimatedCostUSD", 0) * 1_000_000)
        assert line.get("estimated", False) == ("EstimatedRequests" in line)
    assert traffic.seen.numbers["Requests"] == REQUESTS
    assert told_by_lines == traffic.seen.numbers


async def test_every_kind_of_trouble_was_part_of_the_traffic(traffic: Traffic) -> None:
    kinds = (
        "Errors",
        "Fallbacks",
        "Retries",
        "StreamBroken",
        "RateLimited",
        "BudgetExceeded",
        "AuthFailed",
        "PromptTokens",
        "EstimatedRequests",
    )
    assert all(traffic.seen.numbers[name] > 0 for name in kinds)
    assert sum("BreakerOpened" in line for line in traffic.metrics()) > 0


async def test_prometheus_reads_what_clients_saw(traffic: Traffic) -> None:
    samples, seen = await scraped(traffic), traffic.seen
    http = {(names["endpoint"], int(names["status"])): value for names, value in samples["pllm_http_requests_total"]}
    assert http == seen.statuses
    asked = {
        (names["model"], names["provider"], int(names["status"])): value for names, value in samples["pllm_llm_requests_total"]
    }
    assert asked == seen.models
    tokens = samples["pllm_llm_tokens_total"]
    assert total(tokens, type="prompt") == seen.numbers["PromptTokens"]
    assert total(tokens, type="completion") == seen.numbers["CompletionTokens"]
    assert total(tokens, type="cached") == seen.numbers["CachedTokens"]
    assert round(total(samples["pllm_llm_cost_usd_total"]) * 1_000_000) == seen.numbers["micro_usd"]
    assert total(samples["pllm_errors_total"]) == seen.numbers["Errors"]
    assert total(samples["pllm_errors_total"], type="stream_broken") == seen.numbers["StreamBroken"]
    assert total(samples["pllm_fallbacks_total"]) == seen.numbers["Fallbacks"]
    assert total(samples["pllm_retries_total"]) == seen.numbers["Retries"]
    assert total(samples["pllm_streams_broken_total"]) == seen.numbers["StreamBroken"]
    hits = samples["pllm_rate_limit_hits_total"]
    assert total(hits, type="rate_limit") == seen.numbers["RateLimited"]
    assert total(hits, type="budget") == seen.numbers["BudgetExceeded"]
    assert total(samples["pllm_rate_limit_allowed_total"]) == sum(seen.models.values()) - total(hits)


async def test_histograms_count_every_request_once(traffic: Traffic) -> None:
    samples = await scraped(traffic)
    assert total(samples["pllm_http_request_duration_seconds_count"]) == REQUESTS
    assert total(samples["pllm_http_request_duration_seconds_bucket"], le="+Inf") == REQUESTS
    latency_ms = sum(round(line["Latency"]) for line in traffic.metrics() if "Latency" in line)
    assert round(total(samples["pllm_http_request_duration_seconds_sum"]) * 1000) == latency_ms


async def test_labels_stay_few(traffic: Traffic) -> None:
    samples = await scraped(traffic)
    assert {label for found in samples.values() for names, _ in found for label in names} == {
        *("endpoint", "status", "model", "provider", "type", "instance", "le"),
    }
    models = {names["model"] for found in samples.values() for names, _ in found if "model" in names}
    assert models == set(CATALOGUE.models)  # odd names survive, and one that a caller made up is not there


async def test_the_stats_page_says_what_clients_saw(traffic: Traffic) -> None:
    page, seen = (await told(traffic, "/v1/admin/models/stats")).json(), traffic.seen
    assert page["total_requests"] == sum(seen.models.values())
    assert page["total_tokens"] == seen.numbers["PromptTokens"] + seen.numbers["CompletionTokens"]
    assert round(page["total_cost"] * 1_000_000) == seen.numbers["micro_usd"]
    assert page["active_users"] == len(seen.callers)
    assert page["active_models"] == len(CATALOGUE.models)
    answered = {(model, provider): 0 for model, provider, _ in seen.models}
    for (model, provider, _), number in seen.models.items():
        answered[model, provider] += number
    for model, load in page["load_balancer"].items():
        assert load["total_requests"] == answered[model, "openai"]
    assert sum(one["total_requests"] for one in page["metrics"]) == sum(
        load["total_requests"] for load in page["load_balancer"].values()
    )
    assert sum(one["total_tokens"] for one in page["metrics"]) == page["total_tokens"]


async def test_usage_is_what_each_caller_got_of_each_deployment(traffic: Traffic) -> None:
    page = (await told(traffic, "/api/admin/usage?period=day&group_by=key,model,deployment")).json()
    lines = {
        (line["key"], line["model"], line["deployment"], name): line[name]
        for line in page["data"]
        for name in traffic.seen.used()
    }
    assert lines == traffic.seen.accounts
    assert not page["has_more"]


@pytest.mark.parametrize("period", ["minute", "hour", "day"])
async def test_usage_as_csv_adds_up_to_what_clients_saw(traffic: Traffic, period: str) -> None:
    lines = list(csv.DictReader(io.StringIO((await told(traffic, f"/api/admin/usage?period={period}&format=csv")).text)))
    sums = {name: sum(int(line[name]) for line in lines) for name in traffic.seen.used()}
    assert sums == traffic.seen.used()
    seen = traffic.seen.numbers
    assert (sums["requests"], sums["cost_micro_usd"]) == (sum(traffic.seen.models.values()), seen["micro_usd"])


async def test_percentiles_are_the_same_wherever_they_are_told(traffic: Traffic) -> None:
    page = (await told(traffic, "/v1/admin/models/stats")).json()
    for metrics in page["metrics"]:
        one = f"deployment={quote(metrics['instance_id'], safe='')}"
        series = (await told(traffic, f"/api/admin/series?{one}&group_by=deployment")).json()
        [line] = (await told(traffic, f"/api/admin/usage?period=day&{one}")).json()["data"]
        whole = series["whole"]
        assert [{"group": {"deployment": metrics["instance_id"]}, **whole}] == series["groups"]
        for name in (
            "requests",
            "errors",
            "prompt_tokens",
            "completion_tokens",
            "cached_tokens",
            "unpriced_requests",
            "answers",
        ):
            assert whole[name] == sum(minute[name] for minute in series["data"])
        for name in [f"p{share}_{what}_ms" for share in (50, 95, 99) for what in ("latency", "ttft")]:
            assert whole[name] == metrics[name]
        for name in set(whole) - {"start"}:
            assert whole[name] == line[name]


async def test_every_whole_answer_that_was_seen_has_a_time(traffic: Traffic) -> None:
    logged = [line for line in traffic.lines if line.get("message") == "request" and line["deployment"]]
    answers = [line for line in logged if not line.get("error") and not line.get("client_gone")]
    whole = (await told(traffic, "/api/admin/series")).json()["whole"]
    assert whole["answers"] == len(answers)
    for name, field in (("latency", "latency_ms"), ("ttft", "ttft_ms")):
        times = sorted(line[field] for line in answers if field in line)
        for share in (50, 95, 99):
            exact_ms = times[ceil(share * len(times) / 100) - 1]
            assert whole[f"p{share}_{name}_ms"] == pytest.approx(exact_ms, rel=RELATIVE_ERROR, abs=0.1)


async def test_the_log_has_a_line_for_every_request_and_no_more(traffic: Traffic) -> None:
    logged = [line for line in traffic.lines if line.get("message") == "request"]
    ids = {line["request_id"] for line in logged}
    assert len(logged) == len(ids) == REQUESTS
    assert "hello" not in json.dumps(traffic.lines)


def instance(page: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in page[part] if one["instance_id"] == name)
    return found


async def test_the_stats_page_tells_who_is_ill(traffic: Traffic) -> None:
    page = (await told(traffic, "/v1/admin/models/stats")).json()
    failing, first = (instance(page, "health", name) for name in ("n@openai/failing", "m@openai/first"))
    assert failing["last_error"]["type"] == "upstream_error"
    assert failing["last_success"] is None
    assert failing["state"] in ("open", "half_open")
    assert not failing["is_healthy"]
    assert first["is_healthy"]
    assert first["failure_count"] == traffic.seen.numbers["Fallbacks"] + traffic.seen.numbers["StreamBroken"]
    quick = instance(page, "metrics", "m@openai/first")
    assert 100 < quick["p50_latency_ms"] <= quick["p95_latency_ms"] <= 500
    assert 200_000_000 <= quick["average_latency"] <= 400_000_000
