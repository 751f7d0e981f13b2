"""Writes that stand or fall together: the same contract on the memory twin, on moto and on DynamoDB Local."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.stores import KINDS, store_of

from pllm.core.clock import ManualClock
from pllm.state.memory import MemoryStore
from pllm.state.store import (
    Absent,
    Compare,
    Delete,
    Exists,
    Rejected,
    StateError,
    TransactionalStore,
    Update,
)
from pllm.state.table import DynamoStore


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[TransactionalStore]:
    endpoint = request.getfixturevalue("local_endpoint") if request.param == "local" else ""
    async with store_of(request.param, endpoint) as made:
        yield made


async def test_all_writes_happen(store: TransactionalStore) -> None:
    await store.update(Update("old", "s", set={"n": 1}))
    writes = (
        Update("a", "s", set={"n": 1}, condition=Absent("PK")),
        Update("b", "s", add={"n": 2}),
        Delete("old", "s", condition=Compare("n", "=", 1)),
    )
    assert await store.transact(writes, "t1") is None
    assert await store.get("a", "s") == {"PK": "a", "SK": "s", "n": 1}
    assert await store.get("b", "s") == {"PK": "b", "SK": "s", "n": 2}
    assert await store.get("old", "s") is None


@pytest.mark.parametrize(
    ("last", "index"),
    [
        (Update("there", "s", set={"n": 9}, condition=Compare("version", "=", 2)), 1),
        (Update("there", "s", set={"n": 9}, condition=Absent("PK")), 1),
        (Delete("there", "s", condition=Compare("version", "=", 2)), 1),
    ],
)
async def test_one_false_condition_undoes_all_and_shows_the_item(store: TransactionalStore, last: Any, index: int) -> None:
    await store.update(Update("there", "s", set={"version": 1}))
    before = await store.get("there", "s")
    assert await store.transact((Update("a", "s", set={"n": 1}), last), "t2") == Rejected(index, before)
    assert await store.get("a", "s") is None
    assert await store.get("there", "s") == before


async def test_a_condition_on_nothing_shows_nothing(store: TransactionalStore) -> None:
    refused = await store.transact((Update("nobody", "s", set={"n": 1}, condition=Exists("PK")),), "t3")
    assert refused == Rejected(0, None)


@pytest.mark.parametrize("store", ["memory", pytest.param("local", marks=pytest.mark.needs_java)], indirect=True)
async def test_the_same_token_is_the_same_transaction(store: TransactionalStore) -> None:
    for _ in range(2):
        assert await store.transact((Update("a", "s", add={"n": 1}),), "same") is None
    assert await store.get("a", "s") == {"PK": "a", "SK": "s", "n": 1}


@pytest.mark.parametrize("store", ["memory", pytest.param("local", marks=pytest.mark.needs_java)], indirect=True)
async def test_a_token_belongs_to_its_writes_once_they_happened(store: TransactionalStore) -> None:
    first = Update("a", "s", add={"n": 1}, condition=Compare("n", "=", 7))
    assert isinstance(await store.transact((first,), "t5"), Rejected)
    other = Update("a", "s", set={"n": 7})
    assert await store.transact((other,), "t5") is None  # what was rejected has used nothing up
    with pytest.raises(StateError) as failure:
        await store.transact((first,), "t5")
    assert (failure.value.reason, failure.value.sent) == ("IdempotentParameterMismatchException", False)
    assert await store.get("a", "s") == {"PK": "a", "SK": "s", "n": 7}


@pytest.mark.parametrize("store", ["memory", pytest.param("local", marks=pytest.mark.needs_java)], indirect=True)
async def test_what_happened_is_not_asked_for_its_condition_again(store: TransactionalStore) -> None:
    once = Update("a", "s", set={"n": 1}, condition=Absent("PK"))
    assert await store.transact((once,), "t6") is None
    assert await store.transact((once,), "t6") is None
    assert await store.transact((once,), "t7") == Rejected(0, {"PK": "a", "SK": "s", "n": 1})


async def test_the_memory_twin_forgets_a_token_after_ten_minutes() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    for seconds, expected in ((0, 1), (599, 1), (2, 2)):
        clock.advance(seconds)
        await store.transact((Update("a", "s", add={"n": 1}),), "t")
        item = await store.get("a", "s")
        assert item is not None
        assert item["n"] == expected


class _Cancelled:
    """A client whose transactions are cancelled for `codes`."""

    def __init__(self, *codes: str) -> None:
        reasons = [{"Code": code} for code in codes]
        self._response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}

    def transact_write_items(self, **arguments: Any) -> None:
        raise ClientError(self._response, "TransactWriteItems")


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (("None", "TransactionConflict"), "conflict"),
        (("ThrottlingError", "None"), "throttled"),
        (("ValidationError",), "ValidationError"),
        ((), "cancelled"),
    ],
)
async def test_a_cancelled_transaction_says_why_and_that_nothing_was_written(codes: tuple[str, ...], reason: str) -> None:
    store = DynamoStore(lambda: _Cancelled(*codes), "t")
    with pytest.raises(StateError) as failure:
        await store.transact((Update("a", "s", add={"n": 1}),), "t4")
    assert (failure.value.reason, failure.value.sent) == (reason, False)
    store.close()
