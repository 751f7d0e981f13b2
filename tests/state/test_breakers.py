"""The table's conditional updates do what the breaker's table of rules says: no more, no less."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.breaker import Asked, Move, moved
from pllm.core.breaker_moves import force_close
from pllm.core.health import SUM_FIELDS, Sums
from pllm.state.breakers import (
    ONLY_BREAKERS,
    add_minute,
    breaker_key,
    deployment_of,
    minute_key,
    move_breaker,
    partition,
    read_breaker,
    read_minute,
    since,
)
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied

NAMES = st.sampled_from(["a", "b"])
SMALL = st.integers(0, 3)
ASKED = st.builds(
    Asked,
    st.sampled_from(list(Move)),
    SMALL,
    SMALL,
    SMALL,
    SMALL,
    st.just("why"),
    NAMES,
    SMALL,
    st.just("") | NAMES,
    SMALL,
    st.sampled_from(["", "note"]),
)


@given(st.lists(ASKED, max_size=25))
@settings(deadline=None, max_examples=200)
async def test_an_update_is_accepted_exactly_where_a_rule_accepts_the_move_and_writes_what_it_writes(asks: list[Asked]) -> None:
    store, breaker = MemoryStore(), None
    for asked in asks:
        answer = await store.update(move_breaker("g", "dep", asked))
        expected = moved(breaker, asked)
        assert isinstance(answer, Applied) is (expected is not None)
        breaker = expected or breaker
        if answer.item is not None:
            assert read_breaker(answer.item) == breaker


async def test_one_range_holds_the_minutes_and_after_them_the_breakers() -> None:
    store = MemoryStore()
    for minute in (7, 8, 9):
        await store.update(add_minute("g", minute, "m@openai/x#1", Sums(ok=1)))
    await store.update(move_breaker("g", "m@openai/x#1", Asked(Move.TRIP, 0)))
    keys = [str(item["SK"]) for item in await store.query(partition("g"), since=since(8))]
    assert [deployment_of(key) for key in keys] == [("m@openai/x#1", 8), ("m@openai/x#1", 9), ("m@openai/x#1", None)]
    assert [str(item["SK"]) for item in await store.query(partition("g"), since=ONLY_BREAKERS)] == [breaker_key("m@openai/x#1")]
    assert minute_key(29_400_000, "d") > minute_key(9_999_999, "d")


async def test_a_minute_adds_up_what_many_environments_tell() -> None:
    store, one = MemoryStore(), Sums(1, 2, 3, 4, 5, 6, 7)
    for _ in range(3):
        await store.update(add_minute("g", 8, "d", one))
    item = (await store.query(partition("g")))[0]
    sums = {name: 3 * number for name, number in zip(SUM_FIELDS, range(1, 8), strict=True)}
    assert read_minute(item) == Sums(**sums)
    assert item["exp"] == 8 * 60 + 900


async def test_an_item_outlives_what_it_says_by_a_day() -> None:
    store = MemoryStore()
    answer = await store.update(move_breaker("g", "d", Asked(Move.TRIP, 1_000_000, until_ms=5_000_000)))
    assert answer.item is not None
    assert answer.item["exp"] == 5_000 + 86_400
    answer = await store.update(move_breaker("g", "e", force_close(0, 1_000_000, 9_000_000)))
    assert answer.item is not None
    assert answer.item["exp"] == 9_000 + 86_400
