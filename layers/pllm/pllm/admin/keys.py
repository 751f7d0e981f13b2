"""/api/admin/keys: virtual keys made, listed, changed, rotated, stopped and removed."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from pllm.admin.fields import key_change, key_fields
from pllm.admin.limit_changes import tell_key
from pllm.admin.schemas import Deleted, KeyCreate, KeyPage, KeyPatch, KeyView, NewKeyView, Rotation, Versioned
from pllm.admin.services import Serving, Table, Who
from pllm.core.errors import invalid
from pllm.core.key_view import key_view
from pllm.core.keys import KeyRecord, KeyState, KeyStatus
from pllm.state.keys import NewKey

router = APIRouter(prefix="/api/admin/keys", tags=["keys"])

Limit = Annotated[int, Query(ge=1, le=1000, description="Most entries of this page.")]
Body = Versioned | None


@router.get("", summary="List keys, the newest first")
async def list_keys(
    table: Table,
    at: Serving,
    limit: Limit = 100,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
    team: Annotated[str | None, Query(description="Only those of a team.")] = None,
    status: Annotated[KeyStatus | None, Query(description="Only those in this state.")] = None,
    name: Annotated[str, Query(description="Only those whose name has this in it.")] = "",
) -> KeyPage:
    now_s = at.clock.wall_s()
    found = [
        record
        for record in _behind(await table.keys.list(), after)
        if (team is None or record.fields.team == team)
        and (status is None or record.status(now_s) == status)
        and name.casefold() in record.fields.name.casefold()
    ]
    data = [KeyView(**key_view(record, now_s)) for record in found[:limit]]
    return KeyPage(data=data, next=found[limit - 1].id if len(found) > limit else None)


@router.post("", status_code=201, summary="Create a key; its secret is shown this once")
async def create_key(body: KeyCreate, table: Table, at: Serving, who: Who) -> NewKeyView:
    return _shown(await table.keys.create(key_fields(body), who.id), at.clock.wall_s())


@router.get("/{key_id}", summary="Look at a key")
async def get_key(key_id: str, table: Table, at: Serving) -> KeyView:
    return _view(await table.keys.get(key_id), at)


@router.patch("/{key_id}", summary="Change a key")
async def patch_key(key_id: str, body: KeyPatch, table: Table, at: Serving, who: Who) -> KeyView:
    record = await table.keys.update(key_id, key_change(body), who.id, body.version)
    await tell_key(at, record)
    return _view(record, at)


@router.delete("/{key_id}", summary="Stop a key and forget it")
async def delete_key(
    key_id: str, table: Table, who: Who, version: Annotated[int | None, Query(description="The version last read.")] = None
) -> Deleted:
    await table.keys.delete(key_id, who.id, version)
    return Deleted(id=key_id)


@router.post("/{key_id}/rotate", summary="Give a key a new secret, shown this once; the present one works a while longer")
async def rotate_key(key_id: str, table: Table, at: Serving, who: Who, body: Rotation | None = None) -> NewKeyView:
    body = body or Rotation()
    new = await table.keys.rotate(key_id, who.id, grace_s=body.grace_seconds, version=body.version)
    return _shown(new, at.clock.wall_s())


@router.post("/{key_id}/disable", summary="Stop a key for now")
async def disable_key(key_id: str, table: Table, at: Serving, who: Who, body: Body = None) -> KeyView:
    return await _switched(key_id, "disabled", table, at, who, body)


@router.post("/{key_id}/enable", summary="Let a disabled key work again")
async def enable_key(key_id: str, table: Table, at: Serving, who: Who, body: Body = None) -> KeyView:
    return await _switched(key_id, "active", table, at, who, body)


@router.post("/{key_id}/revoke", summary="Stop a key for good")
async def revoke_key(key_id: str, table: Table, at: Serving, who: Who, body: Body = None) -> KeyView:
    return await _switched(key_id, "revoked", table, at, who, body)


async def _switched(key_id: str, state: KeyState, table: Table, at: Serving, who: Who, body: Body) -> KeyView:
    return _view(await table.keys.set_state(key_id, state, who.id, body.version if body else None), at)


def _behind(records: Sequence[KeyRecord], after: str) -> Sequence[KeyRecord]:
    """The records that come after the one with this id; all of them for no id."""
    if not after:
        return records
    places = {record.id: place for place, record in enumerate(records)}
    if after not in places:
        raise invalid("'after' names a key that is not there any more: begin again.", "after")
    return records[places[after] + 1 :]


def _view(record: KeyRecord, at: Serving) -> KeyView:
    return KeyView(**key_view(record, at.clock.wall_s()))


def _shown(new: NewKey, now_s: float) -> NewKeyView:
    return NewKeyView(**key_view(new.record, now_s), key=new.secret.reveal())
