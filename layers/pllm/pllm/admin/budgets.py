"""/api/admin/budgets: every limit that holds, how much of it is used, and what is left.

Limits are changed where they come from: a key's and a team's with PATCH, the others in the configuration.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from pllm.admin.services import LimitDesk, Running, Serving, Table, no_table, services
from pllm.core.allowances import Allowances, limits_of_deployment
from pllm.core.errors import invalid
from pllm.core.keys import KeyRecord, Team
from pllm.core.limits import BudgetLimit, GateLimits, Period
from pllm.core.quotas import Quota, quotas

router = APIRouter(prefix="/api/admin/budgets", tags=["budgets"])

Kind = Literal["key", "team", "model", "deployment"]


def desk(request: Request) -> LimitDesk:
    """Raises UNAVAILABLE where there is no table."""
    found = services(request).limits
    if found is None:
        raise no_table("limits")
    return found


Desk = Annotated[LimitDesk, Depends(desk)]


class QuotaView(BaseModel):
    """`percent` of `limit` is used; `resets_at` is null where nothing starts anew (calls in flight)."""

    limit: int
    used: int
    remaining: int
    percent: float
    resets_at: datetime | None


class MoneyView(BaseModel):
    """`reserved_usd` is held by running requests, and comes back as far as they cost less. `percent` of the budget is used or
    reserved; `resets_at` is null for a budget that never starts anew."""

    limit_usd: float
    used_usd: float
    reserved_usd: float
    remaining_usd: float
    percent: float
    period: Period
    timezone: str
    resets_at: datetime | None


class ScopeView(BaseModel):
    """What limits one key, team, model or deployment; null is not limited. `requests` and `tokens`: of this minute. `stopped`:
    nothing is admitted, whatever is left."""

    scope: str
    kind: Kind
    id: str
    name: str
    team: str | None
    stopped: bool
    budget: MoneyView | None
    requests: QuotaView | None
    tokens: QuotaView | None
    parallel: QuotaView | None


class ScopePage(BaseModel):
    """Keys, the newest first, then teams, models and deployments. `next` is the `after` of the page that follows, null on the
    last one."""

    object: Literal["list"] = "list"
    data: list[ScopeView]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Scope:
    kind: Kind
    id: str
    name: str
    limits: GateLimits
    team: str | None = None


@router.get("", summary="List everything that is limited, and what is left of it")
async def list_budgets(
    table: Table,
    at: Serving,
    limits: Desk,
    kind: Annotated[Kind | None, Query(description="Only keys, teams, models or deployments.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Most entries of this page.")] = 100,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> ScopePage:
    wanted = get_args(Kind) if kind is None else (kind,)
    keys = await table.keys.list() if "key" in wanted else []
    teams = await table.teams.list() if "team" in wanted else []
    found = [one for one in _scopes(limits.allowances, at.running, keys, teams) if one.kind in wanted and one.limits.limited]
    behind = _behind(found, after)
    data = await asyncio.gather(*(_view(one, limits, at.clock.wall_s()) for one in behind[:limit]))
    return ScopePage(data=list(data), next=behind[limit - 1].limits.scope if len(behind) > limit else None)


def _scopes(allowances: Allowances, running: Running, keys: Sequence[KeyRecord], teams: Sequence[Team]) -> Iterator[_Scope]:
    """All that may be limited and is known by name. Roles and holders of tokens are known only once they have come."""
    for key in keys:
        if key.state != "revoked":
            limits = allowances.of_key(key.id, key.fields.name, key.fields.allowance, key.version)
            yield _Scope("key", key.id, key.fields.name, limits, key.fields.team)
    records = {team.id: team for team in teams}
    for team_id in sorted({*records, *allowances.limits.teams, *allowances.budgets.teams}):
        record = records.get(team_id)
        for limits in allowances.of_team(team_id, record):
            yield _Scope("team", team_id, record.fields.name if record else team_id, limits)
    for model in sorted({*allowances.limits.models, *allowances.budgets.models}):
        yield _Scope("model", model, model, allowances.of_model(model))
    for one in running.catalogue.deployments():
        yield _Scope("deployment", one.id, one.id, limits_of_deployment(one))


def _behind(scopes: Sequence[_Scope], after: str) -> Sequence[_Scope]:
    """The scopes that come after the one named; all of them for no name."""
    if not after:
        return scopes
    places = {one.limits.scope: place for place, one in enumerate(scopes)}
    if after not in places:
        raise invalid("'after' names something that is not limited any more: begin again.", "after")
    return scopes[places[after] + 1 :]


async def _view(one: _Scope, desk: LimitDesk, now_s: float) -> ScopeView:
    found = quotas(one.limits, await desk.gates.look(one.limits), now_s)
    return ScopeView(
        scope=one.limits.scope,
        kind=one.kind,
        id=one.id,
        name=one.name,
        team=one.team,
        stopped=found.revoked,
        budget=_money(found.budget, one.limits.budget),
        requests=_quota(found.requests),
        tokens=_quota(found.tokens),
        parallel=_quota(found.parallel),
    )


def _quota(quota: Quota | None) -> QuotaView | None:
    if quota is None:
        return None
    return QuotaView(
        limit=quota.limit,
        used=quota.used,
        remaining=quota.remaining,
        percent=quota.percent,
        resets_at=_moment(quota.resets_at_s),
    )


def _money(quota: Quota | None, budget: BudgetLimit | None) -> MoneyView | None:
    if quota is None or budget is None:
        return None
    return MoneyView(
        limit_usd=quota.limit / 1_000_000,
        used_usd=quota.used / 1_000_000,
        reserved_usd=quota.reserved / 1_000_000,
        remaining_usd=quota.remaining / 1_000_000,
        percent=quota.percent,
        period=budget.period,
        timezone=budget.zone,
        resets_at=_moment(quota.resets_at_s),
    )


def _moment(time_s: int | None) -> datetime | None:
    return None if time_s is None else datetime.fromtimestamp(time_s, UTC)
