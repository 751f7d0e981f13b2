"""The log line that ends a request, written after the last byte, beside its metrics (telemetry.emf).

It is also the row of the request in the export to S3: infra/template.yaml has a column for each name.
"""

from typing import Any

from pllm.core.pricing import Counts
from pllm.core.record import Abandoned, RequestRecord
from pllm.core.usage_rows import tariff_of

_NOTHING = Counts()


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
    cost = {} if record.cost_micro_usd is None else {"cost_micro_usd": record.cost_micro_usd}
    known = {name: value for name, value in (_course(record) | _used(record)).items() if value}
    return line | known | cost


def _course(record: RequestRecord) -> dict[str, Any]:
    """How it went, where there is something to say of it."""
    return {
        "trace_id": record.trace_id,
        "xray_trace_id": record.platform_trace_id,
        "team": record.team,
        "upstream_model": record.upstream_model,
        "error": record.error,
        "failed_attempts": record.failed,
        "abandoned_attempts": [_abandoned(one) for one in record.abandoned],
        "abandoned_cost_micro_usd": sum(one.cost_micro_usd or 0 for one in record.abandoned),
        "finish": record.finish,
        "broken": record.broken,
        "client_gone": record.client_gone,
        "degraded": record.degraded,
        "cold_start": record.cold_start,
        "idempotent": record.idempotent,
        "dropped": list(record.dropped),
        "emulated": list(record.emulated),
        "ttft_ms": None if record.ttft_ms is None else round(record.ttft_ms, 3),
    }


def _used(record: RequestRecord) -> dict[str, Any]:
    """What it was billed for beside prompt and completion, and by which prices."""
    used = record.used or _NOTHING
    return {
        "cached_tokens": record.cached_tokens,
        "cache_write_5m_tokens": used.cache_write_5m,
        "cache_write_1h_tokens": used.cache_write_1h,
        "reasoning_tokens": record.reasoning_tokens,
        "audio_input_tokens": used.audio_input,
        "audio_output_tokens": used.audio_output,
        "image_input_tokens": used.image_input,
        "images": record.images,
        "audio_seconds": record.audio_seconds,
        "characters": record.characters,
        "search_units": used.search_units,
        "prices": tariff_of(record),
        "estimated": record.estimated,
    }


def _abandoned(one: Abandoned) -> str:
    """In words, since the export's rows have no objects: its counts are in no other field of the line."""
    cost = "unknown" if one.cost_micro_usd is None else one.cost_micro_usd
    counts = f"prompt_tokens={one.prompt_tokens} completion_tokens={one.completion_tokens} cost_micro_usd={cost}"
    return f"{one.deployment}: {counts} prices={tariff_of(one)}" + (" estimated" if one.estimated else "")
