"""Keys and teams as JSON: what administrators see and what audit rows keep. No secret and no hash is in it."""

from pllm.core.clock import rfc3339
from pllm.core.jsontext import JsonObject
from pllm.core.keys import Allowance, KeyRecord, Team


def key_view(record: KeyRecord, now_s: float) -> JsonObject:
    """A key as the control plane shows it. `now_s` decides whether it has expired."""
    fields, previous = record.fields, record.previous
    return {
        "id": record.id,
        "name": fields.name,
        "team": fields.team,
        "role": fields.role,
        "status": record.status(now_s),
        "models": list(fields.models),
        "scopes": list(fields.scopes),
        **_allowance(fields.allowance),
        "expires_at": _moment(fields.expires_s),
        "metadata": dict(fields.metadata),
        "tags": list(fields.tags),
        "created_at": rfc3339(record.created_s),
        "created_by": record.created_by,
        "version": record.version,
        "previous_valid_until": rfc3339(previous.until_s) if previous is not None and now_s < previous.until_s else None,
    }


def team_view(team: Team) -> JsonObject:
    """A team as the control plane shows it."""
    fields = team.fields
    return {
        "id": team.id,
        "name": fields.name,
        "models": list(fields.models),
        **_allowance(fields.allowance),
        "metadata": dict(fields.metadata),
        "tags": list(fields.tags),
        "keys": team.keys,
        "created_at": rfc3339(team.created_s),
        "created_by": team.created_by,
        "version": team.version,
    }


def _moment(time_s: float | None) -> str | None:
    return None if time_s is None else rfc3339(time_s)


def _allowance(allowance: Allowance) -> JsonObject:
    budget = allowance.budget
    shown = None
    if budget is not None:
        shown = {"amount_usd": budget.micro_usd / 1_000_000, "period": budget.period, "timezone": budget.zone}
    return {
        "rpm": allowance.rpm,
        "tpm": allowance.tpm,
        "max_parallel": allowance.max_parallel,
        "sliding": allowance.sliding,
        "budget": shown,
    }
