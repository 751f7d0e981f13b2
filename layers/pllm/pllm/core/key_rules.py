"""What may be said of a key or a team. Every rule names the field, what is wrong and what would be right."""

import re
from collections.abc import Mapping, Sequence

from pllm.core.errors import invalid
from pllm.core.keys import Allowance, KeyFields, TeamFields
from pllm.core.principal import SCOPES

LONGEST_GRACE_S = 30 * 24 * 3600
MOST_MICRO_USD = 10**15
"""A billion dollars: sums of it still fit every number on the way."""

_MOST = 10**12
_ROLES = ("admin", "viewer", "user")
_PERIODS = ("day", "week", "month", "total")
_TEAM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}")


def check_key(fields: KeyFields, now_s: float) -> None:
    """Raises a 400 that names the first field that will not do."""
    _name(fields.name)
    if fields.team is not None:
        check_team_id(fields.team, "team")
    _patterns(fields.models)
    _scopes(fields.scopes)
    if fields.role not in _ROLES:
        raise invalid(f"'role' must be one of {', '.join(_ROLES)}.", "role")
    _allowance(fields.allowance)
    if fields.expires_s is not None and not now_s < fields.expires_s < now_s + 100 * 366 * 86_400:
        raise invalid(
            "'expires_at' must be in the future, within a hundred years. To stop a key now, disable it.", "expires_at"
        )
    _labels(fields.metadata, fields.tags)


def check_team(fields: TeamFields) -> None:
    """Raises a 400 that names the first field that will not do."""
    _name(fields.name)
    _patterns(fields.models)
    _allowance(fields.allowance)
    _labels(fields.metadata, fields.tags)


def check_team_id(team_id: str, param: str = "id") -> None:
    """Raises a 400 for what cannot be a team's id. It is part of shared state's keys and of tokens' claims."""
    if not is_team_id(team_id):
        raise invalid(
            f"'{param}' must be 1 to 64 letters, digits and characters of ._@:- with a letter or digit first.",
            param,
        )


def is_team_id(text: str) -> bool:
    """Whether a team could have this id. What could not need not be looked up."""
    return _TEAM_ID.fullmatch(text) is not None


def check_grace(grace_s: int) -> None:
    """Raises a 400 for a time of grace that no rotation should have."""
    if not 0 <= grace_s <= LONGEST_GRACE_S:
        raise invalid(f"'grace_seconds' must be from 0 to {LONGEST_GRACE_S} (30 days).", "grace_seconds")


def _name(name: str) -> None:
    if not 1 <= len(name) <= 128 or not name.isprintable() or name != name.strip():
        raise invalid("'name' must be 1 to 128 printable characters without spaces around them.", "name")


def _patterns(models: Sequence[str]) -> None:
    if not 1 <= len(models) <= 100:
        raise invalid("'models' must hold 1 to 100 patterns of model names; [\"*\"] stands for all.", "models")
    for number, pattern in enumerate(models):
        if not 1 <= len(pattern) <= 200 or not pattern.isprintable() or pattern != pattern.strip():
            raise invalid(f"'models[{number}]' must be 1 to 200 printable characters without spaces around them.", "models")


def _scopes(scopes: Sequence[str]) -> None:
    unknown = sorted(set(scopes) - {"*", *SCOPES})
    if unknown or not scopes:
        said = f"unknown scope {unknown[0]!r}" if unknown else "no scope"
        raise invalid(f"'scopes' holds {said}. There are {', '.join(SCOPES)}, and * for all.", "scopes")


def _allowance(allowance: Allowance) -> None:
    for name in ("rpm", "tpm", "max_parallel"):
        value = getattr(allowance, name)
        if value is not None and not 1 <= value <= _MOST:
            raise invalid(f"'{name}' must be from 1 to {_MOST}; leave it out for no limit of its own.", name)
    budget = allowance.budget
    if budget is None:
        return
    if not 0 <= budget.micro_usd <= MOST_MICRO_USD:
        raise invalid(f"'budget.amount_usd' must be from 0 to {MOST_MICRO_USD // 10**6}.", "budget.amount_usd")
    if budget.period not in _PERIODS:
        raise invalid(f"'budget.period' must be one of {', '.join(_PERIODS)}.", "budget.period")
    if not _is_zone(budget.zone):
        raise invalid(f"'budget.timezone' must be a name such as UTC or Europe/Berlin, not {budget.zone!r}.", "budget.timezone")


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo  # administrators only

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _labels(metadata: Mapping[str, str], tags: Sequence[str]) -> None:
    if len(metadata) > 32 or any(not 1 <= len(key) <= 64 or len(value) > 512 for key, value in metadata.items()):
        raise invalid("'metadata' may hold 32 pairs, of names up to 64 and values up to 512 characters.", "metadata")
    if not all(_is_unicode(text) for pair in metadata.items() for text in pair):
        raise invalid("'metadata' holds half of a surrogate pair, which is no character.", "metadata")
    if len(tags) > 32 or len(set(tags)) != len(tags) or any(not 1 <= len(t) <= 64 or not t.isprintable() for t in tags):
        raise invalid("'tags' may hold 32 different printable texts of 1 to 64 characters.", "tags")


def _is_unicode(text: str) -> bool:
    """JSON can say what UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
