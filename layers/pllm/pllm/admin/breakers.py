"""/api/admin/breakers: which deployments are used and which are left alone, and an administrator's word on it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from pllm.admin.schemas import Asked
from pllm.admin.services import FleetNow, Running, Serving, Who, no_table, services
from pllm.core.breaker import Breaker
from pllm.core.breaker_view import breaker_view
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.fleet import Failure, Fleet
from pllm.state.breaker_desk import BreakerDesk

router = APIRouter(prefix="/api/admin/breakers", tags=["breakers"])

_LONGEST_S = 366 * 24 * 3600


def desk(request: Request) -> BreakerDesk:
    """Raises UNAVAILABLE where there is no table."""
    found = services(request).breakers
    if found is None:
        raise no_table("breakers")
    return found


Desk = Annotated[BreakerDesk, Depends(desk)]


class Force(Asked):
    """For how long, and why."""

    seconds: Annotated[
        float | None, Field(gt=0, le=_LONGEST_S, allow_inf_nan=False, description="Default: until it is released.")
    ] = None
    reason: Annotated[str, Field(max_length=200, description="Shown beside the breaker, for whoever looks later.")] = ""


class LastErrorView(BaseModel):
    """`times`: how often the deployment has failed so since the table was made."""

    type: str
    at: datetime
    times: int


class BreakerView(BaseModel):
    """`admits`: all requests, one probe, or none. `forced`: an administrator's word holds, until `until` (null: until it is
    released); otherwise what happens decides. `why`: the error that moved it last, or `forced`. `reason`: the
    administrator's."""

    deployment: str
    model: str
    provider: str
    state: Literal["closed", "open", "half_open"]
    admits: Literal["all", "probe", "none"]
    forced: bool
    why: str | None
    reason: str | None
    since: datetime | None
    until: datetime | None
    generation: int
    last_error: LastErrorView | None


class BreakerPage(BaseModel):
    """`enabled`: whether breakers move by themselves (`router.circuit_breaker_enabled`); if not, only forced ones count."""

    object: Literal["list"] = "list"
    enabled: bool
    data: list[BreakerView]


@router.get("", summary="List the breaker of every deployment")
async def list_breakers(at: Serving, fleet: FleetNow) -> BreakerPage:
    failures = fleet.last_failure()
    data = [_view(one, fleet.breaker(one.id), fleet.now_s, failures) for one in _deployments(at.running).values()]
    return BreakerPage(enabled=at.running.config.router.circuit_breaker_enabled, data=data)


@router.post("/{deployment_id:path}/open", summary="Send a deployment nothing, for a time or until it is released")
async def open_breaker(
    deployment_id: str, at: Serving, table: Desk, fleet: FleetNow, who: Who, body: Force | None = None
) -> BreakerView:
    one, body = _deployment(deployment_id, at.running), body or Force()
    return _moved(one, await table.open(one.id, who.id, for_s=body.seconds, note=body.reason), at, fleet)


@router.post("/{deployment_id:path}/close", summary="Use a deployment whatever comes of it, for a time or until it is released")
async def close_breaker(
    deployment_id: str, at: Serving, table: Desk, fleet: FleetNow, who: Who, body: Force | None = None
) -> BreakerView:
    one, body = _deployment(deployment_id, at.running), body or Force()
    return _moved(one, await table.close(one.id, who.id, for_s=body.seconds, note=body.reason), at, fleet)


@router.post("/{deployment_id:path}/release", summary="Let what happens decide about a deployment again")
async def release_breaker(deployment_id: str, at: Serving, table: Desk, fleet: FleetNow, who: Who) -> BreakerView:
    one = _deployment(deployment_id, at.running)
    return _moved(one, await table.release(one.id, who.id), at, fleet)


def _deployments(running: Running) -> dict[str, Deployment]:
    return {one.id: one for one in running.catalogue.deployments()}


def _deployment(deployment_id: str, running: Running) -> Deployment:
    """Raises a 404 that names near ones."""
    known = _deployments(running)
    if deployment_id not in known:
        near = get_close_matches(deployment_id, known, n=3, cutoff=0.4)
        hint = f" Near: {', '.join(map(repr, near))}." if near else ""
        raise GatewayError(ErrorKind.NOT_FOUND, f"No deployment with the id {deployment_id[:200]!r} is configured.{hint}")
    return known[deployment_id]


def _moved(one: Deployment, breaker: Breaker, at: Serving, fleet: Fleet) -> BreakerView:
    return _view(one, breaker, at.clock.wall_s(), fleet.last_failure())


def _view(one: Deployment, breaker: Breaker, now_s: float, failures: Mapping[str, Failure]) -> BreakerView:
    failure = failures.get(one.id)
    last = None
    if failure is not None:
        at = datetime.fromtimestamp(failure.at_ms / 1000, UTC)
        last = LastErrorView(type=failure.kind, at=at, times=failure.times)
    shown = breaker_view(breaker, int(now_s * 1000))
    return BreakerView(deployment=one.id, model=one.model_name, provider=one.provider, last_error=last, **shown)
