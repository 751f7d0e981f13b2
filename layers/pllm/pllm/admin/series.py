"""GET /api/admin/series: what was asked and how fast it was answered, over any time that usage is kept for.

The same rows as /api/admin/usage, summed over all of the time at once: a percentile of a day cannot be made of those of its
hours.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from pllm.admin.services import Serving, no_table
from pllm.core.errors import invalid
from pllm.core.usage_keys import LENGTH_S
from pllm.core.usage_report import Summary, parse_query
from pllm.core.usage_rows import Amounts

router = APIRouter(prefix="/api/admin/series", tags=["stats"])

_OF_PAGES = frozenset({"format", "limit", "page"})


class Numbers(BaseModel):
    """Of requests that ended within a time that begins at `start`. Percentiles are of `answers`: requests that a deployment
    answered whole, from their arrival to the last byte or, of streams, to the first event; null where there was none. They
    are within 4.4 % of the exact ones."""

    start: datetime
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_usd: float
    unpriced_requests: int
    estimated_requests: int
    answers: int
    p50_latency_ms: float | None
    p95_latency_ms: float | None
    p99_latency_ms: float | None
    p50_ttft_ms: float | None
    p95_ttft_ms: float | None
    p99_ttft_ms: float | None


class GroupNumbers(Numbers):
    """`group`: by the names of `group_by`; a name is empty where there was none."""

    group: Mapping[str, str]


class Series(BaseModel):
    """`whole`: all of the time. `data`: each period of it, the oldest first, those without a request too; the last one may be
    going on still. `groups`: all of the time by group, the most requests first."""

    period: str
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    group_by: Sequence[str]
    whole: Numbers
    data: Sequence[Numbers]
    groups: Sequence[GroupNumbers]


def _about(words: str) -> Any:
    return Query(description=words)


@router.get("", summary="Requests, tokens, cost and percentiles of latency, over time and by group, in one answer")
async def read_series(
    request: Request,
    serving: Serving,
    period: Annotated[str, _about("minute (kept 48 hours), hour (90 days) or day.")] = "minute",
    from_: Annotated[str | None, Query(alias="from", description="RFC 3339, a date or epoch seconds.")] = None,
    to: Annotated[str | None, _about("The end, exclusive. Default: now.")] = None,
    group_by: Annotated[list[str], _about("Of key, team, model, deployment, prices; commas or repeated.")] = [],  # noqa: B006
    key: Annotated[str | None, _about("Only of this key's id.")] = None,
    team: Annotated[str | None, _about("Only of this team.")] = None,
    model: Annotated[str | None, _about("Only of this model.")] = None,
    deployment: Annotated[str | None, _about("Only of this deployment.")] = None,
) -> Series:
    if serving.usage is None:
        raise no_table("usage")
    given = {name: request.query_params.getlist(name) for name in request.query_params}
    if pages := sorted(_OF_PAGES & set(given)):
        raise invalid(f"{pages[0]!r} is for /api/admin/usage: a series comes whole, as JSON.", pages[0])
    query = parse_query({"period": [period], **given}, serving.clock.wall_s())
    return _series(await serving.usage.summary(query))


def _series(found: Summary) -> Series:
    query = found.query
    known = {line.start_s: line.amounts for line in found.periods}
    starts = range(query.from_s, query.to_s, LENGTH_S[query.period])
    groups = sorted(found.groups, key=lambda line: -line.amounts.requests) if query.group_by else []
    return Series(
        period=query.period,
        since=_time(query.from_s),
        until=_time(query.to_s),
        group_by=query.group_by,
        whole=Numbers(**_numbers(query.from_s, found.whole)),
        data=[Numbers(**_numbers(start_s, known.get(start_s) or Amounts())) for start_s in starts],
        groups=[
            GroupNumbers(group=dict(zip(query.group_by, line.group, strict=True)), **_numbers(query.from_s, line.amounts))
            for line in groups
        ],
    )


def _numbers(start_s: int, amounts: Amounts) -> dict[str, Any]:
    latency, first = amounts.latencies.percentiles(), amounts.firsts.percentiles()
    return {
        "start": _time(start_s),
        "requests": amounts.requests,
        "errors": amounts.errors,
        "prompt_tokens": amounts.prompt_tokens,
        "completion_tokens": amounts.completion_tokens,
        "cached_tokens": amounts.cached_tokens,
        "cost_usd": amounts.cost_micro_usd / 1_000_000,
        "unpriced_requests": amounts.unpriced,
        "estimated_requests": amounts.estimated,
        "answers": amounts.latencies.number,
        "p50_latency_ms": latency.p50,
        "p95_latency_ms": latency.p95,
        "p99_latency_ms": latency.p99,
        "p50_ttft_ms": first.p50,
        "p95_ttft_ms": first.p95,
        "p99_ttft_ms": first.p99,
    }


def _time(time_s: int) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
