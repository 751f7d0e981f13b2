"""Claims and kept answers: one runs, the others wait or are given what it came to."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
from tests.support.faulty import Fault, FaultyStore
from tests.support.stores import KINDS, store_of

from pllm.core.clock import ManualClock
from pllm.state.idempotency import KEPT_S, Answer, Claim, Different, Idempotency, Running
from pllm.state.memory import MemoryStore
from pllm.state.store import StateError, Store

PRINT, OTHER = b"1" * 32, b"2" * 32
HELLO = Answer(200, {"content-type": "application/json", "x-pllm-model": "m"}, b"packed \x00\xff")


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    endpoint = request.getfixturevalue("local_endpoint") if request.param == "local" else ""
    async with store_of(request.param, endpoint) as made:
        yield made


_numbers = count(1)


def keeper_of(store: Store, clock: ManualClock | None = None) -> Idempotency:
    return Idempotency(store, clock or ManualClock(), lambda: f"owner{next(_numbers)}")


async def claimed(keeper: Idempotency, caller: str = "alice", key: str = "k", fingerprint: bytes = PRINT) -> Claim:
    claim = await keeper.claim(caller, key, fingerprint, 100)
    assert isinstance(claim, Claim)
    return claim


async def test_of_many_at_once_one_runs(store: Store, request: pytest.FixtureRequest) -> None:
    if "moto" in request.node.callspec.id:
        pytest.skip("moto decides and writes in two steps when threads ask it at once")
    keeper = keeper_of(store)
    outcomes = await asyncio.gather(*(keeper.claim("alice", "k", PRINT, 100) for _ in range(8)))
    assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1
    assert sum(outcome == Running(101) for outcome in outcomes) == 7


async def test_a_finished_answer_is_given_again_for_a_day(store: Store) -> None:
    clock = ManualClock()
    keeper = keeper_of(store, clock)
    await keeper.finish(await claimed(keeper), HELLO)
    clock.advance(KEPT_S - 1)
    assert await keeper.claim("alice", "k", PRINT, 100) == HELLO
    clock.advance(1)
    assert isinstance(await keeper.claim("alice", "k", OTHER, 100), Claim)


async def test_looking_finds_what_a_claim_would_find_and_takes_nothing(store: Store) -> None:
    clock = ManualClock()
    keeper = keeper_of(store, clock)
    assert await keeper.look("alice", "k", PRINT) is None
    claim = await claimed(keeper)
    assert await keeper.look("alice", "k", PRINT) == Running(101)
    assert await keeper.look("alice", "k", OTHER) == Different()
    assert await keeper.look("bob", "k", PRINT) is None
    await keeper.finish(claim, HELLO)
    assert await keeper.look("alice", "k", PRINT) == HELLO
    clock.advance(KEPT_S)
    assert await keeper.look("alice", "k", PRINT) is None
    await keeper.release(await claimed(keeper, key="given up"))
    assert await keeper.look("alice", "given up", OTHER) is None


async def test_a_large_answer_comes_back_in_order(store: Store) -> None:
    keeper = keeper_of(store)
    body = b"".join(number.to_bytes(4, "big") for number in range(200_000))
    await keeper.finish(await claimed(keeper), Answer(200, {}, body))
    answer = await keeper.claim("alice", "k", PRINT, 100)
    assert isinstance(answer, Answer)
    assert answer.body == body


async def test_an_empty_answer_and_one_that_was_too_large_are_not_the_same(store: Store) -> None:
    keeper = keeper_of(store)
    await keeper.finish(await claimed(keeper, key="empty"), Answer(200, {}, b""))
    await keeper.finish(await claimed(keeper, key="large"), Answer(200, {}, None))
    assert await keeper.claim("alice", "empty", PRINT, 100) == Answer(200, {}, b"")
    assert await keeper.claim("alice", "large", PRINT, 100) == Answer(200, {}, None)


async def test_another_request_under_the_key_is_told_apart_while_it_runs_and_after(store: Store) -> None:
    keeper = keeper_of(store)
    claim = await claimed(keeper)
    assert await keeper.claim("alice", "k", OTHER, 100) == Different()
    await keeper.finish(claim, HELLO)
    assert await keeper.claim("alice", "k", OTHER, 100) == Different()


async def test_each_caller_has_keys_of_their_own(store: Store) -> None:
    keeper = keeper_of(store)
    await keeper.finish(await claimed(keeper, "a", "bc"), HELLO)
    await claimed(keeper, "ab", "c")
    await claimed(keeper, "b", "bc")


async def test_a_key_that_was_given_up_is_free_for_any_request(store: Store) -> None:
    keeper = keeper_of(store)
    await keeper.release(await claimed(keeper))
    await claimed(keeper, fingerprint=OTHER)


async def test_a_request_that_died_frees_its_key_when_its_lease_ends_and_not_before(store: Store) -> None:
    clock = ManualClock()
    keeper = keeper_of(store, clock)
    await claimed(keeper)
    clock.advance(100)
    assert await keeper.claim("alice", "k", PRINT, 100) == Running(1)
    clock.advance(1)
    await claimed(keeper)


async def test_a_request_that_was_slower_than_its_lease_cannot_answer_or_free_the_key(store: Store) -> None:
    clock = ManualClock()
    keeper = keeper_of(store, clock)
    late = await claimed(keeper)
    clock.advance(200)
    now = await claimed(keeper)
    await keeper.finish(late, Answer(200, {}, b"late"))
    await keeper.release(late)
    assert isinstance(await keeper.claim("alice", "k", PRINT, 100), Running)
    await keeper.finish(now, HELLO)
    await keeper.finish(late, Answer(200, {}, b"late"))
    assert await keeper.claim("alice", "k", PRINT, 100) == HELLO


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.LOST_REQUEST, Fault.LOST_RESPONSE])
async def test_one_fault_of_the_table_at_any_call_changes_nothing(fault: Fault) -> None:
    for call in range(8):
        faulty = FaultyStore(MemoryStore())
        keeper = keeper_of(faulty)
        faulty.faults = [Fault.NONE] * call + [fault]
        claim = await claimed(keeper)
        await keeper.finish(claim, Answer(200, {}, b"x" * 800_000))
        faulty.faults = []
        assert await keeper.claim("alice", "k", PRINT, 100) == Answer(200, {}, b"x" * 800_000)


async def test_a_claim_whose_answer_was_lost_twice_is_given_up_at_once() -> None:
    faulty = FaultyStore(MemoryStore(), [Fault.LOST_RESPONSE, Fault.LOST_RESPONSE])
    keeper = keeper_of(faulty)
    with pytest.raises(StateError):
        await keeper.claim("alice", "k", PRINT, 100)
    await claimed(keeper)


async def test_giving_up_a_key_never_fails() -> None:
    faulty = FaultyStore(MemoryStore())
    keeper = keeper_of(faulty)
    claim = await claimed(keeper)
    faulty.always = Fault.THROTTLED
    await keeper.release(claim)
