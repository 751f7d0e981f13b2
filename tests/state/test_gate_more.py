"""More money and tokens for a request that is in already; and clients that leave."""

import asyncio
from random import Random

import pytest
from tests.state.gate_trips import KEY, NEED, PLACE, TEAM, CountingStore, World

from pllm.core.clock import ManualClock
from pllm.core.limit_answers import Denial
from pllm.core.limits import BudgetLimit, GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket


@pytest.fixture
def world() -> World:
    store, clock = CountingStore(), ManualClock()
    return World(store, clock, Gates(store, clock, Random(1)))


# --- Clients that leave --------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_while_being_admitted_holds_nothing(world: World) -> None:
    asked = asyncio.ensure_future(world.gates.admit([KEY, TEAM], NEED))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    for _ in range(40):
        await asyncio.sleep(0)
    assert (world.item("key/a")["r"], world.item("key/a")["b"], world.item("key/a")["h"]) == (3, 10_000, 0)
    assert world.item("team/t")["k"] == 0


async def test_what_a_client_that_left_would_hold_is_given_back_before_the_invocation_ends(world: World) -> None:
    """After it the environment may be frozen for a long time."""
    asked = asyncio.ensure_future(world.gates.admit([KEY, TEAM], NEED))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await world.gates.flush()
    assert (world.item("key/a")["r"], world.item("key/a")["b"], world.item("key/a")["h"]) == (3, 10_000, 0)
    assert world.item("team/t")["k"] == 0


async def test_settling_is_finished_even_if_the_client_leaves_meanwhile(world: World) -> None:
    ticket = await world.ticket(KEY, TEAM)
    settling = asyncio.ensure_future(world.gates.settle(ticket, Spent(7, 70)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    for _ in range(40):
        await asyncio.sleep(0)
    assert (world.item("key/a")["b"], world.item("key/a")["h"], world.item("team/t")["k"]) == (9_930, 0, 0)


@pytest.mark.parametrize("steps", range(1, 12))
async def test_several_tickets_are_settled_even_if_the_client_leaves_at_any_moment(world: World, steps: int) -> None:
    tickets = [await world.ticket(KEY, TEAM), await world.ticket(KEY)]
    settling = asyncio.ensure_future(world.gates.settle_all((ticket, Spent(7, 70)) for ticket in tickets))
    for _ in range(steps):
        await asyncio.sleep(0)
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    for _ in range(40):
        await asyncio.sleep(0)
    assert (world.item("key/a")["b"], world.item("key/a")["h"], world.item("team/t")["k"]) == (9_860, 0, 0)


# --- More for a request that is in ---------------------------------------------------------------------------------


BUSY = GateLimits("key/busy", rpm=1, tpm=1_000, max_parallel=1, budget=BudgetLimit(5_000))
FREE = GateLimits("dep/free")


async def test_more_counts_no_request_and_no_call_in_flight(world: World) -> None:
    first = await world.ticket(BUSY)
    more, _ = await world.gates.admit_again([BUSY], Reservation(300, 1_000), FREE, NEED)
    assert isinstance(more, Ticket)
    item = world.item("key/busy")
    assert (item["r"], item["k"], item["t"], item["b"], item["h"]) == (0, 1, 600, 2_000, 3_000)
    await world.gates.settle(more, Spent(250, 900))
    await world.gates.settle(first, Spent(10, 20))
    item = world.item("key/busy")
    assert (item["r"], item["k"], item["t"], item["b"], item["h"]) == (0, 0, 740, 4_080, 0)


async def test_more_than_there_is_leaves_what_is_held_and_names_the_limit(world: World) -> None:
    other = GateLimits("team/roomy", tpm=100_000)
    await world.ticket(BUSY, other)
    before = (world.item("key/busy"), world.item("team/roomy"))
    for need, kind in ((Reservation(300, 3_001), LimitKind.BUDGET), (Reservation(901, 0), LimitKind.TOKENS)):
        found, place = await world.gates.admit_again([BUSY, other], need, PLACE, NEED)
        assert isinstance(found, Denial)
        assert (found.scope, found.kind, found.error().status, place) == ("key/busy", kind, 429, None)
    assert (world.item("key/busy"), world.item("team/roomy")) == before


async def test_more_in_a_new_minute_opens_it_without_a_request(world: World) -> None:
    await world.ticket(BUSY)
    world.clock.advance(60)
    found, _ = await world.gates.admit_again([BUSY], Reservation(300, 0), FREE, NEED)
    assert isinstance(found, Ticket)
    assert (world.item("key/busy")["r"], world.item("key/busy")["t"], world.item("key/busy")["pr"]) == (1, 700, 1)
    await world.gates.cancel(found)
    assert (world.item("key/busy")["r"], world.item("key/busy")["t"]) == (1, 1_000)


async def test_more_of_a_gate_that_was_deleted_makes_it_anew(world: World) -> None:
    await world.ticket(BUSY)
    await world.store.delete("G#key/busy", "G")
    found, _ = await world.another().admit_again([BUSY], Reservation(300, 1_000), FREE, NEED)
    assert isinstance(found, Ticket)
    item = world.item("key/busy")
    assert (item["r"], item["k"], item["t"], item["b"], item["h"]) == (1, 0, 700, 4_000, 1_000)


async def test_a_client_that_leaves_while_more_is_asked_for_holds_nothing_more(world: World) -> None:
    await world.ticket(BUSY)
    asking = asyncio.ensure_future(world.gates.admit_again([BUSY], Reservation(300, 1_000), FREE, NEED))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (world.item("key/busy")["t"], world.item("key/busy")["h"]) == (900, 2_000)
