"""Virtual keys as administrators handle them: made, listed, changed, rotated, stopped, removed. See key_items for the items.

A key that stops is stopped twice: in its record, which every environment is told within five seconds to read anew, and at its
gate, which asks for no reading: a limited key stops with the next request.
"""

from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.key_rules import check_grace, check_key
from pllm.core.key_view import key_view
from pllm.core.keys import SECRET_BYTES, KeyFields, KeyRecord, KeyState, PreviousKey, digest_of, mint
from pllm.core.limits import key_scope
from pllm.core.secret import Secret
from pllm.state.audit import Change
from pllm.state.changes import Changes, outdated
from pllm.state.key_items import KEY_LIST, hash_key, key_writes, read_key, team_counts
from pllm.state.store import Item, Rejected, StateError, TransactionalStore

_VERBS: dict[KeyState, str] = {"active": "enable", "disabled": "disable", "revoked": "revoke"}


class GateSwitch(Protocol):
    """What of the gates this module needs. Both may raise StateError."""

    async def revoke(self, scope: str) -> None: ...

    async def restore(self, scope: str) -> None: ...


# Ours have 20 characters. The table takes keys of 2048 bytes and no more.
_LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class NewKey:
    """A record and the key itself, which is nowhere else and cannot be had again."""

    record: KeyRecord
    secret: Secret


@dataclass(frozen=True, slots=True)
class KeyTools:
    """What keys are handled with. `entropy(n)` gives n random bytes fit for secrets; `warn` takes what an operator should
    know of and that stops nothing."""

    store: TransactionalStore
    clock: Clock
    changes: Changes
    entropy: Callable[[int], bytes]
    gates: GateSwitch | None = None
    warn: Callable[[str], None] = lambda _: None


class Keys:
    """Every method may raise StateError. Those that change take `by`, the id of who asks, and raise a 404 for an unknown id
    and a 409 for a change that somebody else was faster with; `version`, where given, must be the one last read."""

    def __init__(self, tools: KeyTools) -> None:
        self._store = tools.store
        self._clock = tools.clock
        self._changes = tools.changes
        self._entropy = tools.entropy
        self._gates = tools.gates
        self._warn = tools.warn

    async def create(self, fields: KeyFields, by: str) -> NewKey:
        """A new key. Raises a 400 for fields that will not do, a team that does not exist included."""
        check_key(fields, self._clock.wall_s())
        key_id = "key_" + b32encode(self._entropy(10)).decode().lower()
        key = mint(self._entropy(SECRET_BYTES))
        record = KeyRecord(key_id, digest_of(key), fields, int(self._clock.wall_s()), by)
        await self._write(None, record, "create", by)
        return NewKey(record, Secret(key))

    async def get(self, key_id: str) -> KeyRecord:
        item = await self._store.get(KEY_LIST, key_id, consistent=True) if 0 < len(key_id) <= _LONGEST_ID else None
        if item is None:
            raise GatewayError(ErrorKind.NOT_FOUND, f"There is no key with the id {key_id!r}.")
        return read_key(item)

    async def by_hash(self, digest: str) -> KeyRecord | None:
        item = await self._store.get(*hash_key(digest), consistent=True)
        return read_key(item) if item is not None else None

    async def list(self) -> list[KeyRecord]:
        """All of them, newest first."""
        records = [read_key(item) for item in await self._store.query(KEY_LIST)]
        return sorted(records, key=lambda record: (-record.created_s, record.id))

    async def update(
        self, key_id: str, change: Callable[[KeyFields], KeyFields], by: str, version: int | None = None
    ) -> KeyRecord:
        """Other fields. Raises a 400 for fields that will not do. A revoked key stays as it is (409)."""
        record = await self._current(key_id, version)
        fields = change(record.fields)
        if fields == record.fields:
            return record
        # An expiry that has passed may stay while something else is changed; a new one must lie ahead.
        same_expiry = fields.expires_s == record.fields.expires_s
        check_key(replace(fields, expires_s=None) if same_expiry else fields, self._clock.wall_s())
        return await self._write(record, replace(record, fields=fields), "update", by)

    async def rotate(self, key_id: str, by: str, *, grace_s: int, version: int | None = None) -> NewKey:
        """A new secret for the same key. The one before works for `grace_s` seconds more; one before that, no longer."""
        check_grace(grace_s)
        record = await self._current(key_id, version)
        key = mint(self._entropy(SECRET_BYTES))
        former = PreviousKey(record.sha256, int(self._clock.wall_s()) + grace_s) if grace_s else None
        rotated = replace(record, sha256=digest_of(key), previous=former)
        return NewKey(await self._write(record, rotated, "rotate", by), Secret(key))

    async def set_state(self, key_id: str, state: KeyState, by: str, version: int | None = None) -> KeyRecord:
        """`disabled` and back to `active`; `revoked` for good (409 on any way back). Repeating is harmless, and mends a gate
        that could not be reached the first time."""
        record = await self.get(key_id)
        if record.state != state:
            record = await self._current(key_id, version)
            record = await self._write(record, replace(record, state=state), _VERBS[state], by)
        await self._switch(record.id, on=state == "active")
        return record

    async def delete(self, key_id: str, by: str, version: int | None = None) -> None:
        """Forgets a key; what it used stays in the ledger. The key stops as a revoked one does."""
        record = await self.get(key_id)
        _same_version(record, version)
        await self._write(record, None, "delete", by)
        await self._switch(record.id, on=False)

    async def _current(self, key_id: str, version: int | None) -> KeyRecord:
        record = await self.get(key_id)
        _same_version(record, version)
        if record.state == "revoked":
            raise GatewayError(ErrorKind.CONFLICT, f"The key {key_id!r} is revoked, which is final. Create another one.")
        return record

    async def _write(self, old: KeyRecord | None, new: KeyRecord | None, verb: str, by: str) -> KeyRecord:
        now_s = self._clock.wall_s()
        if new is not None and old is not None:
            new = replace(new, version=old.version + 1, previous=_still_valid(new.previous, now_s))
        record = new or old
        assert record is not None
        before, after = (key_view(one, now_s) if one is not None else None for one in (old, new))
        change = Change(by, f"key.{verb}", f"key/{record.id}", before, after)
        counts = team_counts(old.fields.team if old is not None else None, new.fields.team if new is not None else None)
        rejected = await self._changes.write([*key_writes(old, new, now_s), *counts], change)
        if rejected is not None:
            raise _refusal(rejected, record, joins=new is not None)
        if old is not None:
            await self._changes.tell()
        return record

    async def _switch(self, key_id: str, *, on: bool) -> None:
        """The record is what counts and is written; a gate that cannot be reached only makes the key stop later."""
        if self._gates is None:
            return
        try:
            await (self._gates.restore if on else self._gates.revoke)(key_scope(key_id))
        except StateError as error:
            self._warn(f"the gate of {key_id} could not be switched {'on' if on else 'off'} ({error.reason}): repeat the call")


def _same_version(record: KeyRecord, version: int | None) -> None:
    if version is not None and record.version != version:
        raise outdated(f"The key {record.id!r}", record.version)


def _still_valid(previous: PreviousKey | None, now_s: float) -> PreviousKey | None:
    return previous if previous is not None and now_s < previous.until_s else None


def _refusal(rejected: Rejected, record: KeyRecord, *, joins: bool) -> GatewayError:
    """Either the record is no longer the one that was read, or the team it should join is not there."""
    if rejected.index == 0 or not joins:
        return outdated(f"The key {record.id!r}", _version_of(rejected.item))
    team = record.fields.team
    return GatewayError(ErrorKind.INVALID_REQUEST, f"There is no team {team!r}. Create it first.", param="team")


def _version_of(item: Item | None) -> int | None:
    version = item.get("version") if item is not None else None
    return version if isinstance(version, int) else None
