"""/api/admin/teams: teams, whose limits and budgets hold for all of their keys together."""

from typing import Annotated

from fastapi import APIRouter, Query

from pllm.admin.fields import team_change, team_fields
from pllm.admin.limit_changes import tell_team
from pllm.admin.schemas import Deleted, TeamCreate, TeamPage, TeamPatch, TeamView
from pllm.admin.services import Serving, Table, Who
from pllm.core.key_view import team_view

router = APIRouter(prefix="/api/admin/teams", tags=["teams"])


@router.get("", summary="List teams, by id")
async def list_teams(table: Table) -> TeamPage:
    return TeamPage(data=[TeamView(**team_view(team)) for team in await table.teams.list()])


@router.post("", status_code=201, summary="Create a team")
async def create_team(body: TeamCreate, table: Table, at: Serving, who: Who) -> TeamView:
    team = await table.teams.create(body.id, team_fields(body), who.id)
    await tell_team(at, team)  # what the configuration says of its id may have limited it before
    return TeamView(**team_view(team))


@router.get("/{team_id}", summary="Look at a team")
async def get_team(team_id: str, table: Table) -> TeamView:
    return TeamView(**team_view(await table.teams.get(team_id)))


@router.patch("/{team_id}", summary="Change a team")
async def patch_team(team_id: str, body: TeamPatch, table: Table, at: Serving, who: Who) -> TeamView:
    team = await table.teams.update(team_id, team_change(body), who.id, body.version)
    await tell_team(at, team)
    return TeamView(**team_view(team))


@router.delete("/{team_id}", summary="Remove a team that has no keys")
async def delete_team(
    team_id: str, table: Table, who: Who, version: Annotated[int | None, Query(description="The version last read.")] = None
) -> Deleted:
    await table.teams.delete(team_id, who.id, version)
    return Deleted(id=team_id)
