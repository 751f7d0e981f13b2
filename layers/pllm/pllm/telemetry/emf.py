"""A request's metrics: one line in CloudWatch's embedded metric format, written after the last byte.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

CloudWatch bills every combination of a metric and its dimensions, so both are few. Dimensions are names that are configured
(a model that does not exist is not recorded); what is about the function alone is told by function alone. Everything else
is a property, for Logs Insights, under OpenTelemetry's GenAI names where there is one.
"""

from collections.abc import Iterator
from typing import Any

from pllm.core.errors import ErrorKind
from pllm.core.record import RequestRecord
from pllm.telemetry.genai_names import operation_of, provider_of

NAMESPACE = "PLLM"
"""What lines are made under; `telemetry.log.Log` puts a deployment's own in its place."""

_BY_MODEL = {
    "Requests": "Count",
    "Errors": "Count",
    "Faults": "Count",
    "Latency": "Milliseconds",
    "TimeToFirstToken": "Milliseconds",
    "OutputTokensPerSecond": "Count/Second",
    "PromptTokens": "Count",
    "CompletionTokens": "Count",
    "CachedTokens": "Count",
    "CostUSD": "None",
    "RateLimited": "Count",
    "BudgetExceeded": "Count",
    "Fallbacks": "Count",
    "Retries": "Count",
    "StreamBroken": "Count",
    "EstimatedRequests": "Count",
    "EstimatedCostUSD": "None",
}
_BY_FUNCTION = {
    "OverheadMs": "Milliseconds",
    "AuthMs": "Milliseconds",
    "AdmitMs": "Milliseconds",
    "RouteMs": "Milliseconds",
    "TranslateMs": "Milliseconds",
    "AuthFailed": "Count",
    "StateDegraded": "Count",
    "ColdStart": "Count",
}
_BY_THEMSELVES = {"BreakerOpened": "Count", "BudgetNearlySpent": "Count", "ProbesOk": "Count", "ProbesFailed": "Count"}
UNITS = _BY_MODEL | _BY_FUNCTION | _BY_THEMSELVES
"""Every metric and its CloudWatch unit. Breakers, limits and probes have lines of their own (*_line)."""

# Made once: a line refers to them.
_DEFINITIONS = {name: {"Name": name, "Unit": unit} for name, unit in UNITS.items()}
_FUNCTION = [["function"]]
_MODEL = [["function"], ["model"]]
_PROVIDER = [["function"], ["model"], ["model", "provider"]]


def emf_line(record: RequestRecord, function: str, timestamp_ms: int) -> dict[str, Any]:
    """One EMF object. A metric that has no value for this request is left out rather than sent as zero."""
    by_model, by_function = _by_model(record), _by_function(record)
    dimensions = _PROVIDER if record.provider else _MODEL if record.model else _FUNCTION
    directives = [_directive(dimensions, by_model), _directive(_FUNCTION, by_function)]
    line: dict[str, Any] = {"_aws": {"Timestamp": timestamp_ms, "CloudWatchMetrics": directives}, "function": function}
    if record.model:
        line["model"] = record.model
    if record.provider:
        line["provider"] = record.provider
    return line | _properties(record) | by_model | by_function


def abandoned_lines(record: RequestRecord, function: str, timestamp_ms: int) -> Iterator[dict[str, Any]]:
    """What attempts used that were given up for another: tokens and cost, and no request."""
    for one in record.abandoned:
        values: dict[str, float] = {"PromptTokens": one.prompt_tokens, "CompletionTokens": one.completion_tokens}
        if one.cached_tokens:
            values["CachedTokens"] = one.cached_tokens
        if one.cost_micro_usd is not None:
            values["CostUSD"] = one.cost_micro_usd / 1_000_000
        if one.estimated:
            values["EstimatedRequests"] = 1
        if one.estimated and "CostUSD" in values:
            values["EstimatedCostUSD"] = values["CostUSD"]
        line: dict[str, Any] = {
            "_aws": {"Timestamp": timestamp_ms, "CloudWatchMetrics": [_directive(_PROVIDER, values)]},
            "function": function,
            "model": record.model,
            "provider": one.provider,
            "request_id": record.request_id,
            "gen_ai.response.model": one.upstream_model,
        }
        yield line | ({"estimated": True} if one.estimated else {}) | values


def event_line(values: dict[str, float], function: str, timestamp_ms: int) -> dict[str, Any]:
    """The EMF object of what happened beside requests. `values`: by the name of the metric."""
    line: dict[str, Any] = {"_aws": {"Timestamp": timestamp_ms, "CloudWatchMetrics": [_directive(_FUNCTION, values)]}}
    return line | {"function": function} | values


def _directive(dimensions: list[list[str]], values: dict[str, float]) -> dict[str, Any]:
    return {"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": [_DEFINITIONS[name] for name in values]}


def _by_model(record: RequestRecord) -> dict[str, float]:
    refused = record.error if record.limited else ""
    values: dict[str, float] = {
        "Requests": 1,
        "Errors": 1 if record.error else 0,
        "Latency": round(record.latency_ms, 3),
    }
    if record.stream and record.ttft_ms is not None:
        values["TimeToFirstToken"] = round(record.ttft_ms, 3)
    if (speed := _tokens_per_second(record)) is not None:
        values["OutputTokensPerSecond"] = round(speed, 3)
    if record.cost_micro_usd is not None:
        values["CostUSD"] = record.cost_micro_usd / 1_000_000
        if record.estimated:
            values["EstimatedCostUSD"] = values["CostUSD"]
    counts = {
        "PromptTokens": record.prompt_tokens,
        "CompletionTokens": record.completion_tokens,
        "CachedTokens": record.cached_tokens,
        "Faults": record.faulty,
        "RateLimited": refused == ErrorKind.RATE_LIMITED,
        "BudgetExceeded": refused == ErrorKind.BUDGET_EXCEEDED,
        "Fallbacks": record.fallbacks,
        "Retries": record.retries,
        "StreamBroken": record.broken,
        "EstimatedRequests": record.estimated,
    }
    return values | {name: int(count) for name, count in counts.items() if count}


def _by_function(record: RequestRecord) -> dict[str, float]:
    values: dict[str, float] = {"OverheadMs": round(record.overhead_ms, 3)}
    split = {
        "AuthMs": record.auth_s,
        "AdmitMs": record.admit_s,
        "RouteMs": record.route_s,
        "TranslateMs": record.translate_s,
    }
    counts = {
        "AuthFailed": record.error == ErrorKind.AUTHENTICATION,
        "StateDegraded": record.degraded,
        "ColdStart": record.cold_start,
    }
    values |= {name: round(spent_s * 1000, 3) for name, spent_s in split.items() if spent_s}
    return values | {name: int(count) for name, count in counts.items() if count}


def _tokens_per_second(record: RequestRecord) -> float | None:
    if not record.stream or not record.completion_tokens or record.first_event_s is None:
        return None
    output_s = record.ended_s - record.first_event_s
    return record.completion_tokens / output_s if output_s > 0 else None


def _properties(record: RequestRecord) -> dict[str, Any]:
    """https://opentelemetry.io/docs/specs/semconv/gen-ai/: names of attributes; what is unknown is left out."""
    found: dict[str, Any] = {
        "request_id": record.request_id,
        "gen_ai.operation.name": operation_of(record.endpoint),
        "http.response.status_code": record.status,
    }
    optional = {
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.upstream_model,
        "gen_ai.provider.name": provider_of(record.provider),
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "gen_ai.response.finish_reasons": [record.finish] if record.finish else None,
        "error.type": record.error,
        "estimated": record.estimated,
    }
    return found | {name: value for name, value in optional.items() if value}
