"""Keys, teams and audit rows as items of the table.

| Item | PK | SK | Why it is there |
|---|---|---|---|
| Key, by hash | `K#<sha256>` | `M` | what the data plane reads; a former hash has one too, until its grace ends |
| Key, by id | `KL` | `<key id>` | the same record: lookup by id, and the list of keys without a scan |
| Team | `TL` | `<team id>` | read by the data plane too; `keys` counts its keys |
| Audit row | `A#<yyyymm>` | `<milliseconds>#<token>` | one for each change, written with it |

A change writes all of its items in one transaction, so that they never disagree; `version` on the item by id decides which of
two administrators was first.
"""

from datetime import UTC, datetime
from json import dumps as to_json
from json import loads as from_json
from typing import Any, cast

from pllm.core.keys import Allowance, KeyFields, KeyRecord, PreviousKey, Team, TeamFields
from pllm.core.limits import BudgetLimit
from pllm.state.store import (
    Absent,
    AllOf,
    Compare,
    Condition,
    Delete,
    Item,
    StateError,
    Update,
    Value,
    Write,
)

KEY_LIST = "KL"
TEAM_LIST = "TL"
_BY_HASH = "M"
# A former hash is of no use after its time of grace; DynamoDB removes it some day after this.
_TTL_SLACK_S = 24 * 3600


def hash_key(digest: str) -> tuple[str, str]:
    """PK and SK of the key with this hash."""
    return f"K#{digest}", _BY_HASH


def audit_partition(moment_s: float) -> str:
    return f"A#{datetime.fromtimestamp(moment_s, UTC):%Y%m}"


# --- Keys ----------------------------------------------------------------------------------------------------------


def key_writes(old: KeyRecord | None, new: KeyRecord | None, now_s: float) -> list[Write]:
    """What turns `old` into `new`; None is a key that does not exist. The item by id comes first, and holds the condition."""
    writes: list[Write] = [_listed(old, new)]
    before, after = _digests(old), _digests(new)
    writes += [Delete(*hash_key(digest)) for digest in sorted(before.keys() - after.keys())]
    for digest, until_s in after.items():
        assert new is not None
        values = _key_values(new)
        if until_s is not None:
            values["exp"] = until_s + _TTL_SLACK_S
        writes.append(Update(*hash_key(digest), set=values, condition=None if old is not None else Absent("PK")))
    return writes


def _listed(old: KeyRecord | None, new: KeyRecord | None) -> Write:
    if new is None:
        assert old is not None
        return Delete(KEY_LIST, old.id, condition=_is_version(old.version))
    condition: Condition = Absent("PK") if old is None else _is_version(old.version)
    return Update(KEY_LIST, new.id, set=_key_values(new), condition=condition)


def _digests(record: KeyRecord | None) -> dict[str, int | None]:
    """Hashes that lead to a record; the former one with the moment it stops."""
    if record is None:
        return {}
    former = {record.previous.sha256: record.previous.until_s} if record.previous is not None else {}
    return {record.sha256: None, **former}


def _key_values(record: KeyRecord) -> dict[str, Value]:
    fields, previous = record.fields, record.previous
    return {
        "id": record.id,
        "sha256": record.sha256,
        "state": record.state,
        "version": record.version,
        "created": record.created_s,
        "created_by": record.created_by,
        "former": previous.sha256 if previous is not None else None,
        "until": previous.until_s if previous is not None else None,
        "name": fields.name,
        "team": fields.team,
        "models": fields.models,
        "scopes": fields.scopes,
        "role": fields.role,
        "expires": fields.expires_s,
        "metadata": to_json(dict(fields.metadata)),
        "tags": fields.tags,
        **_allowance_values(fields.allowance),
    }


def read_key(item: Item) -> KeyRecord:
    """Raises StateError for an item that no version of this code wrote."""
    try:
        return _read_key(cast("dict[str, Any]", item))
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"unreadable key record ({type(error).__name__})", sent=False) from None


def _read_key(item: dict[str, Any]) -> KeyRecord:
    former = item.get("former")
    return KeyRecord(
        id=item["id"],
        sha256=item["sha256"],
        state=item["state"],
        version=item["version"],
        created_s=item["created"],
        created_by=item["created_by"],
        previous=PreviousKey(former, item["until"]) if former is not None else None,
        fields=KeyFields(
            name=item["name"],
            team=item.get("team"),
            models=item["models"],
            scopes=item["scopes"],
            role=item["role"],
            allowance=_read_allowance(item),
            expires_s=item.get("expires"),
            metadata=from_json(item["metadata"]),
            tags=item["tags"],
        ),
    )


# --- Teams ---------------------------------------------------------------------------------------------------------


def team_write(old: Team | None, new: Team) -> Update:
    """Creates or changes a team; the count of its keys is not touched."""
    condition: Condition = Absent("PK") if old is None else _is_version(old.version)
    fields = new.fields
    values: dict[str, Value] = {
        "id": new.id,
        "version": new.version,
        "created": new.created_s,
        "created_by": new.created_by,
        "name": fields.name,
        "models": fields.models,
        "metadata": to_json(dict(fields.metadata)),
        "tags": fields.tags,
        **_allowance_values(fields.allowance),
    }
    return Update(TEAM_LIST, new.id, set=values, add={} if old is not None else {"keys": 0}, condition=condition)


def team_removal(team: Team) -> Delete:
    """Only of a team that has no keys: they would lose its limits."""
    return Delete(TEAM_LIST, team.id, condition=AllOf((_is_version(team.version), Compare("keys", "=", 0))))


def team_counts(before: str | None, after: str | None) -> list[Write]:
    """One key fewer in one team, one more in another. Refused where the new team does not exist."""
    moves = [(before, -1), (after, 1)] if before != after else []
    return [
        Update(TEAM_LIST, team_id, add={"keys": change}, condition=Compare("id", "=", team_id))
        for team_id, change in moves
        if team_id is not None
    ]


def read_team(item: Item) -> Team:
    """Raises StateError for an item that no version of this code wrote."""
    try:
        return _read_team(cast("dict[str, Any]", item))
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"unreadable team record ({type(error).__name__})", sent=False) from None


def _read_team(item: dict[str, Any]) -> Team:
    return Team(
        id=item["id"],
        version=item["version"],
        created_s=item["created"],
        created_by=item["created_by"],
        keys=item["keys"],
        fields=TeamFields(
            name=item["name"],
            models=item["models"],
            allowance=_read_allowance(item),
            metadata=from_json(item["metadata"]),
            tags=item["tags"],
        ),
    )


# --- Both ----------------------------------------------------------------------------------------------------------


def _is_version(version: int) -> Compare:
    return Compare("version", "=", version)


def _allowance_values(allowance: Allowance) -> dict[str, Value]:
    budget = allowance.budget
    return {
        "rpm": allowance.rpm,
        "tpm": allowance.tpm,
        "max_parallel": allowance.max_parallel,
        "sliding": allowance.sliding,
        "budget": budget.micro_usd if budget is not None else None,
        "period": budget.period if budget is not None else None,
        "zone": budget.zone if budget is not None else None,
    }


def _read_allowance(item: dict[str, Any]) -> Allowance:
    amount = item.get("budget")
    budget = BudgetLimit(amount, item["period"], item["zone"]) if amount is not None else None
    return Allowance(item.get("rpm"), item.get("tpm"), item.get("max_parallel"), budget, item.get("sliding", False))
