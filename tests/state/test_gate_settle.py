"""A hold in each of its three generations, and where what was used is charged."""

from random import Random

import pytest

from pllm.core.clock import ManualClock
from pllm.core.limits import GENERATION_S, BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.gate import GateEvent, Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore

DAY_S = 86_400
MONEY = GateLimits("key/a", max_parallel=5, budget=BudgetLimit(100_000, "total"))
DAILY = GateLimits("key/a", budget=BudgetLimit(100_000, "day"))
TOKENS = GateLimits("key/a", tpm=1_000)
NEED = Reservation(100, 4_000)


class World:
    def __init__(self, *, strict: bool = False) -> None:
        self.store = MemoryStore()
        self.clock = ManualClock()
        self.policy = GatePolicy(strict=strict)
        self.events: list[GateEvent] = []
        self.gates = self.environment()

    def environment(self) -> Gates:
        return Gates(self.store, self.clock, Random(1), self.policy, self.events.append)

    async def ticket(self, limits: GateLimits, need: Reservation = NEED, gates: Gates | None = None) -> Ticket:
        found = await (gates or self.gates).admit([limits], need)
        assert isinstance(found, Ticket), found
        return found

    async def touch(self, limits: GateLimits) -> None:
        """Another environment comes by, and moves the gate to the present."""
        other = self.environment()
        await other.settle(await self.ticket(limits, Reservation(1, 0), other), Spent(0, 0))

    def numbers(self, *names: str) -> tuple[object, ...]:
        item = self.store.items["G#key/a", "G"]
        return tuple(item.get(name) for name in names)


@pytest.mark.parametrize("generations", [0, 1, 2, 3, 40])
async def test_a_settled_request_costs_exactly_what_it_used_in_whichever_generation(generations: int) -> None:
    world = World()
    ticket = await world.ticket(MONEY)
    for _ in range(generations):
        world.clock.advance(GENERATION_S)
        await world.touch(MONEY)
    await world.gates.settle(ticket, Spent(50, 1_500))
    assert world.numbers("b", "h", "hc", "hp", "k", "kc", "kp") == (98_500, 0, 0, 0, 0, 0, 0)
    assert not world.events


@pytest.mark.parametrize("generations", [1, 2, 5])
async def test_a_settled_request_costs_the_same_when_nobody_came_by_meanwhile(generations: int) -> None:
    world = World()
    ticket = await world.ticket(MONEY)
    world.clock.advance(generations * GENERATION_S)
    await world.gates.settle(ticket, Spent(50, 1_500))
    await world.touch(MONEY)
    assert world.numbers("b", "h", "k") == (98_500, 0, 0)


async def test_a_crashed_request_holds_for_one_generation_and_is_free_after_two() -> None:
    world = World()
    await world.ticket(MONEY)
    world.clock.advance(GENERATION_S)
    await world.touch(MONEY)
    assert world.numbers("b", "h", "hp", "k", "kp") == (96_000, 4_000, 4_000, 1, 1)
    world.clock.advance(GENERATION_S)
    await world.touch(MONEY)
    assert world.numbers("b", "h", "k") == (100_000, 0, 0)


async def test_after_a_long_silence_everything_that_was_held_is_free_at_once() -> None:
    world = World()
    await world.ticket(MONEY)
    world.clock.advance(2 * GENERATION_S)
    await world.touch(MONEY)
    assert world.numbers("b", "h", "hc", "hp", "k", "kc", "kp") == (100_000, 0, 0, 0, 0, 0, 0)


async def test_strictly_a_crashed_request_costs_what_it_held_but_never_its_slot() -> None:
    world = World(strict=True)
    await world.ticket(MONEY)
    world.clock.advance(2 * GENERATION_S)
    await world.touch(MONEY)
    assert world.numbers("b", "h", "k") == (96_000, 0, 0)


async def test_strictly_a_late_settlement_takes_back_what_was_charged_too_much() -> None:
    world = World(strict=True)
    ticket = await world.ticket(MONEY)
    world.clock.advance(2 * GENERATION_S)
    await world.touch(MONEY)
    await world.gates.settle(ticket, Spent(50, 1_500))
    assert world.numbers("b", "h") == (98_500, 0)


@pytest.mark.parametrize(("used", "left"), [(1_500, 100_000), (5_500, 98_500)])
async def test_strictly_a_charge_to_a_period_that_is_over_refunds_nothing_in_the_next(used: int, left: int) -> None:
    world = World(strict=True)
    ticket = await world.ticket(DAILY)
    world.clock.advance(2 * GENERATION_S)
    await world.touch(DAILY)
    world.clock.advance(DAY_S)
    await world.touch(DAILY)
    await world.gates.settle(ticket, Spent(50, used))
    assert world.numbers("b", "h") == (left, 0)
    assert not world.events


async def test_what_runs_when_a_period_begins_burdens_the_new_one() -> None:
    world = World()
    world.clock.now_s = (world.clock.now_s // DAY_S + 1) * DAY_S - 30
    ticket = await world.ticket(DAILY)
    spent = await world.ticket(DAILY)
    await world.gates.settle(spent, Spent(1, 3_000))
    world.clock.advance(60)
    await world.touch(DAILY)
    assert world.numbers("b", "h") == (96_000, 4_000)
    await world.gates.settle(ticket, Spent(1, 1_500))
    assert world.numbers("b", "h") == (98_500, 0)


async def test_a_period_begins_once_however_many_remember_the_old_one() -> None:
    world = World()
    late = world.environment()
    await late.settle(await world.ticket(DAILY, gates=late), Spent(1, 0))
    world.clock.advance(DAY_S)
    await world.gates.settle(await world.ticket(DAILY), Spent(1, 3_000))
    await late.settle(await world.ticket(DAILY, gates=late), Spent(1, 500))
    assert world.numbers("b", "h") == (96_500, 0)


async def test_a_cold_environment_opens_the_period_before_it_spends() -> None:
    world = World()
    await world.gates.settle(await world.ticket(DAILY), Spent(1, 3_000))
    world.clock.advance(DAY_S)
    await world.ticket(DAILY, gates=world.environment())
    assert world.numbers("b", "h") == (96_000, 4_000)


async def test_a_period_that_begins_within_a_generation_is_opened_too() -> None:
    """Midnight in India is half past the hour elsewhere; in UTC every midnight begins a generation."""
    world = World()
    indian = GateLimits("key/a", budget=BudgetLimit(10_000, "day", "Asia/Kolkata"))
    midnight_s = (world.clock.now_s // DAY_S) * DAY_S + 18.5 * 3600
    assert int(midnight_s - 20) // GENERATION_S == int(midnight_s + 20) // GENERATION_S
    world.clock.now_s = midnight_s - 20
    await world.gates.settle(await world.ticket(indian), Spent(1, 3_000))
    world.clock.now_s = midnight_s + 20
    await world.ticket(indian, gates=world.environment())
    assert world.numbers("b", "h") == (6_000, 4_000)


async def test_unused_tokens_go_back_into_their_minute_only() -> None:
    world = World()
    early, late = await world.ticket(TOKENS), await world.ticket(TOKENS)
    await world.gates.settle(early, Spent(30, 0))
    assert world.numbers("t") == (870,)
    world.clock.advance(60)
    await world.touch(TOKENS)
    await world.gates.settle(late, Spent(30, 0))
    assert world.numbers("t", "pt") == (1_000, 130)


async def test_tokens_beyond_the_reservation_are_charged_to_the_present_minute() -> None:
    world = World()
    ticket = await world.ticket(TOKENS)
    world.clock.advance(60)
    await world.touch(TOKENS)
    await world.gates.settle(ticket, Spent(350, 0))
    assert world.numbers("t") == (750,)


async def test_a_budget_that_was_lifted_and_set_again_begins_with_what_is_still_held() -> None:
    world = World()
    running = await world.ticket(MONEY)
    lifted = GateLimits("key/a", max_parallel=5, version=1)
    await world.gates.settle(await world.ticket(lifted), Spent(1, 0))
    again = GateLimits("key/a", max_parallel=5, budget=BudgetLimit(50_000, "total"), version=2)
    await world.ticket(again, gates=world.environment())
    assert world.numbers("b", "h") == (42_000, 8_000)
    await world.gates.settle(running, Spent(1, 1_000))
    assert world.numbers("b", "h") == (45_000, 4_000)


async def test_what_a_lifted_budget_left_behind_admits_nobody() -> None:
    world = World()
    await world.ticket(MONEY)  # goes on holding 4,000 while the budget comes and goes
    await world.ticket(GateLimits("key/a", max_parallel=5, version=1))
    small = GateLimits("key/a", max_parallel=5, budget=BudgetLimit(3_000, "total"), version=2)
    assert not isinstance(await world.environment().admit([small], Reservation(1, 100)), Ticket)
    assert world.numbers("b", "bl", "h") == (-1_000, 3_000, 4_000)


async def test_cancelling_is_as_if_it_had_never_been() -> None:
    world = World()
    limits = GateLimits("key/a", rpm=5, tpm=1_000, max_parallel=2, budget=BudgetLimit(9_000))
    await world.gates.settle(await world.ticket(limits), Spent(20, 300))
    before = dict(world.store.items["G#key/a", "G"])
    ticket = await world.ticket(limits)
    await world.gates.cancel(ticket)
    after = dict(world.store.items["G#key/a", "G"])
    assert after | {"m": before["m"]} == before
    await world.gates.cancel(ticket)
    await world.gates.settle(ticket, Spent(100, 4_000))
    assert world.store.items["G#key/a", "G"] == after


async def test_who_does_not_know_of_a_new_budget_cannot_lose_what_it_holds() -> None:
    world = World()
    stale = world.environment()
    slots = GateLimits("key/a", max_parallel=5)
    await stale.settle(await world.ticket(slots, gates=stale), Spent(0, 0))
    await world.ticket(GateLimits("key/a", max_parallel=5, budget=BudgetLimit(9_000, "total"), version=1))
    world.clock.advance(2 * GENERATION_S)
    await stale.admit([slots], Reservation(1, 0))
    assert world.numbers("b", "h") == (9_000, 0)
