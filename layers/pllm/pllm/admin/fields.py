"""From what was asked to what keys and teams are made of."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from pllm.admin.schemas import Allowed, BudgetBody, KeyCreate, KeyPatch, TeamCreate, TeamPatch
from pllm.core.keys import Allowance, KeyFields, TeamFields
from pllm.core.limits import BudgetLimit

_ALLOWANCE = frozenset(Allowed.model_fields)
_LISTS = frozenset({"models", "scopes", "tags"})


def key_fields(body: KeyCreate) -> KeyFields:
    return KeyFields(
        name=body.name,
        team=body.team,
        models=tuple(body.models),
        scopes=tuple(body.scopes),
        role=body.role,
        allowance=_changed(Allowance(), _given(body)),
        expires_s=_seconds(body.expires_at),
        metadata=body.metadata,
        tags=tuple(body.tags),
    )


def key_change(body: KeyPatch) -> Callable[[KeyFields], KeyFields]:
    """What the given fields make of a key; those that were not given stay."""
    given = _given(body)
    if "expires_at" in given:
        given["expires_s"] = _seconds(given.pop("expires_at"))
    return partial(_patched, given=given)


def team_fields(body: TeamCreate) -> TeamFields:
    allowance = _changed(Allowance(), _given(body))
    return TeamFields(body.name or body.id, tuple(body.models), allowance, body.metadata, tuple(body.tags))


def team_change(body: TeamPatch) -> Callable[[TeamFields], TeamFields]:
    """What the given fields make of a team; those that were not given stay."""
    return partial(_patched, given=_given(body))


def _given(body: Allowed) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.model_fields_set if name != "version"}


def _patched(fields: Any, given: Mapping[str, Any]) -> Any:
    plain = {name: value for name, value in given.items() if name not in _ALLOWANCE}
    plain |= {name: tuple(value) for name, value in plain.items() if name in _LISTS}
    return replace(fields, allowance=_changed(fields.allowance, given), **plain)


def _changed(allowance: Allowance, given: Mapping[str, Any]) -> Allowance:
    values = {name: value for name, value in given.items() if name in _ALLOWANCE}
    if "budget" in values:
        values["budget"] = _budget(values["budget"])
    return replace(allowance, **values)


def _budget(body: BudgetBody | None) -> BudgetLimit | None:
    return None if body is None else BudgetLimit(round(body.amount_usd * 1_000_000), body.period, body.timezone)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
