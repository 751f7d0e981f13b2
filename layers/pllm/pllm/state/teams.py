"""Teams as administrators handle them. A team's limits hold for all of its keys together; see key_items for its item."""

from collections.abc import Callable
from dataclasses import replace

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.key_rules import check_team, check_team_id, is_team_id
from pllm.core.key_view import team_view
from pllm.core.keys import Team, TeamFields
from pllm.state.audit import Change
from pllm.state.changes import Changes, outdated
from pllm.state.key_items import TEAM_LIST, read_team, team_removal, team_write
from pllm.state.store import TransactionalStore


class Teams:
    """Every method may raise StateError; `by` and `version` as for keys."""

    def __init__(self, store: TransactionalStore, clock: Clock, changes: Changes) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes

    async def create(self, team_id: str, fields: TeamFields, by: str) -> Team:
        """Raises a 400 for what will not do, a 409 for an id that is taken."""
        check_team_id(team_id)
        check_team(fields)
        now_s = int(self._clock.wall_s())
        # Its gate outlives a team, and takes no limits whose version is below what it has been told.
        team = Team(team_id, fields, now_s, by, version=now_s)
        change = Change(by, "team.create", f"team/{team_id}", None, team_view(team))
        if await self._changes.write([team_write(None, team)], change) is not None:
            raise GatewayError(ErrorKind.CONFLICT, f"There is a team {team_id!r} already.", param="id")
        await self._changes.tell()
        return team

    async def get(self, team_id: str) -> Team:
        item = await self._store.get(TEAM_LIST, team_id, consistent=True) if is_team_id(team_id) else None
        if item is None:
            raise GatewayError(ErrorKind.NOT_FOUND, f"There is no team with the id {team_id!r}.")
        return read_team(item)

    async def list(self) -> list[Team]:
        """All of them, by id."""
        return [read_team(item) for item in await self._store.query(TEAM_LIST)]

    async def update(
        self, team_id: str, change: Callable[[TeamFields], TeamFields], by: str, version: int | None = None
    ) -> Team:
        """Other fields. Raises a 400 for fields that will not do."""
        team = await self._current(team_id, version)
        fields = change(team.fields)
        if fields == team.fields:
            return team
        check_team(fields)
        new = replace(team, fields=fields, version=team.version + 1)
        row = Change(by, "team.update", f"team/{team_id}", team_view(team), team_view(new))
        if await self._changes.write([team_write(team, new)], row) is not None:
            raise outdated(f"The team {team_id!r}", None)
        await self._changes.tell()
        return new

    async def delete(self, team_id: str, by: str, version: int | None = None) -> None:
        """Raises a 409 for a team that still has keys: without it they would lose its limits."""
        team = await self._current(team_id, version)
        if team.keys:
            raise _has_keys(team_id, team.keys)
        row = Change(by, "team.delete", f"team/{team_id}", team_view(team), None)
        rejected = await self._changes.write([team_removal(team)], row)
        if rejected is not None:
            keys = rejected.item.get("keys") if rejected.item is not None else 0
            raise _has_keys(team_id, keys) if isinstance(keys, int) and keys else outdated(f"The team {team_id!r}", None)
        await self._changes.tell()

    async def _current(self, team_id: str, version: int | None) -> Team:
        team = await self.get(team_id)
        if version is not None and team.version != version:
            raise outdated(f"The team {team_id!r}", team.version)
        return team


def _has_keys(team_id: str, keys: int) -> GatewayError:
    there_are = "there is 1 key" if keys == 1 else f"there are {keys} keys"
    return GatewayError(ErrorKind.CONFLICT, f"The team {team_id!r} cannot be deleted while {there_are} in it.")
