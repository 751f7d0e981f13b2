"""Keys and teams as JSON: what administrators see and what audit rows keep. No secret and no hash is in it."""

from datetime import UTC, datetime

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
        "expires_at": timestamp(fields.expires_s),
        "metadata": dict(fields.metadata),
        "tags": list(fields.tags),
        "created_at": timestamp(record.created_s),
        "created_by": record.created_by,
        "version": record.version,
        "previous_valid_until": timestamp(previous.until_s) if previous is not None and now_s < previous.until_s else None,
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
        "created_at": timestamp(team.created_s),
        "created_by": team.created_by,
        "version": team.version,
    }


def timestamp(seconds: float | None) -> str | None:
    """RFC 3339 in UTC, whole seconds."""
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
