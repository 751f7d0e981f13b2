"""The protocol of shared state: the same contract on the memory twin, on moto, and on DynamoDB Local where it runs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from tests.support.dynamodb import client_of, table_of

from pllm.state.memory import MemoryStore
from pllm.state.store import (
    INVALID,
    Absent,
    AllOf,
    AnyOf,
    Applied,
    Attr,
    Compare,
    Condition,
    Exists,
    Minus,
    Plus,
    Refused,
    StateError,
    Store,
    Update,
    Value,
)
from pllm.state.table import NEVER_THERE, DynamoStore, compile_update, connect

TABLE = "pllm-test"
STORES = ("memory", "moto", "local")


@pytest.fixture(params=[pytest.param(s, marks=pytest.mark.needs_java) if s == "local" else s for s in STORES])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "moto":
        with mock_aws(), table_of(client_of(), TABLE) as moto:
            yield moto
    else:
        with table_of(client_of(request.getfixturevalue("local_endpoint")), TABLE) as local:
            yield local


async def test_what_is_set_is_there(store: Store) -> None:
    values: dict[str, Value] = {"n": 7, "s": "text", "b": True, "raw": b"\x00\xff", "many": ("a", "b")}
    values |= {"none": None, "big": 10**15}
    assert await store.get("p", "s") is None
    made = await store.update(Update("p", "s", set=values))
    assert made == Applied({"PK": "p", "SK": "s", **values})
    assert await store.get("p", "s") == {"PK": "p", "SK": "s", **values}
    assert await store.delete("p", "s") == {"PK": "p", "SK": "s", **values}
    assert await store.delete("p", "s") is None


async def test_right_hand_sides_see_the_item_as_it_was(store: Store) -> None:
    await store.update(Update("p", "s", set={"a": 1, "b": 10}))
    swapped = Update("p", "s", set={"a": Attr("b"), "b": Attr("a"), "c": Minus(Attr("b"), Attr("a")), "d": Plus(Attr("a"), 5)})
    assert await store.update(swapped) == Applied({"PK": "p", "SK": "s", "a": 10, "b": 1, "c": 9, "d": 6})


async def test_add_counts_from_nothing_and_remove_takes_away(store: Store) -> None:
    await store.update(Update("p", "s", add={"n": 3}))
    last = await store.update(Update("p", "s", add={"n": -5}, set={"x": "y"}))
    assert last == Applied({"PK": "p", "SK": "s", "n": -2, "x": "y"})
    assert await store.update(Update("p", "s", remove=("x",))) == Applied({"PK": "p", "SK": "s", "n": -2})


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        (Compare("n", "=", 5), True),
        (Compare("n", "<>", 5), False),
        (Compare("n", ">=", 5), True),
        (Compare("n", ">", 5), False),
        (Compare("n", "<", 6), True),
        (Compare("n", "<=", 4), False),
        (Compare("n", ">=", Attr("m")), True),
        (Compare("n", "=", "5"), False),
        (Compare("n", "<>", "5"), True),
        (Compare("absent", "<", 9), False),
        (Compare("absent", "=", 9), False),
        (Compare("absent", "<>", 9), True),
        (Compare("n", "<", Attr("absent")), False),
        (Compare("n", ">=", Attr("absent")), False),
        (Compare("n", "=", Attr("absent")), False),
        (Compare("n", "<>", Attr("absent")), True),
        (Compare("none", "=", None), True),
        (Exists("n"), True),
        (Exists("absent"), False),
        (Absent("absent"), True),
        (AllOf((Exists("n"), Compare("n", "=", 4))), False),
        (AnyOf((Exists("absent"), Compare("s", "=", "x"))), True),
    ],
)
async def test_a_condition_decides_and_a_refusal_shows_the_item_and_writes_nothing(
    store: Store, condition: Condition, met: bool
) -> None:
    await store.update(Update("p", "s", set={"n": 5, "m": 4, "s": "x", "none": None}))
    before = await store.get("p", "s")
    result = await store.update(Update("p", "s", add={"n": 1}, condition=condition))
    assert isinstance(result, Applied) is met
    if not met:
        assert result == Refused(before)
        assert await store.get("p", "s") == before


async def test_an_update_that_changes_nothing_asks_its_condition_all_the_same(store: Store) -> None:
    """So does an admission to a gate whose last limit was just lifted, by who has not heard of that."""
    await store.update(Update("p", "s", set={"v": 5}))
    item: dict[str, Value] = {"PK": "p", "SK": "s", "v": 5}
    assert await store.update(Update("p", "s", condition=Compare("v", "<=", 5))) == Applied(item)
    assert await store.update(Update("p", "s", condition=Compare("v", "<=", 4))) == Refused(item)


@pytest.mark.parametrize("store", [pytest.param("local", marks=pytest.mark.needs_java)], indirect=True)
async def test_a_key_that_is_too_long_is_a_wrong_question_and_no_outage(store: Store) -> None:
    with pytest.raises(StateError) as error:
        await store.get("p" * 3_000, "s", consistent=True)
    assert error.value.reason == INVALID


@pytest.mark.parametrize("store", ["memory", pytest.param("local", marks=pytest.mark.needs_java)], indirect=True)
async def test_two_attributes_that_are_not_there_are_not_equal(store: Store) -> None:
    await store.update(Update("p", "s", set={"n": 5}))
    assert isinstance(await store.update(Update("p", "s", set={"n": 6}, condition=Compare("one", "=", None))), Refused)
    for sign, expected in (("=", Refused), ("<=", Refused), ("<>", Applied)):
        result = await store.update(Update("p", "s", set={"n": 6}, condition=Compare("one", sign, Attr("other"))))
        assert isinstance(result, expected)


async def test_creating_once_is_a_condition_on_absence(store: Store) -> None:
    create = Update("p", "s", set={"n": 1}, condition=Absent("PK"))
    assert isinstance(await store.update(create), Applied)
    assert isinstance(await store.update(create), Refused)
    assert await store.update(Update("q", "s", set={"n": 1}, condition=Exists("PK"))) == Refused(None)


async def test_a_query_gives_a_range_in_order(store: Store) -> None:
    for key in ("T#3", "T#1", "Z#a", "T#2"):
        await store.update(Update("p", key, set={"n": 1}))
    await store.update(Update("other", "T#1", set={"n": 1}))
    assert [i["SK"] for i in await store.query("p")] == ["T#1", "T#2", "T#3", "Z#a"]
    assert [i["SK"] for i in await store.query("p", since="T#2")] == ["T#2", "T#3", "Z#a"]
    assert [i["SK"] for i in await store.query("p", since="T#2", until="T#3")] == ["T#2", "T#3"]
    assert [i["SK"] for i in await store.query("p", until="T#1")] == ["T#1"]
    assert await store.query("nobody") == []


async def test_a_query_follows_its_pages(store: Store) -> None:
    for number in range(12):
        await store.update(Update("p", f"{number:03}", set={"pad": "x" * 100_000}))
    assert len(await store.query("p")) == 12


class _Failing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def update_item(self, **arguments: Any) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "reason", "sent"),
    [
        (ConnectTimeoutError(endpoint_url="x"), "timeout", False),
        (ReadTimeoutError(endpoint_url="x"), "timeout", True),
    ],
)
async def test_a_timeout_says_whether_the_write_may_have_happened(error: Exception, reason: str, sent: bool) -> None:
    store = DynamoStore(lambda: _Failing(error), "t")
    with pytest.raises(StateError) as failure:
        await store.update(Update("p", "s", add={"n": 1}))
    assert (failure.value.reason, failure.value.sent) == (reason, sent)
    store.close()


async def test_a_table_that_is_not_there_is_an_error_and_not_an_empty_answer() -> None:
    with mock_aws():
        store = DynamoStore(lambda: connect("us-east-1"), "missing")
        with pytest.raises(StateError) as failure:
            await store.get("p", "s")
        assert failure.value.reason == "ResourceNotFoundException"
        assert failure.value.sent is False
        store.close()


NAMES = st.sampled_from(["a", "b", "status", "data"])


@given(st.dictionaries(NAMES, st.integers(), max_size=3), st.lists(NAMES, unique=True, max_size=2))
@settings(deadline=None)
def test_names_and_values_are_always_placeholders(values: dict[str, int], remove: list[str]) -> None:
    arguments = compile_update(Update("p", "s", set=values, remove=remove))
    text = arguments["UpdateExpression"]
    assert not any(name in text.replace("SET", "").replace("REMOVE", "") for name in values)
    assert set(arguments.get("ExpressionAttributeNames", {}).values()) == ({*values, *remove} or {NEVER_THERE})
