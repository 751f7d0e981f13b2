"""Policies that come and go with configurations, and what they leave behind."""

from random import Random

from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.limits import BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.gate import Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_set import GateSet
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore

MONEY = GateLimits("key/a", budget=BudgetLimit(100_000, "total"))


def test_each_policy_has_gates_of_its_own_and_keeps_them() -> None:
    gates = GateSet(lambda policy: Gates(MemoryStore(), ManualClock(), Random(1), policy))
    first = gates.of(GatePolicy())
    assert gates.of(GatePolicy(exact=True)) is not first
    assert gates.of(GatePolicy()) is first


async def test_what_is_owed_under_a_former_policy_is_settled_under_the_next() -> None:
    clock, memory = ManualClock(), MemoryStore()
    table = FaultyStore(memory)
    gates = GateSet(lambda policy: Gates(table, clock, Random(1), policy))
    before = gates.of(GatePolicy())
    ticket = await before.admit([MONEY], Reservation(1, 4_000))
    assert isinstance(ticket, Ticket)
    table.always = Fault.THROTTLED
    await before.settle(ticket, Spent(1, 1_500))
    table.always = Fault.NONE
    gates.of(GatePolicy(exact=True))
    clock.advance(5)
    await gates.flush()
    item = memory.items["G#key/a", "G"]
    assert (item["b"], item["h"]) == (98_500, 0)
