"""A budget that is nearly spent: said once in its period, by one environment of the fleet."""

import asyncio

import pytest
from tests.properties.gate_world import Environment
from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.limits import BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.gate import GateEvent
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore

DAILY = GateLimits("team/t", rpm=1000, budget=BudgetLimit(10_000, "day"))


class World:
    def __init__(self, *, exact: bool = False) -> None:
        self.clock = ManualClock()
        self.table = FaultyStore(MemoryStore(self.clock))
        policy = GatePolicy(exact=exact)
        self.fleet = [Environment.of(self.table, self.clock, policy, seed) for seed in range(3)]

    async def spend(self, micro_usd: int, environment: int = 0, limits: GateLimits = DAILY, need: int | None = None) -> None:
        gates = self.fleet[environment].gates
        found = await gates.admit([limits], Reservation(1, micro_usd if need is None else need))
        assert isinstance(found, Ticket), found
        await gates.settle(found, Spent(1, micro_usd))

    def told(self) -> list[GateEvent]:
        return [event for one in self.fleet for event in one.events if event["event"] == "budget_nearly_spent"]


async def test_it_is_said_when_less_than_a_tenth_is_left_and_not_before() -> None:
    world = World()
    await world.spend(9_000)
    assert not world.told()
    await world.spend(1)
    assert world.told() == [
        {"event": "budget_nearly_spent", "scope": "team/t", "budget_micro_usd": 10_000, "left_micro_usd": 999}
    ]


async def test_what_is_only_held_is_not_spent() -> None:
    world = World()
    await world.spend(100, need=9_900)
    assert not world.told()


async def test_one_of_the_fleet_says_it_and_costs_nobody_else_a_write() -> None:
    world = World()
    await world.spend(9_100)
    world.table.calls = 0
    for environment in (0, 1, 2, 0):
        await world.spend(1, environment)
    assert len(world.told()) == 1
    assert world.table.calls == 4 * 2


async def test_of_many_at_once_one_says_it() -> None:
    world = World()
    await world.spend(8_950)
    await asyncio.gather(*(world.spend(20, environment) for environment in (0, 1, 2) * 3))
    assert len(world.told()) == 1


async def test_it_is_said_again_in_the_next_period_and_of_another_amount() -> None:
    world = World()
    await world.spend(9_500)
    world.clock.advance(86_400)
    await world.spend(9_500)
    assert len(world.told()) == 2
    raised = GateLimits("team/t", rpm=1000, budget=BudgetLimit(20_000, "day"), version=1)
    await world.spend(100, limits=raised)
    assert len(world.told()) == 2
    await world.spend(9_000, limits=raised)
    assert [event["budget_micro_usd"] for event in world.told()] == [10_000, 10_000, 20_000]


@pytest.mark.parametrize(("fault", "told"), [(Fault.THROTTLED, 0), (Fault.LOST_RESPONSE, 1), (Fault.CONFLICT, 1)])
async def test_trouble_with_the_table_delays_it_and_costs_no_request_anything(fault: Fault, told: int) -> None:
    world = World()
    await world.spend(8_000)
    world.table.faults = [Fault.NONE, Fault.NONE, fault]
    await world.spend(1_500)
    assert len(world.told()) == told
    await world.spend(10)
    assert len(world.told()) == 1
    assert all(event["event"] == "budget_nearly_spent" for event in world.fleet[0].events)


async def test_a_budget_that_is_settled_exactly_says_it_with_the_next_request() -> None:
    world = World(exact=True)
    await world.spend(9_500)
    await world.spend(10)
    assert len(world.told()) == 1
