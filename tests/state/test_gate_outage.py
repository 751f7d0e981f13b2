"""A table that does not answer: rate limits go on by memory, budgets wait, and what was used is not forgotten."""

from random import Random

import pytest

from pllm.core.clock import ManualClock
from pllm.core.config.policies import Budgets, Limits
from pllm.core.errors import ErrorKind
from pllm.core.limit_answers import Denial
from pllm.core.limits import BudgetLimit, GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate import GateEvent, Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Refused, StateError, Update

NEED = Reservation(100, 2_000)
RATES = GateLimits("key/a", rpm=30, tpm=30_000, max_parallel=20)
MONEY = GateLimits("key/b", budget=BudgetLimit(100_000))


class FlakyStore(MemoryStore):
    """Fails the next writes as told: `lost` before the table saw them, `silent` after."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.down = ""
        self.asked = 0

    async def update(self, update: Update) -> Applied | Refused:
        self.asked += 1
        failure = self.failures.pop(0) if self.failures else self.down
        if failure == "throttled":
            raise StateError("throttled", sent=False)
        if failure == "lost":
            raise StateError("timeout", sent=True)
        result = await super().update(update)
        if failure == "silent":
            raise StateError("timeout", sent=True)
        return result


class World:
    def __init__(self, policy: GatePolicy | None = None) -> None:
        self.store = FlakyStore()
        self.clock = ManualClock()
        self.events: list[GateEvent] = []
        self.gates = Gates(self.store, self.clock, Random(1), policy or GatePolicy(), self.events.append)

    def number(self, scope: str, name: str) -> int:
        value = self.store.items[f"G#{scope}", "G"][name]
        assert isinstance(value, int)
        return value

    def unsettled(self) -> list[GateEvent]:
        return [event for event in self.events if event["event"] == "unsettled"]


def test_a_policy_is_what_the_configuration_asks_for() -> None:
    assert GatePolicy.of(Limits(), Budgets()) == GatePolicy()
    asked = GatePolicy.of(Limits(on_state_error="closed"), Budgets(on_state_error="open", strict=True, exact=True))
    assert asked == GatePolicy("closed", "open", strict=True, exact=True)


async def test_rates_pass_degraded_and_say_so() -> None:
    world = World()
    world.store.down = "throttled"
    found = await world.gates.admit([RATES], NEED)
    assert isinstance(found, Ticket)
    assert found.degraded
    assert world.events[0] == {"event": "state_error", "scope": "key/a", "reason": "throttled"}


async def test_more_for_a_request_that_is_in_counts_as_no_other_one() -> None:
    world = World()
    world.store.down = "lost"
    only = GateLimits("key/a", rpm=10, tpm=30_000, max_parallel=10)
    for _ in range(3):
        first = await _ticket(world, only)
        more, _ = await world.gates.admit_again([only], NEED, GateLimits("dep/free"), NEED)
        assert isinstance(more, Ticket)
        assert more.degraded
        assert isinstance(await world.gates.admit([only], NEED), Denial)  # a tenth of ten is one call in flight
        await world.gates.settle(more, Spent(1, 0))
        assert isinstance(await world.gates.admit([only], NEED), Denial)
        await world.gates.settle(first, Spent(1, 0))
        world.clock.advance(60)


async def test_more_money_is_refused_without_the_table() -> None:
    world = World()
    await _ticket(world, MONEY)
    world.store.down = "lost"
    found, _ = await world.gates.admit_again([MONEY], NEED, GateLimits("dep/free"), NEED)
    assert isinstance(found, Denial)
    assert (found.kind, found.error().status) == (LimitKind.STATE, 503)


async def test_a_cold_environment_takes_a_tenth_of_a_limit_whose_fleet_it_never_saw() -> None:
    world = World()
    world.store.down = "throttled"
    found = [await world.gates.admit([RATES], NEED) for _ in range(10)]
    assert [isinstance(one, Ticket) for one in found].count(True) == 2  # a tenth of 20 calls in flight
    refused = found[-1]
    assert isinstance(refused, Denial)
    assert refused.kind is LimitKind.PARALLEL
    assert refused.error().status == 429


async def test_a_warm_environment_takes_its_share_of_the_fleet_it_saw() -> None:
    world = World()
    other = Gates(world.store, world.clock, Random(2))
    rates = GateLimits("key/c", rpm=40)
    for _ in range(6):
        world.clock.advance(1)
        await other.admit([rates], NEED)
        await world.gates.admit([rates], NEED)
    world.store.down = "throttled"
    world.clock.advance(60)
    found = [await world.gates.admit([rates], NEED) for _ in range(40)]
    assert [isinstance(one, Ticket) for one in found].count(True) == 20


async def test_budgets_are_closed_without_the_table() -> None:
    world = World()
    world.store.down = "throttled"
    found = await world.gates.admit([MONEY], NEED)
    assert isinstance(found, Denial)
    error = found.error()
    assert (error.kind, error.status, error.retry_after_s) == (ErrorKind.UNAVAILABLE, 503, 2.0)


async def test_rates_can_be_closed_and_budgets_open() -> None:
    closed, opened = World(GatePolicy(rates="closed")), World(GatePolicy(budgets="open", open_budget_micro_usd=5_000))
    closed.store.down = opened.store.down = "throttled"
    assert isinstance(await closed.gates.admit([RATES], NEED), Denial)
    found = [await opened.gates.admit([MONEY], NEED) for _ in range(4)]
    assert [isinstance(one, Ticket) for one in found] == [True, True, False, False]


async def test_what_an_open_budget_let_pass_is_charged_when_the_table_is_back() -> None:
    world = World(GatePolicy(budgets="open"))
    await world.gates.settle(await _ticket(world, MONEY), Spent(1, 0))
    world.store.down = "throttled"
    ticket = await _ticket(world, MONEY)
    await world.gates.settle(ticket, Spent(50, 700))
    world.store.down = ""
    world.clock.advance(5)
    await world.gates.flush()
    assert (world.number("key/b", "b"), world.number("key/b", "h")) == (99_300, 0)


async def test_a_budget_that_refuses_undoes_what_the_other_scopes_took() -> None:
    world = World()
    await world.gates.settle(await _ticket(world, RATES, MONEY), Spent(0, 0))
    world.store.failures = ["", "throttled"]
    assert isinstance(await world.gates.admit([RATES, MONEY], NEED), Denial)
    assert (world.number("key/a", "r"), world.number("key/a", "k"), world.number("key/b", "h")) == (29, 0, 0)


async def test_after_three_errors_the_table_is_left_alone_for_a_while() -> None:
    world = World()
    world.store.down = "lost"
    for _ in range(10):
        await world.gates.admit([GateLimits("key/d", rpm=1000)], NEED)
    assert world.store.asked == 3
    world.store.down = ""
    world.clock.advance(3.1)
    found = await world.gates.admit([GateLimits("key/d", rpm=1000)], NEED)
    assert isinstance(found, Ticket)
    assert not found.degraded


SLOTS = GateLimits("key/c", rpm=30, tpm=30_000, max_parallel=20, budget=BudgetLimit(100_000))


@pytest.mark.parametrize("failure", ["silent", "lost"])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("warm", [True, False])
async def test_what_was_refused_for_want_of_an_answer_is_taken_back_at_the_end_of_the_invocation(
    failure: str, strict: bool, warm: bool
) -> None:
    """It may have been written or not: the gate says which."""
    world = World(GatePolicy(strict=strict))
    await Gates(world.store, world.clock, Random(3)).admit([SLOTS], Reservation(1, 1))
    if warm:
        await _ticket(world, SLOTS, need=Reservation(1, 1))
    before = {name: world.number("key/c", name) for name in ("r", "t", "b", "h", "hc", "k", "kc")}
    world.store.failures = [failure]
    assert isinstance(await world.gates.admit([SLOTS], NEED), Denial)
    assert world.number("key/c", "h") == before["h"] + (2_000 if failure == "silent" else 0)
    await world.gates.flush()
    assert {name: world.number("key/c", name) for name in before} == before
    world.store.asked = 0
    await world.gates.flush()
    assert world.store.asked == 0


async def test_a_gate_that_was_made_without_an_answer_is_as_if_nobody_had_asked() -> None:
    world = World(GatePolicy(strict=True))
    world.store.failures = ["", "silent"]
    assert isinstance(await world.gates.admit([MONEY], NEED), Denial)
    await world.gates.flush()
    assert (world.number("key/b", "b"), world.number("key/b", "h")) == (100_000, 0)


async def test_once_another_was_admitted_a_lost_hold_is_left_to_expire() -> None:
    """Whose it is cannot be told any more; giving back what was never taken would let others overshoot."""
    world = World(GatePolicy(strict=True))
    await world.gates.settle(await _ticket(world, MONEY), Spent(0, 0))
    world.store.failures = ["silent"]
    assert isinstance(await world.gates.admit([MONEY], NEED), Denial)
    other = Gates(world.store, world.clock, Random(2), GatePolicy(strict=True))
    found = await other.admit([MONEY], Reservation(1, 5))
    assert isinstance(found, Ticket)
    await world.gates.flush()
    await other.settle(found, Spent(0, 0))
    assert (world.number("key/b", "b"), world.number("key/b", "h")) == (98_000, 2_000)


async def test_it_is_not_taken_back_after_its_generation() -> None:
    world = World(GatePolicy(strict=True))
    await world.gates.settle(await _ticket(world, MONEY), Spent(0, 0))
    world.store.failures = ["silent"]
    assert isinstance(await world.gates.admit([MONEY], NEED), Denial)
    world.clock.advance(961)
    other = Gates(world.store, world.clock, Random(2), GatePolicy(strict=True))
    await other.settle(await _ticket(world, MONEY, gates=other), Spent(0, 0))
    await world.gates.flush()
    assert (world.number("key/b", "b"), world.number("key/b", "hp")) == (98_000, 2_000)


@pytest.mark.parametrize(("failure", "left"), [("throttled", 99_500), ("lost", 97_500), ("silent", 99_000)])
async def test_a_charge_is_written_once_more_and_counts_twice_at_worst(failure: str, left: int) -> None:
    """Lost: the hold has not been given back yet, and will be when it expires. Silent: it was charged twice."""
    world = World()
    ticket = await _ticket(world, MONEY)
    world.store.failures = [failure]
    await world.gates.settle(ticket, Spent(10, 500))
    assert world.number("key/b", "b") == left
    world.clock.advance(2 * 960 + 1)
    await world.gates.settle(await _ticket(world, MONEY), Spent(0, 0))
    assert world.number("key/b", "b") == (99_000 if failure == "silent" else 99_500)


async def test_a_mere_refund_without_an_answer_is_left_to_expire() -> None:
    world = World()
    ticket = await _ticket(world, MONEY)
    world.store.failures = ["lost"]
    asked = world.store.asked
    await world.gates.settle(ticket, Spent(0, 0))
    assert world.store.asked == asked + 1
    (event,) = world.unsettled()
    assert (event["held_micro_usd"], event["kept"]) == (2_000, False)


async def test_what_certainly_did_not_happen_is_settled_at_the_next_invocation() -> None:
    world = World()
    ticket = await _ticket(world, MONEY)
    world.store.down = "throttled"
    await world.gates.settle(ticket, Spent(10, 500))
    (event,) = world.unsettled()
    assert (event["used_micro_usd"], event["kept"], event["scope"]) == (500, True, "key/b")
    world.store.down = ""
    world.clock.advance(5)
    await world.gates.flush()
    assert (world.number("key/b", "b"), world.number("key/b", "h")) == (99_500, 0)
    world.store.asked = 0
    await world.gates.flush()
    assert world.store.asked == 0


async def _ticket(world: World, *scopes: GateLimits, need: Reservation = NEED, gates: Gates | None = None) -> Ticket:
    found = await (gates or world.gates).admit(scopes, need)
    assert isinstance(found, Ticket)
    return found
