"""One settlement at a time, and what becomes of it when answers do not come."""

from random import Random

import pytest
from tests.properties.gate_world import NamingRandom
from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.limits import BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.gate import GateEvent, Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore

MONEY = GateLimits("key/a", budget=BudgetLimit(100_000, "total"))
RATES = GateLimits("key/a", rpm=50, tpm=5_000)
NEED = Reservation(100, 4_000)
USED = Spent(50, 1_500)
LOST, UNSEEN = Fault.LOST_RESPONSE, Fault.LOST_REQUEST


class World:
    """`waited_s`: the waits between sends; each moves the clock."""

    def __init__(self, *, exact: bool = True) -> None:
        self.clock = ManualClock()
        self.memory = MemoryStore(self.clock)
        self.table = FaultyStore(self.memory)
        self.events: list[GateEvent] = []
        self.waited_s: list[float] = []
        policy = GatePolicy(exact=exact)
        self.gates = Gates(self.table, self.clock, NamingRandom(1), policy, self.events.append, self.wait)

    async def wait(self, seconds: float) -> None:
        self.waited_s.append(seconds)
        self.clock.advance(seconds)

    async def ticket(self, limits: GateLimits = MONEY) -> Ticket:
        found = await self.gates.admit([limits], NEED)
        assert isinstance(found, Ticket), found
        self.table.calls = 0
        return found

    async def settled(self, *faults: Fault) -> None:
        ticket = await self.ticket()
        self.table.faults = list(faults)
        await self.gates.settle(ticket, USED)

    def numbers(self) -> tuple[object, object]:
        item = self.memory.items["G#key/a", "G"]
        return item["b"], item["h"]


@pytest.mark.parametrize("faults", [[LOST], [UNSEEN], [LOST, LOST], [UNSEEN, LOST], [Fault.CONFLICT] * 5 + [LOST]])
async def test_a_lost_answer_is_charged_once(faults: list[Fault]) -> None:
    world = World()
    await world.settled(*faults)
    assert world.numbers() == (98_500, 0)
    assert world.table.calls == len(faults) + 1
    assert not world.events


async def test_without_exact_it_is_charged_twice_rather_than_not_at_all() -> None:
    world = World(exact=False)
    await world.settled(LOST)
    assert world.numbers() == (97_000, 0)


async def test_the_write_that_settles_is_one() -> None:
    world = World()
    await world.settled()
    assert world.table.calls == 1


async def test_what_is_still_in_doubt_waits_for_a_later_invocation_and_the_log_has_its_numbers() -> None:
    world = World()
    await world.settled(LOST, UNSEEN, UNSEEN)  # then the table is left alone
    (event,) = world.events
    assert (event["event"], event["kept"], event["used_micro_usd"], event["held_micro_usd"]) == (
        "unsettled",
        True,
        1_500,
        4_000,
    )
    world.clock.advance(300)
    await world.gates.flush()
    await world.gates.flush()
    assert world.numbers() == (98_500, 0)
    assert len(world.events) == 1


async def test_what_never_arrived_is_charged_later_by_what_the_gate_has_become() -> None:
    world = World()
    await world.settled(UNSEEN, UNSEEN, UNSEEN)
    world.clock.advance(400)
    other = Gates(world.memory, world.clock, Random(2))
    found = await other.admit([MONEY], NEED)
    assert isinstance(found, Ticket)
    await world.gates.flush()
    assert world.numbers() == (94_500, 4_000)


async def test_what_the_table_may_have_forgotten_is_charged_once_too_often_rather_than_never() -> None:
    world = World()
    await world.settled(LOST, UNSEEN, UNSEEN)
    world.clock.advance(541)
    await world.gates.flush()
    assert world.numbers() == (97_000, 0)


async def test_a_refund_that_the_table_may_have_forgotten_is_left_to_expire() -> None:
    world = World()
    ticket = await world.ticket()
    world.table.faults = [UNSEEN] * 3
    await world.gates.cancel(ticket)
    world.clock.advance(541)
    await world.gates.flush()
    assert world.numbers() == (96_000, 4_000)
    assert [(event["reason"], event["kept"]) for event in world.events] == [("timeout", True), ("forgotten", False)]


async def test_it_gives_up_for_now_within_the_second_that_a_function_has_left() -> None:
    world = World()
    ticket = await world.ticket()
    world.table.always = Fault.CONFLICT
    began_s = world.clock.now_s
    await world.gates.settle(ticket, USED)
    assert world.clock.now_s - began_s < 1.1
    assert world.waited_s == sorted(world.waited_s[:3]) + world.waited_s[3:]
    world.table.always = Fault.NONE
    await world.gates.flush()
    assert world.numbers() == (98_500, 0)


async def test_an_admission_waits_for_the_transactions_of_others_instead_of_giving_up_on_the_table() -> None:
    world = World()
    await world.ticket()
    world.table.faults = [Fault.CONFLICT] * 5
    found = await world.gates.admit([MONEY], NEED)
    assert isinstance(found, Ticket)
    assert not found.degraded
    assert not world.events


async def test_scopes_without_a_budget_do_not_pay_for_transactions() -> None:
    world = World()
    ticket = await world.ticket(RATES)
    world.table.faults = [LOST]
    await world.gates.settle(ticket, Spent(400, 0))  # a lost overshoot of tokens counts again, as it does without
    item = world.memory.items["G#key/a", "G"]
    assert item["t"] == 5_000 - 100 - 300 - 300


async def test_what_came_back_unseen_is_looked_for_before_a_budget_refuses() -> None:
    world = World()
    small = GateLimits("key/a", budget=BudgetLimit(5_000, "total"))
    ticket = await world.ticket(small)
    assert not isinstance(await world.gates.admit([small], NEED), Ticket)
    await world.gates.settle(ticket, Spent(1, 500))
    assert isinstance(await world.gates.admit([small], NEED), Ticket)
