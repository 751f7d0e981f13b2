"""What callers of the gates see: round trips, refusals, headers, several scopes, limits that change, clients that leave."""

from dataclasses import replace
from random import Random

import pytest
from tests.state.gate_trips import KEY, NEED, PLACE, TEAM, CountingStore, World

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind
from pllm.core.limit_answers import Denial
from pllm.core.limits import BudgetLimit, GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket

MODEL = GateLimits("key/a/model/m", tpm=5_000)


@pytest.fixture
def world() -> World:
    store, clock = CountingStore(), ManualClock()
    return World(store, clock, Gates(store, clock, Random(1)))


# --- Round trips ---------------------------------------------------------------------------------------------------


async def test_without_limits_the_table_is_not_asked(world: World) -> None:
    ticket = await world.ticket(GateLimits("key/free"), GateLimits("team/free"))
    await world.gates.settle(ticket, Spent(10, 10))
    await world.gates.flush()
    assert world.store.writes == 0
    assert ticket.headers() == {}


async def test_key_team_model_and_deployment_are_one_round_trip_when_warm(world: World) -> None:
    await world.gates.settle(await world.ticket(KEY, TEAM, MODEL), Spent(1, 1))
    world.clock.advance(1)
    world.store.count_from_here()
    caller, place = await world.gates.admit_first([KEY, TEAM, MODEL], PLACE, NEED)
    assert isinstance(caller, Ticket)
    assert isinstance(place, Ticket)
    # The deployment's gate is new here: its first write finds nothing, its second makes it.
    assert (world.store.writes, world.store.at_once) == (5, 4)
    world.store.count_from_here()
    await world.gates.admit_first([KEY, TEAM, MODEL], PLACE, Reservation(1, 1))
    assert (world.store.writes, world.store.at_once) == (4, 4)


async def test_more_for_a_further_attempt_is_one_round_trip_with_the_gate_of_its_deployment(world: World) -> None:
    await world.gates.admit_first([KEY], PLACE, NEED)
    world.store.count_from_here()
    more, place = await world.gates.admit_again([KEY], Reservation(50, 700), PLACE, NEED)
    assert isinstance(more, Ticket)
    assert isinstance(place, Ticket)
    assert (world.store.writes, world.store.at_once) == (2, 2)


async def test_scopes_that_have_nothing_of_what_is_needed_more_are_not_asked(world: World) -> None:
    free = GateLimits("dep/free")
    await world.ticket(KEY, TEAM)
    world.store.count_from_here()
    requests_only, money_only = GateLimits("key/b", rpm=1, max_parallel=1), GateLimits("key/c", budget=BudgetLimit(9))
    for caller, more in (([TEAM, requests_only], NEED), ([money_only], Reservation(50, 0)), ([KEY], Reservation(0, 0))):
        found, place = await world.gates.admit_again(caller, more, free, NEED)
        assert isinstance(found, Ticket)
        assert isinstance(place, Ticket)
    assert world.store.writes == 0


async def test_a_new_minute_costs_no_further_trip(world: World) -> None:
    await world.gates.settle(await world.ticket(KEY), Spent(1, 1))
    world.clock.advance(60)
    world.store.count_from_here()
    await world.ticket(KEY)
    assert world.store.writes == 1
    assert world.item("key/a")["pr"] == 1


async def test_a_limit_of_requests_alone_is_never_settled(world: World) -> None:
    ticket = await world.ticket(PLACE)
    world.store.count_from_here()
    await world.gates.settle(ticket, Spent(50, 50))
    assert world.store.writes == 0


async def test_a_full_limit_is_refused_without_asking_and_writes_nowhere(world: World) -> None:
    for _ in range(3):
        await world.gates.settle(await world.ticket(KEY, TEAM), Spent(1, 1))
    await world.denial(KEY, TEAM)
    world.store.count_from_here()
    for _ in range(20):
        await world.denial(KEY, TEAM)
    assert world.store.writes == 0
    world.clock.advance(60)
    await world.ticket(KEY, TEAM)


async def test_a_refusal_for_tokens_is_believed_for_a_second(world: World) -> None:
    tight = GateLimits("key/tight", tpm=150)
    other = world.another()
    held = await world.ticket(tight)
    await other.admit([tight], NEED)
    world.store.count_from_here()
    assert isinstance(await other.admit([tight], NEED), Denial)
    assert world.store.writes == 0
    await world.gates.settle(held, Spent(0, 0))
    world.clock.advance(1.1)
    assert isinstance(await other.admit([tight], NEED), Ticket)


# --- Refusals ------------------------------------------------------------------------------------------------------


async def test_the_refusal_names_the_limit_its_owner_and_when_it_ends(world: World) -> None:
    world.clock.now_s += 13
    for _ in range(3):
        await world.ticket(KEY, need=Reservation(1, 1))
    found = await world.denial(KEY, TEAM, need=Reservation(1, 1))
    assert (found.scope, found.kind, found.limit, found.remaining) == ("key/a", LimitKind.REQUESTS, 3, 0)
    error = found.error()
    assert (error.status, error.code, error.retry_after_s) == (429, "rate_limit_exceeded", 47)
    assert "key 'a'" in error.message
    assert "limit 3, remaining 0" in error.message
    assert found.headers()["x-ratelimit-remaining-requests"] == "0"
    assert found.headers()["x-ratelimit-reset-requests"] == "47s"


async def test_a_spent_budget_says_how_much_and_until_when(world: World) -> None:
    for _ in range(3):
        await world.ticket(replace(KEY, rpm=None), need=Reservation(1, 3_000))
    error = (await world.denial(replace(KEY, rpm=None), need=Reservation(1, 3_000))).error()
    assert (error.kind, error.status, error.code) == (ErrorKind.BUDGET_EXCEEDED, 429, "insufficient_quota")
    assert "$0.01 per month, $0.001 left" in error.message
    assert "$0.003" in error.message
    assert "2027-02-01T00:00:00Z" in error.message
    assert error.retry_after_s == 1_801_440_000 - world.clock.wall_s()


async def test_a_request_larger_than_the_whole_limit_is_refused_for_good(world: World) -> None:
    found = await world.denial(KEY, need=Reservation(1_001, 0))
    assert found.permanent
    assert found.error().retry_after_s is None
    assert "1001 tokens" in found.error().message
    assert world.store.writes == 0


async def test_too_many_calls_in_flight_are_refused_until_one_ends(world: World) -> None:
    first, _ = await world.ticket(TEAM), await world.ticket(TEAM)
    found = await world.denial(TEAM)
    assert (found.kind, found.limit, found.error().retry_after_s) == (LimitKind.PARALLEL, 2, 1.0)
    await world.gates.settle(first, Spent(0, 0))
    await world.ticket(TEAM)


async def test_of_several_refusals_the_one_that_lasts_longest_is_told(world: World) -> None:
    key = GateLimits("key/b", rpm=1)
    team = GateLimits("team/b", budget=BudgetLimit(100))
    await world.ticket(key, team, need=Reservation(1, 100))
    assert (await world.denial(key, team, need=Reservation(1, 100))).kind is LimitKind.BUDGET


async def test_a_scope_that_refuses_takes_nothing_from_the_others(world: World) -> None:
    await world.ticket(TEAM)
    await world.ticket(TEAM)
    other = world.another()  # has not seen that the team is full
    assert isinstance(await other.admit([KEY, TEAM, MODEL], NEED), Denial)
    for scope, left in (("key/a", 3), ("team/t", 48)):
        assert world.item(scope)["r"] == left
    assert (world.item("key/a")["t"], world.item("key/a")["b"], world.item("key/a")["h"]) == (1_000, 10_000, 0)
    assert world.item("key/a/model/m")["t"] == 5_000


# --- Deployments ---------------------------------------------------------------------------------------------------


async def test_a_full_deployment_leaves_the_caller_admitted(world: World) -> None:
    for _ in range(2):
        await world.gates.admit_first([], PLACE, NEED)
    caller, place = await world.gates.admit_first([TEAM], PLACE, NEED)
    assert isinstance(caller, Ticket)
    assert isinstance(place, Denial)
    assert isinstance(await world.gates.admit([GateLimits("dep/two", rpm=1)], NEED), Ticket)
    assert world.item("team/t")["r"] == 49


async def test_a_refused_caller_leaves_no_trace_at_the_deployment(world: World) -> None:
    await world.ticket(TEAM)
    await world.ticket(TEAM)
    caller, place = await world.another().admit_first([TEAM], PLACE, NEED)
    assert isinstance(caller, Denial)
    assert place is None
    assert world.item("dep/one")["r"] == 2


async def test_a_deployment_without_limits_is_free(world: World) -> None:
    caller, place = await world.gates.admit_first([], GateLimits("dep/free"), NEED)
    assert isinstance(caller, Ticket)
    assert isinstance(place, Ticket)
    assert world.store.writes == 0


# --- Headers -------------------------------------------------------------------------------------------------------


async def test_success_tells_the_tightest_of_the_limits(world: World) -> None:
    ticket = await world.ticket(KEY, TEAM, MODEL)
    assert ticket.headers() == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "60s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "60s",
    }
    assert not ticket.degraded


# --- Sliding windows -----------------------------------------------------------------------------------------------


async def test_a_sliding_limit_lets_no_burst_over_the_turn_of_the_minute(world: World) -> None:
    sliding = GateLimits("key/s", rpm=10, sliding=True)
    world.clock.now_s += 50
    for _ in range(10):
        await world.ticket(sliding)
    world.clock.advance(15)  # 5 s into the next minute: 11/12 of the last one still weigh
    got = [await world.gates.admit([sliding], NEED) for _ in range(10)]
    assert sum(isinstance(one, Ticket) for one in got) == 1
    refused = got[-1]
    assert isinstance(refused, Denial)
    assert refused.retry_after_s is not None
    world.clock.advance(refused.retry_after_s)
    await world.ticket(sliding)


async def test_a_cold_environment_keeps_a_sliding_limit(world: World) -> None:
    sliding = GateLimits("key/s", rpm=10, sliding=True)
    world.clock.now_s += 50
    for _ in range(10):
        await world.ticket(sliding)
    world.clock.advance(11)  # 1 s into the next minute: 9.8 of the 10 still weigh, rounded down
    assert isinstance(await world.another().admit([sliding], NEED), Ticket)
    assert isinstance(await world.another().admit([sliding], NEED), Denial)
