"""Keys as administrators handle them: the same on the memory twin, on moto and on DynamoDB Local."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from tests.support.key_service import KeyService, key_service
from tests.support.stores import KINDS, store_of

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.keys import Allowance, KeyFields, KeyState, TeamFields, digest_of, is_key
from pllm.core.limits import BudgetLimit
from pllm.state.config_version import read_pointer
from pllm.state.key_reader import KeyReader
from pllm.state.memory import MemoryStore
from pllm.state.store import Rejected, StateError, Write

FULL = KeyFields(
    name="ci",
    models=("gpt-*", "claude-*"),
    scopes=("chat", "embeddings"),
    role="user",
    allowance=Allowance(rpm=60, tpm=100_000, max_parallel=4, budget=BudgetLimit(25_000_000, "week", "Europe/Berlin")),
    expires_s=1_800_100_000,
    metadata={"owner": "Ünal", "quote": '"#"'},
    tags=("a", "b"),
)

STATES: tuple[KeyState, ...] = ("disabled", "active", "revoked")


@pytest.fixture(params=KINDS)
async def service(request: pytest.FixtureRequest) -> AsyncIterator[KeyService]:
    endpoint = request.getfixturevalue("local_endpoint") if request.param == "local" else ""
    async with store_of(request.param, endpoint) as store:
        yield key_service(store)


def refused(kind: ErrorKind, text: str) -> Any:
    return pytest.raises(GatewayError, check=lambda error: error.kind is kind and text in error.message)


async def test_a_key_is_kept_by_its_hash_and_comes_back_as_it_was_made(service: KeyService) -> None:
    made = await service.keys.create(FULL, "master")
    key = made.secret.reveal()
    assert is_key(key)
    assert made.record.fields == FULL
    assert await service.keys.get(made.record.id) == made.record
    assert await service.keys.by_hash(digest_of(key)) == made.record
    assert await service.keys.list() == [made.record]
    assert await service.keys.by_hash(digest_of(key + "x")) is None


async def test_the_key_itself_is_in_no_item(service: KeyService) -> None:
    made = await service.keys.create(FULL, "master")
    rotated = await service.keys.rotate(made.record.id, "master", grace_s=60)
    partitions = ["KL", "TL", f"K#{made.record.sha256}", f"K#{rotated.record.sha256}", "A#202701"]
    everything = repr([await service.store.query(partition) for partition in partitions])
    for secret in (made.secret.reveal(), rotated.secret.reveal()):
        assert secret not in everything
        assert secret.removeprefix("sk-pllm-") not in everything
    rows = repr(await service.store.query("A#202701"))
    assert made.record.sha256 not in rows
    assert rotated.record.sha256 not in rows


async def test_the_list_is_newest_first(service: KeyService) -> None:
    names: list[str] = []
    for name in ("one", "two", "three"):
        await service.keys.create(KeyFields(name), "master")
        service.clock.advance(1)
        names.insert(0, name)
    assert [record.fields.name for record in await service.keys.list()] == names


async def test_every_change_leaves_a_row_that_says_who_what_before_and_after(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    service.clock.advance(1)
    await service.keys.update(made.record.id, lambda fields: replace(fields, name="two"), "key_admin")
    service.clock.advance(1)
    await service.keys.rotate(made.record.id, "key_admin", grace_s=0)
    service.clock.advance(1)
    for state in STATES:
        await service.keys.set_state(made.record.id, state, "key_admin")
        service.clock.advance(1)
    await service.keys.delete(made.record.id, "key_admin")
    rows = await service.audit.newest(service.clock.wall_s(), most=20)
    assert [row.change.what for row in rows] == [
        "key.delete",
        "key.revoke",
        "key.enable",
        "key.disable",
        "key.rotate",
        "key.update",
        "key.create",
    ]
    assert [row.change.who for row in rows[-2:]] == ["key_admin", "master"]
    created, updated, deleted = rows[-1].change, rows[-2].change, rows[0].change
    assert created.before is None
    assert deleted.after is None
    assert updated.before is not None
    assert updated.after is not None
    assert (updated.before["name"], updated.after["name"]) == ("one", "two")
    assert (updated.before["version"], updated.after["version"]) == (1, 2)
    assert {row.change.target for row in rows} == {f"key/{made.record.id}"}


async def test_a_change_reaches_the_item_that_the_data_plane_reads(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    digest = digest_of(made.secret.reveal())
    changed = await service.keys.update(made.record.id, lambda fields: replace(fields, models=("gpt-4o",)), "master")
    assert changed.version == 2
    assert await service.keys.by_hash(digest) == changed
    stopped = await service.keys.set_state(made.record.id, "disabled", "master")
    assert await service.keys.by_hash(digest) == stopped


async def test_a_change_that_changes_nothing_writes_nothing(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    assert await service.keys.update(made.record.id, lambda fields: fields, "master") == made.record
    assert len(await service.audit.newest(service.clock.wall_s(), most=9)) == 1


async def test_a_rotated_key_works_until_its_grace_is_over_and_the_one_before_no_longer(service: KeyService) -> None:
    first = await service.keys.create(FULL, "master")
    second = await service.keys.rotate(first.record.id, "master", grace_s=600)
    old, new = digest_of(first.secret.reveal()), digest_of(second.secret.reveal())
    now_s = service.clock.wall_s()
    for digest in (old, new):
        record = await service.keys.by_hash(digest)
        assert record == second.record
        assert record.opens(digest, now_s + 599)
    assert second.record.opens(new, now_s + 600)
    assert not second.record.opens(old, now_s + 600)
    assert second.record.fields == FULL
    third = await service.keys.rotate(first.record.id, "master", grace_s=600)
    assert await service.keys.by_hash(old) is None
    assert await service.keys.by_hash(new) == third.record


async def test_a_rotation_without_grace_stops_the_old_key_at_once(service: KeyService) -> None:
    made = await service.keys.create(FULL, "master")
    await service.keys.rotate(made.record.id, "master", grace_s=0)
    assert await service.keys.by_hash(digest_of(made.secret.reveal())) is None


async def test_a_former_hash_is_removed_with_the_next_change_and_has_a_ttl_of_its_own(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    await service.keys.rotate(made.record.id, "master", grace_s=600)
    item = await service.store.get(f"K#{made.record.sha256}", "M")
    assert item is not None
    assert item["exp"] == int(service.clock.wall_s()) + 600 + 86_400
    service.clock.advance(601)
    await service.keys.update(made.record.id, lambda fields: replace(fields, name="two"), "master")
    assert await service.store.get(f"K#{made.record.sha256}", "M") is None


async def test_stopping_a_key_in_its_grace_stops_both_of_its_secrets(service: KeyService) -> None:
    first = await service.keys.create(KeyFields("one"), "master")
    second = await service.keys.rotate(first.record.id, "master", grace_s=600)
    await service.keys.set_state(first.record.id, "revoked", "master")
    for key in (first.secret, second.secret):
        record = await service.keys.by_hash(digest_of(key.reveal()))
        assert record is not None
        assert record.status(service.clock.wall_s()) == "revoked"
    await service.keys.delete(first.record.id, "master")
    for key in (first.secret, second.secret):
        assert await service.keys.by_hash(digest_of(key.reveal())) is None


async def test_revoked_is_final_and_repeating_it_harmless(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    await service.keys.set_state(made.record.id, "revoked", "master")
    assert (await service.keys.set_state(made.record.id, "revoked", "master")).version == 2
    for change in (
        service.keys.set_state(made.record.id, "active", "master"),
        service.keys.rotate(made.record.id, "master", grace_s=0),
        service.keys.update(made.record.id, lambda fields: replace(fields, name="x"), "master"),
    ):
        with refused(ErrorKind.CONFLICT, "revoked, which is final"):
            await change


async def test_the_gate_is_switched_with_the_key(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    for state in STATES:
        await service.keys.set_state(made.record.id, state, "master")
    await service.keys.delete(made.record.id, "master")
    scope = f"key/{made.record.id}"
    assert service.gates.calls == [("revoke", scope), ("restore", scope), ("revoke", scope), ("revoke", scope)]


async def test_a_gate_out_of_reach_does_not_keep_a_key_alive(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    service.gates.fails = True
    assert (await service.keys.set_state(made.record.id, "revoked", "master")).state == "revoked"
    assert made.record.id in service.warnings[0]
    service.gates.fails = False
    await service.keys.set_state(made.record.id, "revoked", "master")
    assert service.gates.calls == [("revoke", f"key/{made.record.id}")]


async def test_an_unknown_id_is_a_404(service: KeyService) -> None:
    with refused(ErrorKind.NOT_FOUND, "key_nobody"):
        await service.keys.get("key_nobody")
    with refused(ErrorKind.NOT_FOUND, "key_nobody"):
        await service.keys.delete("key_nobody", "master")


async def test_the_version_that_was_read_must_still_be_there(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    await service.keys.update(made.record.id, lambda fields: replace(fields, name="two"), "a", version=1)
    with refused(ErrorKind.CONFLICT, "at version 2 now"):
        await service.keys.update(made.record.id, lambda fields: replace(fields, name="three"), "b", version=1)
    with refused(ErrorKind.CONFLICT, "at version 2 now"):
        await service.keys.delete(made.record.id, "b", version=1)


async def test_of_two_administrators_at_once_one_is_told_to_look_again(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")

    keys = service.keys
    get = keys.get

    async def read_then_be_overtaken(key_id: str) -> Any:
        record = await get(key_id)
        keys.get = get  # type: ignore[method-assign]
        await keys.set_state(key_id, "revoked", "the other")
        return record

    keys.get = read_then_be_overtaken  # type: ignore[method-assign]
    with refused(ErrorKind.CONFLICT, "changed in the meantime"):
        await keys.update(made.record.id, lambda fields: replace(fields, name="mine"), "one")
    record = await keys.get(made.record.id)
    assert (record.state, record.fields.name, record.version) == ("revoked", "one", 2)
    assert await keys.by_hash(record.sha256) == record
    assert [r.change.what for r in await service.audit.newest(service.clock.wall_s(), most=9)].count("key.update") == 0


async def test_a_team_counts_its_keys_and_cannot_leave_them(service: KeyService) -> None:
    with refused(ErrorKind.INVALID_REQUEST, "no team 'search'"):
        await service.keys.create(KeyFields("one", team="search"), "master")
    assert await service.keys.list() == []
    await service.teams.create("search", TeamFields("Search"), "master")
    made = await service.keys.create(KeyFields("one", team="search"), "master")
    assert (await service.teams.get("search")).keys == 1
    with refused(ErrorKind.CONFLICT, "there is 1 key in it"):
        await service.teams.delete("search", "master")
    await service.teams.create("ads", TeamFields("Ads"), "master")
    await service.keys.update(made.record.id, lambda fields: replace(fields, team="ads"), "master")
    assert [(team.id, team.keys) for team in await service.teams.list()] == [("ads", 1), ("search", 0)]
    await service.teams.delete("search", "master")
    await service.keys.delete(made.record.id, "master")
    assert (await service.teams.get("ads")).keys == 0


async def test_teams_are_changed_with_the_same_care(service: KeyService) -> None:
    made = await service.teams.create("search", TeamFields("Search"), "master")
    with refused(ErrorKind.CONFLICT, "already"):
        await service.teams.create("search", TeamFields("Again"), "master")
    allowance = Allowance(rpm=5, budget=BudgetLimit(1_000_000))
    changed = await service.teams.update("search", lambda fields: replace(fields, allowance=allowance), "a", made.version)
    assert await service.teams.get("search") == changed
    assert changed.version == made.version + 1
    with refused(ErrorKind.CONFLICT, f"at version {changed.version}"):
        await service.teams.delete("search", "b", made.version)
    await service.teams.delete("search", "b", changed.version)
    with refused(ErrorKind.NOT_FOUND, "search"):
        await service.teams.get("search")
    rows = await service.audit.newest(service.clock.wall_s(), most=9, target="team/search")
    assert sorted(row.change.what for row in rows) == ["team.create", "team.delete", "team.update"]


async def test_the_audit_log_is_read_backwards_over_months_and_in_pages(service: KeyService) -> None:
    made = await service.keys.create(KeyFields("one"), "master")
    for name in ("n0", "n1", "n2", "n3"):
        service.clock.advance(20 * 86_400)
        await service.keys.update(made.record.id, partial(replace, name=name), "master")
    rows = await service.audit.newest(service.clock.wall_s(), most=2)
    assert [row.change.after["name"] for row in rows if row.change.after] == ["n3", "n2"]
    rest = await service.audit.newest(service.clock.wall_s(), most=9, before_id=rows[-1].id)
    assert [row.change.after["name"] for row in rest if row.change.after] == ["n1", "n0", "one"]
    assert await service.audit.newest(service.clock.wall_s(), most=9, target="key/other") == []


async def test_the_reader_of_the_data_plane_understands_what_was_written(service: KeyService) -> None:
    await service.teams.create("search", TeamFields("Search", models=("gpt-*",)), "master")
    made = await service.keys.create(replace(FULL, team="search"), "master")
    holder = await KeyReader(service.store, service.clock, Random(1)).find(made.record.sha256)
    assert holder is not None
    assert holder.record == made.record
    assert holder.team == await service.teams.get("search")


class _Unsteady(MemoryStore):
    """Transactions fail as told: before they are done ("conflict", "throttled") or after ("timeout")."""

    def __init__(self, *failures: str) -> None:
        super().__init__()
        self.failures = list(failures)

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "timeout":
            await super().transact(writes, token)
        if failure:
            raise StateError(failure, sent=failure == "timeout")
        return await super().transact(writes, token)


@pytest.mark.parametrize("failures", [("timeout",), ("conflict", "timeout"), ("throttled", "throttled", "timeout")])
async def test_an_answer_that_is_lost_does_not_write_twice(failures: tuple[str, ...]) -> None:
    service = key_service(_Unsteady(*failures))
    made = await service.keys.create(KeyFields("one"), "master")
    assert await service.keys.list() == [made.record]
    assert len(await service.audit.newest(service.clock.wall_s(), most=9)) == 1
    assert len(service.naps) == len(failures)


async def test_a_conflict_that_does_not_end_is_a_409_and_an_outage_an_outage() -> None:
    with refused(ErrorKind.CONFLICT, "Try again"):
        await key_service(_Unsteady(*["conflict"] * 4)).keys.create(KeyFields("one"), "master")
    with pytest.raises(StateError, match="throttled"):
        await key_service(_Unsteady(*["throttled"] * 4)).keys.create(KeyFields("one"), "master")


async def test_an_expiry_that_has_passed_may_stay_but_not_be_chosen() -> None:
    service = key_service(MemoryStore(), ManualClock(1_800_000_000))
    made = await service.keys.create(replace(FULL, expires_s=1_800_000_010), "master")
    service.clock.advance(60)
    record = await service.keys.update(made.record.id, lambda fields: replace(fields, name="late"), "master")
    assert record.status(service.clock.wall_s()) == "expired"
    with refused(ErrorKind.INVALID_REQUEST, "must be in the future"):
        await service.keys.update(made.record.id, lambda fields: replace(fields, expires_s=1_800_000_020), "master")
    longer = await service.keys.update(made.record.id, lambda fields: replace(fields, expires_s=1_800_009_000), "master")
    assert longer.status(service.clock.wall_s()) == "active"


async def test_each_change_of_a_key_or_team_is_news_and_a_new_key_is_none(service: KeyService) -> None:
    async def news() -> int:
        return (await read_pointer(service.store)).news

    made = await service.keys.create(KeyFields("one"), "master")
    assert await news() == 0
    await service.keys.update(made.record.id, lambda fields: replace(fields, name="two"), "a")
    await service.keys.set_state(made.record.id, "revoked", "a")
    await service.keys.delete(made.record.id, "a")
    assert await news() == 3
    await service.teams.create("search", TeamFields("Search"), "a")
    await service.teams.update("search", lambda fields: replace(fields, name="S"), "a")
    await service.teams.delete("search", "a")
    assert await news() == 6
