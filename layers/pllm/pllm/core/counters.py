"""What is counted of requests for as long as a deployment of the gateway lives: the source of `/metrics` and of the totals.

Usage rows say who owes what, by the minute; counters say how the gateway does, and are few: one series for each way in which
requests of one endpoint end. Every name in a series is from a list that is fixed or configured, so a caller cannot make one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from urllib.parse import quote, unquote

from pllm.core.deployment import Deployment
from pllm.core.histogram import Counts, added, bucket_attributes, bucket_of, read_buckets
from pllm.core.record import LIMITS, Abandoned, RequestRecord

ATTEMPT = "attempt"
"""`endpoint` of the series that count attempts that failed, one for each deployment and reason; they have no status."""


ABANDONED = "abandoned"
"""`endpoint` of the series that count what attempts used that were given up for another; they have no requests."""

PROBE = "probe"
"""`endpoint` of the series that count health probes, by deployment and by what came of them. No client asked."""

UNCLEAR = "unclear"
"""`error` of a probe that was answered by something that says nothing of the deployment."""


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """Requests that ended alike. `model` is the name they asked for, empty where it does not exist; `deployment` and
    `provider` are empty where none was asked; `error` is empty for success. A stream that broke has status 200 and an error."""

    endpoint: str
    model: str = ""
    deployment: str = ""
    provider: str = ""
    status: int = 0
    error: str = ""

    @property
    def limited(self) -> bool:
        """Whether a limit or a budget of ours refused them: nothing was asked of any deployment."""
        return self.error in LIMITS and not self.deployment


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over the requests of a series. `at_ms`: when the last of them ended, epoch milliseconds. `buckets`: their whole
    latencies by core.histogram."""

    requests: int = 0
    latency_ms: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_micro_usd: int = 0
    fallbacks: int = 0
    retries: int = 0
    broken: int = 0
    degraded: int = 0
    cold_starts: int = 0
    at_ms: int = 0
    buckets: Counts = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        return Tally(**sums, at_ms=max(self.at_ms, other.at_ms), buckets=added(self.buckets, other.buckets))


SUMS = tuple(item.name for item in fields(Tally) if item.name not in ("at_ms", "buckets"))
"""The fields of a Tally that are plain sums."""

Tallies = Mapping[Series, Tally]


def counted(record: RequestRecord, now_ms: int) -> Iterator[tuple[Series, Tally]]:
    """One request that is over: itself, each attempt of it that failed, and what those used that were given up."""
    yield series_of(record), _tally(record, now_ms)
    for failed in record.failed:
        deployment, _, why = failed.rpartition(": ")
        yield Series(ATTEMPT, record.model, deployment, error=why), Tally(requests=1, at_ms=now_ms)
    for one in record.abandoned:
        yield Series(ABANDONED, record.model, one.deployment, one.provider), replace(_used(one), at_ms=now_ms)


def probed(deployment: Deployment, why: str, now_ms: int) -> tuple[Series, Tally]:
    """One health probe that is over. `why`: what it found to be wrong, UNCLEAR, or empty for a good answer."""
    return Series(PROBE, deployment.model_name, deployment.id, deployment.provider, error=why), Tally(requests=1, at_ms=now_ms)


def series_of(record: RequestRecord) -> Series:
    if record.limited:
        return Series(record.endpoint, record.model, status=record.status, error=record.error)
    return Series(record.endpoint, record.model, record.deployment, record.provider, record.status, record.error)


def _tally(record: RequestRecord, now_ms: int) -> Tally:
    return replace(
        _used(record),
        requests=1,
        latency_ms=round(record.latency_ms),
        fallbacks=record.fallbacks,
        retries=record.retries,
        broken=int(record.broken),
        degraded=int(record.degraded),
        cold_starts=int(record.cold_start),
        at_ms=now_ms,
        buckets={bucket_of(record.latency_ms): 1},
    )


def _used(one: RequestRecord | Abandoned) -> Tally:
    return Tally(
        prompt_tokens=one.prompt_tokens,
        completion_tokens=one.completion_tokens,
        cached_tokens=one.cached_tokens,
        cost_micro_usd=one.cost_micro_usd or 0,
    )


def summed(tallies: Iterable[tuple[Series, Tally]]) -> dict[Series, Tally]:
    found: dict[Series, Tally] = {}
    for series, tally in tallies:
        found[series] = found[series] + tally if series in found else tally
    return found


# --- In the table ----------------------------------------------------------------------------------------------------

# Short, because a write is paid by the kilobyte.
_NAMES: Mapping[str, str] = {
    "requests": "n",
    "latency_ms": "ls",
    "prompt_tokens": "pt",
    "completion_tokens": "ct",
    "cached_tokens": "cc",
    "cost_micro_usd": "us",
    "fallbacks": "fb",
    "retries": "rt",
    "broken": "br",
    "degraded": "dg",
    "cold_starts": "cs",
}
AT = "at"


def series_key(series: Series) -> str:
    """The sort key of a series: its names with `#` and `%` escaped."""
    names = (series.endpoint, series.model, series.deployment, series.provider, str(series.status), series.error)
    return "#".join(quote(name, safe=" !$&'()*+,-./:;<=>?@[]^_`{|}~", errors="surrogatepass") for name in names)


def read_series(key: str) -> Series:
    """Raises ValueError for a key that is none."""
    endpoint, model, deployment, provider, status, error = (unquote(name, errors="surrogatepass") for name in key.split("#"))
    return Series(endpoint, model, deployment, provider, int(status), error)


def attributes(tally: Tally) -> dict[str, int]:
    """What is to be added to the item of a series; `at_ms` is not among it, since it is no sum."""
    sums = {short: getattr(tally, name) for name, short in _NAMES.items()}
    return {name: number for name, number in (sums | bucket_attributes(tally.buckets)).items() if number}


def read_tally(item: Mapping[str, object]) -> Tally:
    """Of an item of the table; what it lacks is zero."""
    sums = {name: _number(item, short) for name, short in _NAMES.items()}
    return Tally(**sums, at_ms=_number(item, AT), buckets=read_buckets(item))


def _number(item: Mapping[str, object], name: str) -> int:
    value = item.get(name, 0)
    return value if isinstance(value, int) else 0
