"""Breakers as administrators handle them: the same on the memory twin, on moto and on DynamoDB Local."""

from collections.abc import AsyncIterator, Sequence

import pytest
from tests.support.key_service import KeyService, key_service
from tests.support.stores import KINDS, store_of
from tests.support.versions import history_of

from pllm.core import breaker_moves as moves
from pllm.core.breaker import Admission, Asked, Breaker, Circuit
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.errors import ErrorKind, GatewayError
from pllm.state.breakers import breaker_key, move_breaker, partition, read_breaker
from pllm.state.config_version import Pointer, read_pointer
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Refused, Rejected, Write

DEP = "m@openai/gpt-4o#1"
POLICY = BreakerPolicy()


@pytest.fixture(params=KINDS)
async def service(request: pytest.FixtureRequest) -> AsyncIterator[KeyService]:
    endpoint = request.getfixturevalue("local_endpoint") if request.param == "local" else ""
    async with store_of(request.param, endpoint) as store:
        yield key_service(store)


def now_ms(service: KeyService) -> int:
    return int(service.clock.wall_s() * 1000)


async def kept(service: KeyService) -> Breaker | None:
    item = await service.store.get(partition("main"), breaker_key(DEP), consistent=True)
    return None if item is None else read_breaker(item)


async def moved(service: KeyService, asked: Asked) -> bool:
    """Whether an environment's own move was accepted."""
    return isinstance(await service.store.update(move_breaker("main", DEP, asked)), Applied)


async def test_what_was_opened_by_hand_is_not_probed_and_after_its_time_it_is(service: KeyService) -> None:
    forced = await service.breakers.open(DEP, "ops", for_s=60, note="maintenance")
    assert (forced.state, forced.admits(now_ms(service)), forced.note) == (Circuit.OPEN, Admission.NONE, "maintenance")
    assert await kept(service) == forced
    assert not await moved(service, moves.claim(POLICY, "e/1", now_ms(service) + 59_999, 10))
    assert await moved(service, moves.claim(POLICY, "e/1", now_ms(service) + 60_000, 10))


async def test_what_was_closed_by_hand_does_not_trip_and_once_released_it_does(service: KeyService) -> None:
    forced = await service.breakers.close(DEP, "ops")
    assert not await moved(service, moves.trip(POLICY, forced.generation, now_ms(service), "upstream_error"))
    assert not await moved(service, moves.cool(forced.generation, now_ms(service), 60))
    free = await service.breakers.release(DEP, "ops")
    assert (free.state, free.forced(now_ms(service))) == (Circuit.CLOSED, False)
    assert await moved(service, moves.trip(POLICY, free.generation, now_ms(service), "upstream_error"))


async def test_what_was_opened_by_hand_is_probed_once_it_is_released(service: KeyService) -> None:
    await service.breakers.open(DEP, "ops")
    free = await service.breakers.release(DEP, "ops")
    assert free.admits(now_ms(service)) is Admission.PROBE
    assert await moved(service, moves.claim(POLICY, "e/1", now_ms(service), 10))


async def test_a_change_takes_a_running_probes_word_away(service: KeyService) -> None:
    await moved(service, moves.trip(POLICY, 0, now_ms(service) - 60_000, "upstream_error"))
    await moved(service, moves.claim(POLICY, "e/1", now_ms(service), 10))
    await service.breakers.open(DEP, "ops")
    assert not await moved(service, moves.succeed("e/1", now_ms(service)))


async def test_each_change_is_in_the_audit_log_as_it_was_before_and_after(service: KeyService) -> None:
    await service.breakers.open(DEP, "ops", for_s=60, note="maintenance")
    service.clock.advance(1)
    await service.breakers.release(DEP, "night")
    released, opened = await service.audit.newest(service.clock.wall_s(), most=9, target=f"breaker/{DEP}")
    assert (opened.change.who, opened.change.what, opened.change.before) == ("ops", "breaker.open", None)
    assert opened.change.after is not None
    assert (opened.change.after["state"], opened.change.after["reason"]) == ("open", "maintenance")
    assert (released.change.who, released.change.what) == ("night", "breaker.release")
    assert released.change.before == opened.change.after
    assert released.change.after is not None
    assert (released.change.after["forced"], released.change.after["admits"]) == (False, "probe")


async def test_releasing_what_is_free_changes_nothing_and_leaves_no_trace(service: KeyService) -> None:
    assert (await service.breakers.release(DEP, "ops")).generation == 0
    assert await kept(service) is None
    assert await service.audit.newest(service.clock.wall_s(), most=9) == []


async def test_each_change_is_news_at_the_pointer_and_no_version_of_the_configuration(service: KeyService) -> None:
    await service.breakers.open(DEP, "ops")
    await service.breakers.release(DEP, "ops")
    await service.breakers.release(DEP, "ops")
    assert await read_pointer(service.store) == Pointer(news=2)
    history = history_of(service.store, service.clock)
    published = await history.publish("model_list: [{model_name: a, params: {model: x}}]\n", expected=0, by="ops")
    await service.breakers.open(DEP, "ops")
    assert await read_pointer(service.store) == Pointer(1, published.etag, 1, moves=1, news=3)


class _Busy(MemoryStore):
    """Somebody trips or closes the breaker before each of the first transactions."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        if self.times:
            self.times -= 1
            generation = len(self.items) and int(str(next(iter(self.items.values()))["gn"]))
            ask = moves.force_open if self.times % 2 else moves.force_close
            answer: Applied | Refused = await self.update(move_breaker("main", DEP, ask(generation, 1)))
            assert isinstance(answer, Applied)
        return await super().transact(writes, token)


async def test_a_breaker_that_moved_in_between_is_read_again_so_that_the_audit_log_is_right() -> None:
    service = key_service(_Busy(2))
    forced = await service.breakers.open(DEP, "ops")
    assert forced.generation == 3
    (row,) = await service.audit.newest(service.clock.wall_s(), most=9)
    assert row.change.before is not None
    assert row.change.before["generation"] == 2


async def test_one_that_never_stands_still_is_a_conflict() -> None:
    with pytest.raises(GatewayError, check=lambda error: error.kind is ErrorKind.CONFLICT):
        await key_service(_Busy(99)).breakers.open(DEP, "ops")
