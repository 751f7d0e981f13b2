"""Limits that change while their gates are in use."""

from dataclasses import replace
from random import Random

import pytest
from tests.state.gate_trips import KEY, CountingStore, World

from pllm.core.clock import ManualClock
from pllm.core.limits import BudgetLimit, GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate import Gates


@pytest.fixture
def world() -> World:
    store, clock = CountingStore(), ManualClock()
    return World(store, clock, Gates(store, clock, Random(1)))


async def test_a_raised_limit_holds_with_the_next_request_and_forgets_nothing(world: World) -> None:
    for _ in range(3):
        await world.ticket(KEY, need=Reservation(1, 1))
    raised = replace(KEY, rpm=5, version=1)
    await world.ticket(raised, need=Reservation(1, 1))
    assert (world.item("key/a")["rl"], world.item("key/a")["r"]) == (5, 1)


async def test_a_lowered_limit_holds_at_once_for_what_was_used_before(world: World) -> None:
    for _ in range(2):
        await world.ticket(KEY, need=Reservation(1, 1))
    lowered = replace(KEY, rpm=2, budget=BudgetLimit(5_000), version=1)
    assert (await world.denial(lowered, need=Reservation(1, 1))).kind is LimitKind.REQUESTS
    assert world.item("key/a")["b"] == 4_998


async def test_an_older_configuration_never_undoes_a_newer_one(world: World) -> None:
    await world.ticket(replace(KEY, rpm=9, version=7))
    other = world.another()
    for _ in range(2):
        await other.admit([KEY], Reservation(1, 1))
    assert world.item("key/a")["rl"] == 9


async def test_a_gate_that_is_told_of_a_lower_limit_refuses_who_has_not_heard_of_it_in_one_write(world: World) -> None:
    for _ in range(2):
        await world.ticket(KEY, need=Reservation(1, 1))
    await world.another().tell(replace(KEY, budget=BudgetLimit(1_500), version=1))
    world.store.count_from_here()
    denied = await world.denial(KEY)
    assert (denied.kind, denied.limit, denied.remaining) == (LimitKind.BUDGET, 1_500, 1_498)
    assert (await world.denial(KEY)).kind is LimitKind.BUDGET
    assert world.store.writes == 1  # and then it is known here
    await world.ticket(KEY, need=Reservation(1, 1_498))


async def test_so_does_a_raised_one_let_pass(world: World) -> None:
    await world.ticket(KEY, need=Reservation(1, 9_000))
    assert (await world.denial(KEY)).kind is LimitKind.BUDGET
    await world.another().tell(replace(KEY, budget=BudgetLimit(20_000), version=1))
    world.clock.advance(2)  # for so long a refusal is believed
    await world.ticket(KEY)


@pytest.mark.parametrize("rpm", [100, None], ids=["raised", "lifted"])
async def test_who_was_refused_by_a_rate_that_is_no_more_is_let_pass_a_second_later(world: World, rpm: int | None) -> None:
    for _ in range(3):
        await world.ticket(KEY, need=Reservation(1, 1))
    assert (await world.denial(KEY, need=Reservation(1, 1))).kind is LimitKind.REQUESTS
    await world.another().tell(replace(KEY, rpm=rpm, version=1))
    world.clock.advance(1.1)
    await world.ticket(KEY, need=Reservation(1, 1))


async def test_of_a_limit_that_is_new_to_a_gate_nobody_takes_nothing(world: World) -> None:
    rates = replace(KEY, budget=None)
    await world.ticket(rates)
    await world.another().tell(replace(KEY, version=1))
    world.store.count_from_here()
    ticket = await world.ticket(rates)
    assert ([hold.micro_usd for hold in ticket.holds], world.store.writes) == ([2_000], 2)
    await world.gates.settle(ticket, Spent(1, 1_500))
    assert (world.item("key/a")["b"], world.item("key/a")["h"]) == (8_500, 0)
    world.store.count_from_here()
    await world.ticket(rates, need=Reservation(1, 1))
    assert world.store.writes == 1


async def test_a_gate_is_told_nothing_that_is_older_or_that_it_knows_and_none_is_made(world: World) -> None:
    await world.gates.tell(KEY)
    assert world.store.items == {}
    await world.ticket(replace(KEY, version=7))
    world.store.count_from_here()
    await world.gates.tell(replace(KEY, version=8))
    await world.gates.tell(replace(KEY, rpm=1, version=6))
    assert world.store.writes == 0


async def test_what_dead_requests_held_is_no_burden_of_a_new_budget(world: World) -> None:
    await world.ticket(KEY)
    await world.gates.tell(replace(KEY, budget=None, version=1))
    world.clock.advance(3 * 960)
    await world.another().tell(replace(KEY, version=2))
    assert (world.item("key/a")["b"], world.item("key/a")["h"]) == (10_000, 0)


async def test_a_changed_budget_period_only_moves_forward(world: World) -> None:
    first = await world.ticket(GateLimits("key/p", budget=BudgetLimit(5_000, "month")))
    await world.gates.settle(first, Spent(1, 2_000))
    daily = GateLimits("key/p", budget=BudgetLimit(5_000, "day"), version=1)
    await world.ticket(daily, need=Reservation(1, 4_000))  # today began after this month did: the budget is new
    monthly = GateLimits("key/p", budget=BudgetLimit(5_000, "month"), version=2)
    assert (await world.denial(monthly, need=Reservation(1, 2_000))).kind is LimitKind.BUDGET


async def test_a_revoked_key_stops_at_once_and_in_every_environment(world: World) -> None:
    await world.ticket(KEY)
    await world.another().revoke("key/a")
    world.clock.advance(60)
    error = (await world.denial(KEY)).error()
    assert (error.status, error.retry_after_s) == (401, None)
    await world.gates.restore("key/a")
    await world.ticket(KEY)


async def test_a_key_that_was_never_used_can_be_revoked(world: World) -> None:
    await world.gates.revoke("key/a")
    assert (await world.denial(KEY)).kind is LimitKind.REVOKED


async def test_a_gate_can_be_looked_at_as_it_stands_now(world: World) -> None:
    assert await world.gates.look(KEY) is None
    await world.ticket(KEY)
    world.clock.advance(60)
    found = await world.gates.look(KEY)
    assert found is not None
    assert (found.requests_left, found.requests_before, found.held) == (3, 1, 2_000)
