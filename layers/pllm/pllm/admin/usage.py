"""/api/admin/usage: everybody's usage, as /v1/usage tells it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from pllm.admin.services import Serving, no_table
from pllm.core.usage_report import MOST_LINES, page_csv, page_object, parse_query, wants_csv

router = APIRouter(prefix="/api/admin/usage", tags=["usage"])

_CSV = {"text/csv": {"schema": {"type": "string"}}}


def _about(words: str) -> Any:
    return Query(description=words)


@router.get("", summary="Usage by minute, hour or day, of whom and for what", responses={200: {"content": _CSV}})
async def usage(
    request: Request,
    at: Serving,
    period: Annotated[str, _about("minute (kept 48 hours), hour (90 days) or day.")] = "hour",
    from_: Annotated[str | None, Query(alias="from", description="RFC 3339, a date or epoch seconds.")] = None,
    to: Annotated[str | None, _about("The end, exclusive. Default: now.")] = None,
    group_by: Annotated[list[str], _about("Of key, team, model, deployment, prices; commas or repeated.")] = [],  # noqa: B006
    key: Annotated[str | None, _about("Only of this key's id.")] = None,
    team: Annotated[str | None, _about("Only of this team.")] = None,
    model: Annotated[str | None, _about("Only of this model.")] = None,
    deployment: Annotated[str | None, _about("Only of this deployment.")] = None,
    format_: Annotated[str | None, Query(alias="format", description="json or csv. Default: the Accept header.")] = None,
    limit: Annotated[str | None, _about(f"Most lines of a page, 1 to {MOST_LINES}. Default 1000.")] = None,
    page: Annotated[str | None, _about("`next_page` of the page before.")] = None,
) -> Response:
    if at.usage is None:
        raise no_table("usage")
    given = {name: request.query_params.getlist(name) for name in request.query_params}
    as_csv = wants_csv(given, request.headers.get("accept", ""))
    found = await at.usage.report(parse_query(given, at.clock.wall_s()))
    if not as_csv:
        return JSONResponse(page_object(found))
    headers = {"x-pllm-next-page": found.next} if found.next is not None else {}
    return Response(page_csv(found), headers=headers, media_type="text/csv")
