"""The audit log: who changed what, when, and how it was before and after. A row is written with the change it tells of."""

from dataclasses import dataclass
from datetime import UTC, datetime
from json import dumps as to_json
from json import loads as from_json
from typing import Any, cast

from pllm.core.jsontext import JsonObject
from pllm.state.key_items import audit_partition
from pllm.state.store import Absent, Item, Store, Update, Value

_MONTHS_SEARCHED = 13
"""How far back a listing goes by itself when it is not full yet."""


@dataclass(frozen=True, slots=True)
class Change:
    """`who`: a principal's id. `what`: `key.create`, `team.update`, ... `target`: `key/<id>`, `team/<id>`. `before` and
    `after`: what administrators were shown; None where there was, or is, nothing."""

    who: str
    what: str
    target: str
    before: JsonObject | None
    after: JsonObject | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: str
    at_ms: int
    change: Change


def audit_write(change: Change, now_s: float, token: str) -> Update:
    """The row of a change, for the transaction that makes it. `token` tells apart what happens in one millisecond."""
    at_ms = int(now_s * 1000)
    values: dict[str, Value] = {
        "at": at_ms,
        "who": change.who,
        "what": change.what,
        "target": change.target,
        "before": _text(change.before),
        "after": _text(change.after),
    }
    return Update(audit_partition(now_s), f"{at_ms:013}#{token}", set=values, condition=Absent("PK"))


class AuditLog:
    """Reading it back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def newest(self, now_s: float, *, most: int, before_id: str = "", target: str = "") -> list[AuditRow]:
        """Rows from the newest to older ones: older than the row `before_id`, of one `target` where that is given. Raises
        StateError, ValueError for an id that is none."""
        moment_s = int(before_id.partition("#")[0]) / 1000 if before_id else now_s
        rows: list[AuditRow] = []
        for _ in range(_MONTHS_SEARCHED):
            items = await self._store.query(audit_partition(moment_s))
            found = (_row(item) for item in reversed(items))
            rows += [row for row in found if (not before_id or row.id < before_id) and target in ("", row.change.target)]
            if len(rows) >= most:
                break
            moment_s = _month_before(moment_s)
        return rows[:most]


def _month_before(moment_s: float) -> float:
    first = datetime.fromtimestamp(moment_s, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.timestamp() - 1


def _row(item: Item) -> AuditRow:
    values = cast("dict[str, Any]", item)
    change = Change(values["who"], values["what"], values["target"], _object(values["before"]), _object(values["after"]))
    return AuditRow(values["SK"], values["at"], change)


def _text(value: JsonObject | None) -> str | None:
    return None if value is None else to_json(value, ensure_ascii=False)


def _object(text: str | None) -> JsonObject | None:
    value: JsonObject | None = None if text is None else from_json(text)
    return value
