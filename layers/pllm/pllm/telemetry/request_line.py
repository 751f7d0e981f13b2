"""The two lines that end a request: a CloudWatch EMF line and a log line, written after the last byte.

EMF: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
Dimensions stay low in cardinality (function; model; model+provider); everything else is a property, under OpenTelemetry's
GenAI names where there is one.
"""

from typing import Any

from pllm.core.record import RequestRecord

NAMESPACE = "PLLM"

_DIMENSIONS = [["function"], ["model"], ["model", "provider"]]


def emf_line(record: RequestRecord, function: str, timestamp_ms: int) -> dict[str, Any]:
    """One EMF object. A metric that has no value for this request is left out rather than sent as zero."""
    metrics = [metric for metric in _metrics(record) if metric[1] is not None]
    values = {name: value for name, value, _ in metrics}
    units = [{"Name": name, "Unit": unit} for name, _, unit in metrics]
    dimensions = _DIMENSIONS if record.provider else _DIMENSIONS[:2] if record.model else _DIMENSIONS[:1]
    return {
        "_aws": {
            "Timestamp": timestamp_ms,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": units}],
        },
        "function": function,
        **({"model": record.model} if record.model else {}),
        **({"provider": record.provider} if record.provider else {}),
        **_properties(record),
        **values,
    }


def _metrics(record: RequestRecord) -> list[tuple[str, float | None, str]]:
    output_s = record.ended_s - record.first_event_s if record.first_event_s is not None else 0.0
    speed = record.completion_tokens / output_s if record.stream and output_s > 0 and record.completion_tokens else None
    return [
        ("Requests", 1, "Count"),
        ("Errors", 1 if record.error else 0, "Count"),
        ("Latency", round(record.latency_ms, 3), "Milliseconds"),
        ("OverheadMs", round(record.overhead_ms, 3), "Milliseconds"),
        ("TimeToFirstToken", _rounded(record.ttft_ms) if record.stream else None, "Milliseconds"),
        ("OutputTokensPerSecond", _rounded(speed), "Count/Second"),
        ("PromptTokens", record.prompt_tokens or None, "Count"),
        ("CompletionTokens", record.completion_tokens or None, "Count"),
        ("CachedTokens", record.cached_tokens or None, "Count"),
        ("CostUSD", None if record.cost_micro_usd is None else record.cost_micro_usd / 1_000_000, "None"),
        ("Fallbacks", len(record.failed) if record.failed and not record.error else None, "Count"),
        ("Retries", record.attempts - 1 if record.attempts > 1 else None, "Count"),
        ("StreamBroken", 1 if record.broken else None, "Count"),
        ("StateDegraded", 1 if record.degraded else None, "Count"),
        ("ColdStart", 1 if record.cold_start else None, "Count"),
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _properties(record: RequestRecord) -> dict[str, Any]:
    return {
        "request_id": record.request_id,
        "gen_ai.operation.name": record.endpoint,
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.upstream_model,
        "http.response.status_code": record.status,
    }


def log_line(record: RequestRecord, timestamp_ms: int) -> dict[str, Any]:
    """One log object: everything the record knows, which is never content and never a credential."""
    line: dict[str, Any] = {
        "level": "ERROR" if record.error and record.status >= 500 else "WARN" if record.error else "INFO",
        "message": "request",
        "timestamp": timestamp_ms,
        "request_id": record.request_id,
        "endpoint": record.endpoint,
        "principal": record.principal,
        "model": record.model,
        "deployment": record.deployment,
        "provider": record.provider,
        "stream": record.stream,
        "status": record.status,
        "attempts": record.attempts,
        "latency_ms": round(record.latency_ms, 3),
        "overhead_ms": round(record.overhead_ms, 3),
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
    }
    optional = {
        "error": record.error,
        "failed_attempts": record.failed,
        "finish": record.finish,
        "broken": record.broken,
        "client_gone": record.client_gone,
        "degraded": record.degraded,
        "idempotent": record.idempotent,
        "dropped": list(record.dropped),
        "emulated": list(record.emulated),
        "ttft_ms": _rounded(record.ttft_ms),
        "images": record.images,
        "audio_seconds": record.audio_seconds,
        "characters": record.characters,
    }
    cost = {} if record.cost_micro_usd is None else {"cost_micro_usd": record.cost_micro_usd}
    return line | {name: value for name, value in optional.items() if value} | cost
