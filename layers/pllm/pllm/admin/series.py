"""GET /api/admin/series: how fast the fleet answered, minute by minute, for as long as minutes of deployments are kept.

Means of longer times are in /api/admin/usage; percentiles cannot be made of means, and older minutes' buckets are gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from pllm.admin.services import FleetNow, Running, Serving
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.fleet import WINDOW_MINUTES, Fleet
from pllm.core.health import Sums
from pllm.core.histogram import percentile_ms

router = APIRouter(prefix="/api/admin/series", tags=["stats"])


@dataclass(frozen=True, slots=True)
class Speed:
    """Of attempts that ended from `start` on, for a minute (`whole`: for all of them). Latencies are of whole answers,
    `ttft_ms` is the mean until a stream's first event; null where there was none."""

    start: datetime
    attempts: int
    failed: int
    tokens: int
    p50_latency_ms: float | None
    p95_latency_ms: float | None
    ttft_ms: float | None


@dataclass(frozen=True, slots=True)
class SpeedSeries:
    """`data`: a minute each, the oldest first, those without an attempt too. The last one is still going on."""

    model: str | None
    deployment: str | None
    whole: Speed
    data: Sequence[Speed]


@router.get("", summary="Latency percentiles of the last fifteen minutes, by the minute")
async def read_series(
    serving: Serving,
    fleet: FleetNow,
    model: Annotated[str | None, Query(description="Only deployments of this model.")] = None,
    deployment: Annotated[str | None, Query(description="Only this deployment.")] = None,
) -> SpeedSeries:
    wanted = _wanted(serving.running, model, deployment)
    minutes = [(minute, _sums(fleet, minute, wanted)) for minute in range(fleet.minute - WINDOW_MINUTES + 1, fleet.minute + 1)]
    whole = Sums()
    for _, sums in minutes:
        whole.add(sums)
    return SpeedSeries(model, deployment, _speed(fleet.window_start_s, whole), [_speed(m * 60, sums) for m, sums in minutes])


def _wanted(running: Running, model: str | None, deployment: str | None) -> frozenset[str]:
    """Ids of deployments. Raises NOT_FOUND where none is meant."""
    found = frozenset(
        one.id for one in running.catalogue.deployments() if model in (None, one.model_name) and deployment in (None, one.id)
    )
    if not found and (model, deployment) != (None, None):
        raise GatewayError(ErrorKind.NOT_FOUND, "No such deployment is configured: /api/admin/models lists them.")
    return found


def _sums(fleet: Fleet, minute: int, wanted: frozenset[str]) -> Sums:
    total = Sums()
    for (at, deployment), sums in fleet.minutes.items():
        if at == minute and deployment in wanted:
            total.add(sums)
    return total


def _speed(start_s: int, sums: Sums) -> Speed:
    return Speed(
        start=datetime.fromtimestamp(start_s, UTC),
        attempts=sums.ok + sums.failed,
        failed=sums.failed,
        tokens=sums.tokens,
        p50_latency_ms=_rounded(percentile_ms(sums.buckets, 0.5)),
        p95_latency_ms=_rounded(percentile_ms(sums.buckets, 0.95)),
        ttft_ms=_rounded(sums.first_ms / sums.firsts if sums.firsts else None),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
