"""GET /v1/usage: what a caller has used. Everybody sees their own; administrators and viewers see all.

A member of a team may ask for the sums of the team (`team=<its name>`), but not for what each of its keys used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.jsontext import dumps
from pllm.core.principal import Principal
from pllm.core.usage_report import Page, UsageQuery, page_csv, page_object, parse_query, wants_csv
from pllm.edge.exchange import Exchange
from pllm.edge.http import send_whole
from pllm.state.store import StateError
from pllm.state.usage_reader import UsageReader

_SEES_ALL = ("admin", "viewer")


@dataclass(frozen=True, slots=True)
class UsageEndpoint:
    """`reader` is None where there is no table: then there is no usage to be told."""

    reader: UsageReader | None
    clock: Clock

    async def __call__(self, exchange: Exchange) -> None:
        if self.reader is None:
            raise GatewayError(
                ErrorKind.NOT_IMPLEMENTED, "Usage is kept in the gateway's table, and there is none (PLLM_TABLE)."
            )
        given = _parameters(exchange.request.query_string)
        as_csv = wants_csv(given, exchange.request.header("accept") or "")
        query = for_caller(parse_query(given, self.clock.wall_s()), exchange.principal)
        try:
            page = await self.reader.report(query)
        except StateError as error:
            raise unreadable(error) from None
        await _answer(exchange, page, as_csv)


def for_caller(query: UsageQuery, caller: Principal) -> UsageQuery:
    """The query with what the caller may see. Raises a 403."""
    if caller.role in _SEES_ALL:
        return query
    asked_team = query.only.get("team")
    if asked_team is None:
        if query.only.get("key", caller.id) != caller.id:
            raise _refused("key", "You may see the usage of your own key only.")
        return query.narrowed(key=caller.id)
    if caller.team is None or asked_team != caller.team:
        raise _refused("team", "You may see the usage of your own team only.")
    if "key" in query.group_by or query.only.get("key", caller.id) != caller.id:
        raise _refused("group_by", "You may see your team's sums, but not what each of its keys used.")
    return query


def unreadable(error: StateError) -> GatewayError:
    return GatewayError(ErrorKind.UNAVAILABLE, f"Usage cannot be read now ({error.reason}).", retry_after_s=2)


def _parameters(query_string: bytes) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=32)
    except ValueError:
        raise invalid("The query string has too many parameters.") from None


async def _answer(exchange: Exchange, page: Page, as_csv: bool) -> None:
    if not as_csv:
        await exchange.answer_json(dumps(page_object(page)))
        return
    exchange.record.status = 200
    headers = [("content-type", "text/csv; charset=utf-8"), ("x-request-id", exchange.record.request_id)]
    if page.next is not None:
        headers.append(("x-pllm-next-page", page.next))
    await send_whole(exchange.send, 200, headers, page_csv(page).encode())


def _refused(param: str, message: str) -> GatewayError:
    return GatewayError(ErrorKind.PERMISSION, message, param=param)
