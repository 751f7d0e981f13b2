"""Limits that an administrator has just changed, told to the gate that keeps them.

A gate enforces the limits that stand in its own item. So what is written there holds from the next admission on, in the write
that admits anyway, whatever an environment still remembers of the key or the team.
"""

from collections.abc import Iterable

from pllm.admin.services import AdminServices
from pllm.core.keys import KeyRecord, Team
from pllm.core.limits import GateLimits
from pllm.state.store import StateError


async def tell_key(at: AdminServices, record: KeyRecord) -> None:
    if at.limits is not None:
        fields = record.fields
        await _tell(at, (at.limits.allowances.of_key(record.id, fields.name, fields.allowance, record.version),))


async def tell_team(at: AdminServices, team: Team) -> None:
    if at.limits is not None:
        await _tell(at, at.limits.allowances.of_team(team.id, team))


async def _tell(at: AdminServices, changed: Iterable[GateLimits]) -> None:
    """The record is what counts and is written; a gate that cannot be reached only learns of it later."""
    assert at.limits is not None
    for limits in changed:
        try:
            await at.limits.gates.tell(limits)
        except StateError as error:
            words = f"the gate of {limits.scope} could not be told of its limits ({error.reason}): they hold within 72 seconds"
            at.emit({"level": "WARN", "message": "keys", "warning": words})
