"""GET /metrics: the fleet's counters as Prometheus reads them, for the admin role or the scrape token.

One scrape tells of the whole fleet, not of the environment that happens to answer: scrape one address, without sharding.
Labels are names from the configuration and from fixed lists. The counters never reset while the table lives.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response

from pllm.admin.services import FleetNow, Serving
from pllm.core.counters import UNCLEAR, Series, Tally
from pllm.core.errors import ErrorKind
from pllm.core.fleet import Fleet
from pllm.core.histogram import BOUNDS_MS, Counts, added
from pllm.core.routing import Catalogue

router = APIRouter(tags=["metrics"])

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]
_Requests = Sequence[tuple[Series, Tally]]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: `samples` are by the values of `labels`. A histogram's samples are (sum in seconds, counts by bucket)."""

    name: str
    kind: str
    help: str
    labels: Labels
    samples: "Mapping[Labels, float | tuple[float, Counts]]"


@router.get("/metrics", summary="The fleet's counters for Prometheus", response_class=Response)
async def read_metrics(serving: Serving, fleet: FleetNow) -> Response:
    return Response(exposition(fleet, serving.running.catalogue), media_type=CONTENT_TYPE)


def exposition(fleet: Fleet, catalogue: Catalogue) -> str:
    """Prometheus's text format, version 0.0.4."""
    return "".join(f"{line}\n" for family in families(fleet, catalogue) for line in _lines(family))


def families(fleet: Fleet, catalogue: Catalogue) -> list[Family]:
    """Every metric there is."""
    requests, asked = list(fleet.requests()), list(fleet.model_requests())
    return [
        *_of_http(requests),
        *_of_models(asked, list(fleet.model_use())),
        *_of_limits(asked),
        *_of_trouble(requests, asked),
        _of_probes(fleet.probes()),
        _of_instances(fleet, catalogue),
    ]


def _of_http(requests: _Requests) -> list[Family]:
    ends = [((series.endpoint, str(series.status)), tally.requests) for series, tally in requests]
    times = [((series.endpoint,), tally) for series, tally in requests]
    return [
        Family("pllm_http_requests_total", "counter", "Requests.", ("endpoint", "status"), _sums(ends)),
        Family("pllm_http_request_duration_seconds", "histogram", "Until the last byte.", ("endpoint",), _histograms(times)),
    ]


def _of_models(asked: _Requests, use: _Requests) -> list[Family]:
    ends = [((one.model, one.provider, one.endpoint, str(one.status)), tally.requests) for one, tally in asked]
    times = [((one.model, one.provider), tally) for one, tally in asked if one.deployment]
    used = [((one.model, one.provider), tally) for one, tally in use if one.deployment]
    tokens = [
        ((*names, kind), number)
        for names, tally in used
        for kind, number in (
            ("prompt", tally.prompt_tokens),
            ("completion", tally.completion_tokens),
            ("cached", tally.cached_tokens),
        )
    ]
    costs = [(names, tally.cost_micro_usd) for names, tally in used]
    usd = {names: micro_usd / 1_000_000 for names, micro_usd in _sums(costs).items()}
    by_model = ("model", "provider")
    return [
        Family("pllm_llm_requests_total", "counter", "Requests for a model.", (*by_model, "endpoint", "status"), _sums(ends)),
        Family("pllm_llm_request_duration_seconds", "histogram", "Until the last byte.", by_model, _histograms(times)),
        Family("pllm_llm_tokens_total", "counter", "Tokens; cached ones are prompt ones.", (*by_model, "type"), _sums(tokens)),
        Family("pllm_llm_cost_usd_total", "counter", "What priced requests cost, in USD.", by_model, usd),
    ]


def _of_limits(asked: _Requests) -> list[Family]:
    hits = [((one.model, _LIMIT[one.error]), tally.requests) for one, tally in asked if one.limited]
    allowed = [((one.model,), tally.requests) for one, tally in asked if not one.limited]
    return [
        Family("pllm_rate_limit_hits_total", "counter", "Requests that a limit refused.", ("model", "type"), _sums(hits)),
        Family("pllm_rate_limit_allowed_total", "counter", "Requests that no limit refused.", ("model",), _sums(allowed)),
    ]


def _of_trouble(requests: _Requests, asked: _Requests) -> list[Family]:
    errors = [((one.error,), tally.requests) for one, tally in requests if one.error]
    fallbacks = [((one.model,), tally.fallbacks) for one, tally in asked]
    retries = [((one.model,), tally.retries) for one, tally in asked]
    broken = [((one.model,), tally.broken) for one, tally in asked]
    saved = "Failed attempts that another one made good."
    return [
        Family("pllm_errors_total", "counter", "Requests that ended in an error.", ("type",), _sums(errors)),
        Family("pllm_fallbacks_total", "counter", saved, ("model",), _sums(fallbacks)),
        Family("pllm_retries_total", "counter", "Attempts after the first.", ("model",), _sums(retries)),
        Family("pllm_streams_broken_total", "counter", "Streams that broke after they began.", ("model",), _sums(broken)),
    ]


def _of_probes(probes: Iterable[tuple[Series, Tally]]) -> Family:
    outcomes = {"": "ok", UNCLEAR: UNCLEAR}
    found = [((one.model, one.provider, outcomes.get(one.error, "failed")), tally.requests) for one, tally in probes]
    return Family("pllm_health_probes_total", "counter", "Health probes.", ("model", "provider", "outcome"), _sums(found))


def _of_instances(fleet: Fleet, catalogue: Catalogue) -> Family:
    samples: dict[Labels, float | tuple[float, Counts]] = {
        (one.model_name, one.id, one.provider): float(fleet.usable(one.id)) for one in catalogue.deployments()
    }
    return Family("pllm_model_availability", "gauge", "1: requests may be sent.", ("model", "instance", "provider"), samples)


_LIMIT = {ErrorKind.RATE_LIMITED.value: "rate_limit", ErrorKind.BUDGET_EXCEEDED.value: "budget"}


def _sums(found: Iterable[tuple[Labels, int]]) -> dict[Labels, float]:
    sums: dict[Labels, float] = {}
    for labels, number in found:
        sums[labels] = sums.get(labels, 0) + number
    return sums


def _histograms(found: Iterable[tuple[Labels, Tally]]) -> dict[Labels, float | tuple[float, Counts]]:
    sums: dict[Labels, tuple[int, Counts]] = {}
    for labels, tally in found:
        latency_ms, counts = sums.get(labels, (0, {}))
        sums[labels] = latency_ms + tally.latency_ms, added(counts, tally.buckets)
    return {labels: (latency_ms / 1000, counts) for labels, (latency_ms, counts) in sums.items()}


# --- The text format: https://prometheus.io/docs/instrumenting/exposition_formats/ -----------------------------------


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for values, sample in sorted(family.samples.items()):
        labels = dict(zip(family.labels, values, strict=True))
        if isinstance(sample, tuple):
            yield from _histogram_lines(family.name, labels, *sample)
        else:
            yield f"{family.name}{_labels(labels)} {_number(sample)}"


def _histogram_lines(name: str, labels: Mapping[str, str], seconds: float, counts: Counts) -> Iterator[str]:
    below = 0
    for bucket, bound_ms in enumerate(BOUNDS_MS):
        below += counts.get(bucket, 0)
        yield f"{name}_bucket{_labels({**labels, 'le': _number(bound_ms / 1000)})} {below}"
    everything = sum(counts.values())
    yield f"{name}_bucket{_labels({**labels, 'le': '+Inf'})} {everything}"
    yield f"{name}_sum{_labels(labels)} {_number(seconds)}"
    yield f"{name}_count{_labels(labels)} {everything}"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
