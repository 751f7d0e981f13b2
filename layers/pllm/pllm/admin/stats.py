"""GET /v1/admin/models/stats: what the fleet does, by model and by deployment (here: instance).

Field names are those of the gateway whose users move over. Numbers are the whole fleet's, read from the table: `total_*` since
the table was made, the others of the last fifteen minutes, and both up to ten seconds late.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter

from pllm.admin.services import FleetNow, Serving
from pllm.core.breaker import Circuit
from pllm.core.clock import rfc3339
from pllm.core.config.schema import Strategy
from pllm.core.counters import Tally
from pllm.core.deployment import Deployment
from pllm.core.fleet import Failure, Fleet
from pllm.core.health import Sums
from pllm.core.routing import Catalogue
from pllm.core.usage_rows import Amounts, total

router = APIRouter(tags=["stats"])

_NS_A_MS = 1_000_000
_NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Registry:
    total_instances: int
    total_models: int
    total_providers: int
    model_counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LastError:
    """`times`: how often this instance has failed so since the table was made."""

    type: str
    at: str
    times: int


@dataclass(frozen=True, slots=True)
class InstanceHealth:
    """`failure_count`: of the last fifteen minutes. `open_until`: RFC 3339, null where requests may be sent."""

    instance_id: str
    model: str
    provider: str
    is_healthy: bool
    state: str
    failure_count: int
    last_error: LastError | None
    last_success: str | None
    open_until: str | None


@dataclass(frozen=True, slots=True)
class InstanceMetrics:
    """`average_latency` in nanoseconds, 0 where there is none; `window_start`: since when the averages are. `ttft_ms` is a
    mean. Percentiles are of requests that were answered here, all of their time included; averages are of attempts."""

    instance_id: str
    total_requests: int
    total_tokens: int
    average_latency: int
    p50_latency_ms: float | None
    p95_latency_ms: float | None
    p99_latency_ms: float | None
    ttft_ms: float | None
    p50_ttft_ms: float | None
    p95_ttft_ms: float | None
    p99_ttft_ms: float | None
    requests_this_minute: int
    tokens_this_minute: int
    error_rate: float
    window_start: str


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """`health_score`: 0 to 100, the mean over the instances of the share of requests that they answer; an instance that
    nothing is sent to has 0. `avg_latency` in nanoseconds."""

    health_score: float
    total_requests: int
    avg_latency: int
    requests_minute: int
    tokens_minute: int
    strategy: str
    p50_latency_ms: float | None
    p95_latency_ms: float | None
    p99_latency_ms: float | None
    p50_ttft_ms: float | None
    p95_ttft_ms: float | None
    p99_ttft_ms: float | None


@dataclass(frozen=True, slots=True)
class Stats:
    """`total_cost` in USD. `should_shed_load`: nothing can be sent to more than half of the instances. `active_models`:
    those that were asked lately."""

    registry: Registry
    health: Sequence[InstanceHealth]
    metrics: Sequence[InstanceMetrics]
    load_balancer: Mapping[str, ModelLoad]
    total_requests: int
    total_tokens: int
    total_cost: float
    active_users: int
    should_shed_load: bool
    active_models: int
    generated_at: str


@router.get("/v1/admin/models/stats", summary="What the fleet does, by model and instance")
async def read_stats(serving: Serving, fleet: FleetNow) -> Stats:
    running = serving.running
    return stats(fleet, running.catalogue, running.config.router.routing_strategy)


def stats(fleet: Fleet, catalogue: Catalogue, strategy: Strategy) -> Stats:
    """The whole page. `strategy`: of models and aliases that have none of their own."""
    instances = list(catalogue.deployments())
    totals, windows = fleet.totals(), {one.id: fleet.window(one.id) for one in instances}
    failures, successes = fleet.last_failure(), fleet.last_success_ms()
    everything = sum((tally for _, tally in fleet.model_use()), _NOTHING)
    return Stats(
        registry=_registry(catalogue, instances),
        health=[_health(fleet, one, windows[one.id], failures.get(one.id), successes.get(one.id)) for one in instances],
        metrics=[_metrics(fleet, one, windows[one.id], totals.get(one.id, _NOTHING)) for one in instances],
        load_balancer={
            model: _load(fleet, deployments, windows, totals, catalogue.strategy(model, strategy))
            for model, deployments in catalogue.models.items()
        },
        total_requests=everything.requests,
        total_tokens=_tokens(everything),
        total_cost=everything.cost_micro_usd / 1_000_000,
        active_users=fleet.active_users,
        should_shed_load=2 * sum(not fleet.usable(one.id) for one in instances) > len(instances),
        active_models=sum(any(_asked(windows[one.id]) for one in group) for group in catalogue.models.values()),
        generated_at=rfc3339(fleet.now_s),
    )


def _registry(catalogue: Catalogue, instances: Sequence[Deployment]) -> Registry:
    counts = {model: len(deployments) for model, deployments in catalogue.models.items()}
    return Registry(len(instances), len(counts), len({one.provider for one in instances}), counts)


def _health(fleet: Fleet, one: Deployment, window: Sums, failure: Failure | None, success_ms: int | None) -> InstanceHealth:
    breaker = fleet.breaker(one.id)
    opens_in_ms = breaker.opens_in_ms(int(fleet.now_s * 1000))
    until_ms = breaker.probe_until_ms if breaker.state is Circuit.HALF_OPEN else breaker.until_ms
    return InstanceHealth(
        instance_id=one.id,
        model=one.model_name,
        provider=one.provider,
        is_healthy=breaker.state is Circuit.CLOSED and fleet.usable(one.id),
        state=breaker.state.value,
        failure_count=window.failed,
        last_error=None if failure is None else LastError(failure.kind, rfc3339(failure.at_ms / 1000), failure.times),
        last_success=None if success_ms is None else rfc3339(success_ms / 1000),
        open_until=rfc3339(until_ms / 1000) if opens_in_ms else None,
    )


def _metrics(fleet: Fleet, one: Deployment, window: Sums, total: Tally) -> InstanceMetrics:
    this, answers = fleet.this_minute(one.id), fleet.answers.get(one.id) or Amounts()
    latency, first = answers.latencies.percentiles(), answers.firsts.percentiles()
    return InstanceMetrics(
        instance_id=one.id,
        total_requests=total.requests,
        total_tokens=_tokens(total),
        average_latency=_mean_ns(window),
        p50_latency_ms=latency.p50,
        p95_latency_ms=latency.p95,
        p99_latency_ms=latency.p99,
        ttft_ms=round(window.first_ms / window.firsts, 1) if window.firsts else None,
        p50_ttft_ms=first.p50,
        p95_ttft_ms=first.p95,
        p99_ttft_ms=first.p99,
        requests_this_minute=_asked(this),
        tokens_this_minute=this.tokens,
        error_rate=_error_rate(window),
        window_start=rfc3339(fleet.window_start_s),
    )


def _load(
    fleet: Fleet,
    deployments: Sequence[Deployment],
    windows: Mapping[str, Sums],
    totals: Mapping[str, Tally],
    strategy: Strategy,
) -> ModelLoad:
    minutes = [fleet.this_minute(one.id) for one in deployments]
    scores = [100 * (1 - _error_rate(windows[one.id])) if fleet.usable(one.id) else 0.0 for one in deployments]
    together = Sums()
    for one in deployments:
        together.add(windows[one.id])
    answers = total(fleet.answers.get(one.id, Amounts()) for one in deployments)
    latency, first = answers.latencies.percentiles(), answers.firsts.percentiles()
    return ModelLoad(
        health_score=round(sum(scores) / len(scores), 1) if scores else 0.0,
        total_requests=sum(totals.get(one.id, _NOTHING).requests for one in deployments),
        avg_latency=_mean_ns(together),
        requests_minute=sum(map(_asked, minutes)),
        tokens_minute=sum(minute.tokens for minute in minutes),
        strategy=strategy.value,
        p50_latency_ms=latency.p50,
        p95_latency_ms=latency.p95,
        p99_latency_ms=latency.p99,
        p50_ttft_ms=first.p50,
        p95_ttft_ms=first.p95,
        p99_ttft_ms=first.p99,
    )


def _asked(sums: Sums) -> int:
    return sums.ok + sums.failed


def _error_rate(sums: Sums) -> float:
    return round(sums.failed / _asked(sums), 4) if _asked(sums) else 0.0


def _mean_ns(sums: Sums) -> int:
    return sums.latency_ms * _NS_A_MS // sums.latencies if sums.latencies else 0


def _tokens(tally: Tally) -> int:
    return tally.prompt_tokens + tally.completion_tokens
