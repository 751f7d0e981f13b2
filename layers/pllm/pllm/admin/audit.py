"""/api/admin/audit: who changed what, when, and how it was before and after. And /api/admin/me: who is asking."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from pllm.admin.schemas import AuditPage, AuditView, WhoView
from pllm.admin.services import Serving, Table, Who
from pllm.state.audit import AuditRow

router = APIRouter(prefix="/api/admin", tags=["audit"])


@router.get("/audit", summary="List changes, the newest first")
async def list_changes(
    table: Table,
    at: Serving,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most entries of this page.")] = 100,
    before: Annotated[
        str, Query(pattern=r"^(\d{13}#[0-9a-z]{1,36})?$", description="`next` of the page before (percent-encoded).")
    ] = "",
    target: Annotated[str, Query(description="Only changes of this, such as `key/key_...` or `team/search`.")] = "",
) -> AuditPage:
    rows = await table.audit.newest(at.clock.wall_s(), most=limit + 1, before_id=before, target=target)
    return AuditPage(data=[_view(row) for row in rows[:limit]], next=rows[limit - 1].id if len(rows) > limit else None)


@router.get("/me", summary="Whose credential this is", tags=["me"])
async def me(who: Who) -> WhoView:
    return WhoView(id=who.id, name=who.name, role=who.role, team=who.team)


def _view(row: AuditRow) -> AuditView:
    change = row.change
    return AuditView(
        id=row.id,
        at=datetime.fromtimestamp(row.at_ms / 1000, UTC),
        who=change.who,
        what=change.what,
        target=change.target,
        before=change.before,
        after=change.after,
    )
