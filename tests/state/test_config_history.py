"""Versions of the configuration: the same contract on the memory twin, on moto and on DynamoDB Local."""

import asyncio
import random
import string
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.support.stores import KINDS, store_of
from tests.support.versions import history_of

from pllm.core.config import ConfigError
from pllm.core.errors import GatewayError
from pllm.state.audit import AuditLog
from pllm.state.config_history import (
    Published,
    UnknownVersionError,
    VersionConflictError,
    VersionNote,
    difference,
)
from pllm.state.config_version import POINTER, Pointer, body_key, decode_body, note_key, read_body
from pllm.state.memory import MemoryStore
from pllm.state.store import Rejected, StateError, TransactionalStore, Update, Write


def config(name: str, note: str = "") -> str:
    return f"model_list: [{{model_name: {name}, params: {{model: gpt-4}}}}]{note}\n"


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[TransactionalStore]:
    endpoint = request.getfixturevalue("local_endpoint") if request.param == "local" else ""
    async with store_of(request.param, endpoint) as made:
        yield made


async def test_before_anything_is_published_the_deployed_configuration_holds(store: TransactionalStore) -> None:
    history = history_of(store)
    assert await history.pointer() == Pointer(0, "", 0)
    assert await history.versions() == []
    with pytest.raises(UnknownVersionError, match="no version 1"):
        await history.text(1)


async def test_a_published_version_holds_and_is_kept_with_who_and_when(store: TransactionalStore) -> None:
    history = history_of(store)
    text = config("größe", "  # as written, 🙂")
    first = await history.publish(text, expected=0, by="master", note="first try")
    second = await history.publish(config("b"), expected=1, by="key-7")
    assert (first.version, second.version) == (1, 2)
    assert await history.pointer() == Pointer(2, second.etag, 2, moves=2)
    assert await history.text(1) == text
    newest, oldest = await history.versions()
    assert oldest == VersionNote(1, first.etag, "master", 1_700_000_000_500, "first try", len(text))
    assert (newest.version, newest.by) == (2, "key-7")
    loaded = decode_body(await read_body(store, 1), 1)
    assert [entry.model_name for entry in loaded.config.model_list] == ["größe"]
    assert loaded.etag == first.etag


# moto under threads writes parts of transactions that it refuses; `pllm local` lets one call in at a time.
@pytest.mark.parametrize("store", [kind for kind in KINDS if kind != "moto"], indirect=True)
async def test_two_administrators_at_once_one_is_told_of_the_other(store: TransactionalStore) -> None:
    history = history_of(store)
    await history.publish(config("a"), expected=0, by="x")
    outcomes = await asyncio.gather(
        *(history.publish(config(name), expected=1, by=name) for name in ("b", "c")), return_exceptions=True
    )
    [won] = [outcome for outcome in outcomes if isinstance(outcome, Published)]
    [lost] = [outcome for outcome in outcomes if isinstance(outcome, VersionConflictError)]
    assert (won.version, lost.expected, lost.current) == (2, 1, 2)
    assert (await history.pointer()).version == 2
    assert [note.version for note in await history.versions()] == [2, 1]


async def test_going_back_keeps_what_was_there_and_never_gives_a_number_again(store: TransactionalStore) -> None:
    history = history_of(store)
    for number, name in enumerate("abc"):
        await history.publish(config(name), expected=number, by="x")
    back = await history.roll_back(1, expected=3, by="y")
    assert (back.version, back.last) == (1, 3)
    again = await history.publish(config("d"), expected=1, by="x")
    assert again.version == 4
    assert [note.version for note in await history.versions()] == [4, 3, 2, 1]
    assert (await history.roll_back(0, expected=4, by="y")).version == 0
    assert (await history.publish(config("e"), expected=0, by="x")).version == 5


async def test_going_back_to_the_deployed_configuration_where_it_holds_already_stands_in_nobodys_way(
    store: TransactionalStore,
) -> None:
    history = history_of(store)
    assert await history.roll_back(0, expected=0, by="y") == Pointer(0, "", 0, moves=1)
    assert (await history.publish(config("a"), expected=0, by="x")).version == 1


async def test_moves_are_counted_so_that_what_is_gone_back_to_comes_after_what_it_replaces(store: TransactionalStore) -> None:
    history = history_of(store)
    for number, name in enumerate("ab"):
        await history.publish(config(name), expected=number, by="x")
        assert (await history.pointer()).moves == number + 1
    assert (await history.roll_back(1, expected=2, by="y")).moves == (await history.pointer()).moves == 3
    await history.publish(config("c"), expected=1, by="x")
    assert (await history.pointer()).moves == 4


async def test_a_pointer_from_before_moves_were_counted_counts_on_from_the_highest_version(store: TransactionalStore) -> None:
    history = history_of(store)
    for number, name in enumerate("abc"):
        await history.publish(config(name), expected=number, by="x")
    await store.update(Update(*POINTER, remove=("moves",)))
    assert (await history.pointer()).moves == 3
    assert (await history.roll_back(1, expected=3, by="y")).moves == 4
    assert (await history.pointer()).moves == 4


async def test_going_back_to_what_is_not_there_or_from_what_is_not_current_changes_nothing(store: TransactionalStore) -> None:
    history = history_of(store)
    await history.publish(config("a"), expected=0, by="x")
    with pytest.raises(UnknownVersionError):
        await history.roll_back(2, expected=1, by="y")
    with pytest.raises(VersionConflictError, match="version 1 is in use, not 3: somebody else"):
        await history.roll_back(0, expected=3, by="y")
    assert (await history.pointer()).version == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle_list: []", "did you mean 'model_list'"),
        ("", "the file is empty"),
        (config("a").replace("gpt-4", "gpt-4, api_key: sk-0123456789abcdef"), "a credential stands in the file itself"),
        (config("a").replace("gpt-4", "gpt-4, headers: {X-Api-Key: abc}"), "header 'X-Api-Key'"),
        ("auth: {scrape_token: 0123456789abcdef0}\n" + config("a"), "a credential stands in the file itself"),
    ],
)
async def test_a_bad_version_is_refused_with_the_loaders_words_and_the_old_one_stays(text: str, words: str) -> None:
    history = history_of(MemoryStore())
    await history.publish(config("a"), expected=0, by="x")
    with pytest.raises(ConfigError, match=words) as failure:
        await history.publish(text, expected=1, by="x")
    assert all("0123456789abcdef" not in str(problem) for problem in failure.value.problems)
    assert (await history.pointer()).version == 1
    assert len(await history.versions()) == 1


async def test_headers_that_are_no_credentials_or_come_from_variables_may_be_published() -> None:
    history = history_of(MemoryStore())
    headers = "headers: {anthropic-version: '2023-06-01', Authorization: 'Bearer ${TOKEN}'}"
    published = await history.publish(config("a").replace("gpt-4", f"gpt-4, {headers}"), expected=0, by="x")
    assert published.version == 1


async def test_what_does_not_fit_the_table_is_refused_and_pointed_to_s3() -> None:
    words = random.Random(1)
    noise = "".join(words.choices(string.ascii_letters, k=600_000))
    with pytest.raises(ConfigError, match=r"more than the 380000 that fit the table; put it into S3 .* PLLM_CONFIG=s3://"):
        await history_of(MemoryStore()).publish(config("a", f" # {noise}"), expected=0, by="x")


async def test_a_version_that_has_become_invalid_cannot_be_gone_back_to() -> None:
    store = MemoryStore()
    history = history_of(store)
    for number in (0, 1):
        await history.publish(config("a"), expected=number, by="x")
    await store.update(Update(*body_key(1), set={"text": b"x\x9c+K-*\xce\xcc\xcfS(J-,M-.I\x01\x00$\xb4\x06\x13"}))
    with pytest.raises(ConfigError, match="configuration version 1"):
        await history.roll_back(1, expected=2, by="y")
    assert (await history.pointer()).version == 2


class Flaky(MemoryStore):
    """Fails as told, before or after the work."""

    def __init__(self, *failures: StateError | None, works: bool) -> None:
        super().__init__()
        self._failures = list(failures)
        self._works = works

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        failure = self._failures.pop(0) if self._failures else None
        answer = await super().transact(writes, token) if failure is None or self._works else None
        if failure is not None:
            raise failure
        return answer


async def test_a_lost_answer_is_asked_for_again_and_publishes_once() -> None:
    history = history_of(Flaky(StateError("timeout", sent=True), works=True))
    assert (await history.publish(config("a"), expected=0, by="x")).version == 1
    assert [note.version for note in await history.versions()] == [1]


async def test_a_conflict_with_another_transaction_is_tried_again_and_then_told() -> None:
    conflict = StateError("conflict", sent=False)
    history = history_of(Flaky(conflict, works=False))
    assert (await history.publish(config("a"), expected=0, by="x")).version == 1
    with pytest.raises(GatewayError, match="Somebody else"):
        await history_of(Flaky(*[conflict] * 4, works=False)).publish(config("a"), expected=0, by="x")


async def test_every_change_is_in_the_audit_log_with_what_held_before(store: TransactionalStore) -> None:
    history = history_of(store)
    await history.publish(config("a"), expected=0, by="x", note="why")
    await history.roll_back(0, expected=1, by="y")
    with pytest.raises(VersionConflictError):
        await history.roll_back(1, expected=1, by="z")
    rows = await AuditLog(store).newest(1_700_000_001, most=10)
    changes = sorted((row.change for row in rows), key=lambda change: change.who)
    assert [(one.who, one.what, one.target) for one in changes] == [
        ("x", "config.publish", "config"),
        ("y", "config.roll_back", "config"),
    ]
    assert [(one.before or {}).get("version") for one in changes] == [0, 1]
    assert [(one.after or {}).get("version") for one in changes] == [1, 0]
    assert (changes[0].after or {})["note"] == "why"


async def test_a_table_that_is_down_is_an_error_and_nothing_else() -> None:
    down = history_of(Flaky(*[StateError("unreachable", sent=False)] * 4, works=False))
    with pytest.raises(StateError, match="unreachable"):
        await down.publish(config("a"), expected=0, by="x")


async def test_numbers_that_grew_meanwhile_do_not_stand_in_the_way_when_the_same_version_holds() -> None:
    """Somebody published and went back between our look and our write."""
    store = MemoryStore()
    history = history_of(store)
    await history.publish(config("a"), expected=0, by="x")

    class Racing(Flaky):
        async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
            if not raced:
                raced.append(1)
                await history.publish(config("b"), expected=1, by="other")
                await history.roll_back(1, expected=2, by="y")
            return await store.transact(writes, token)

    raced: list[int] = []
    racing = Racing(works=True)
    racing.items = store.items
    assert (await history_of(racing).publish(config("c"), expected=1, by="x")).version == 3


def test_keys_sort_as_numbers() -> None:
    assert POINTER == ("C", "V")
    assert note_key(9) < note_key(10) < body_key(1_000) or body_key(9) < body_key(10)
    assert sorted([body_key(10), body_key(9)]) == [body_key(9), body_key(10)]


def test_a_difference_shows_lines_and_is_empty_where_there_is_none() -> None:
    assert difference("a\nb\n", "a\nc\n", ("1", "new")) == "--- 1\n+++ new\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    assert difference("a\n", "a\n", ("1", "2")) == ""
