"""Many requests at once, every write a step of its own, in thousands of orders; then with faults at any write."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
from tests.properties.gate_world import Environment, image
from tests.properties.interleaving import Stepped, Weights

from pllm.core.clock import ManualClock
from pllm.core.limit_answers import Denial
from pllm.core.limit_image import GateImage
from pllm.core.limits import GENERATION_S, BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore

KEY = GateLimits("key/a", rpm=12, tpm=4000, budget=BudgetLimit(60_000, "total"))
TEAM = GateLimits("team/t", rpm=20, max_parallel=4, budget=BudgetLimit(90_000, "total"))
MODEL = GateLimits("model/m", tpm=9000, sliding=True)
SCOPES = (KEY, TEAM, MODEL)
SEEDS = range(25)


@dataclass
class Fleet:
    """Environments whose requests interleave write by write. Money is checked at the end, when all holds have died."""

    seed: int
    weights: Weights = field(default_factory=Weights)
    policy: GatePolicy = field(default_factory=GatePolicy)
    crashes: int = 0  # percent
    requests: int = 60
    steps_s: tuple[float, ...] = (0, 0, 0.5, 4, 30, 300)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clock = ManualClock()
        self.table = MemoryStore(self.clock)
        self.store = Stepped(self.table, self.random, self.weights)
        self.environments = [
            Environment.of(self.store, self.clock, self.policy, n, self.random.uniform(-3, 3)) for n in range(4)
        ]
        self.admitted: Counter[int] = Counter()
        self.settled = 0
        self.crashed = 0
        self.granted = 0
        self.granted_again = 0
        self.refused_again = 0
        self.running = 0
        self.unbooked = 0
        self.most_at_once = 0

    async def request(self) -> None:
        environment = self.random.choice(self.environments)
        need = Reservation(self.random.randint(1, 900), self.random.randint(0, 9000))
        self.clock.advance(self.random.choice(self.steps_s))
        found = await environment.gates.admit(SCOPES, need)
        if isinstance(found, Denial):
            return
        self.note(found)
        more = await self.another_attempt(environment)
        await self.settle_or_crash(environment, found, need, more)

    async def another_attempt(self, environment: Environment) -> "tuple[Ticket, Reservation] | None":
        """Half of the requests need a second attempt after a first that may be billed. None where there is no room for it."""
        more = Reservation(self.random.randint(1, 900), self.random.randint(1, 9000))
        if self.random.random() < 0.5:
            return None
        found, _ = await environment.gates.admit_again(SCOPES, more, GateLimits("dep/free"), more)
        if isinstance(found, Denial):
            self.refused_again += 1
            return None
        self.granted_again += 1
        self.unbooked += any(hold.micro_usd is not None and not hold.certain for hold in found.holds)
        return found, more

    def note(self, ticket: Ticket) -> None:
        self.granted += 1
        self.unbooked += any(hold.micro_usd is not None and not hold.certain for hold in ticket.holds)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.admitted.update(hold.at.window for hold in ticket.holds if hold.scope == KEY.scope and hold.certain)

    async def settle_or_crash(
        self, environment: Environment, ticket: Ticket, need: Reservation, more: "tuple[Ticket, Reservation] | None"
    ) -> None:
        if self.random.randrange(100) < self.crashes:
            self.crashed += 1
            return  # it goes on holding its slot: the table must count it as running
        spent = Spent(self.random.randint(0, need.tokens), self.random.randint(0, need.micro_usd))
        await environment.gates.settle(ticket, spent)
        self.running -= 1
        self.settled += spent.micro_usd
        if more is not None and self.random.randrange(100) >= self.crashes:  # it may die between the two
            again = Spent(self.random.randint(0, more[1].tokens), self.random.randint(0, more[1].micro_usd))
            await environment.gates.settle(more[0], again)
            self.settled += again.micro_usd

    async def play(self) -> None:
        for _ in range(self.requests // 10):
            await self.store.run([self.request() for _ in range(10)])
            self.check()

    async def drain(self) -> None:
        """Two generations without a request, then one that looks: everything that was held is dead."""
        self.store.weights = Weights()
        for environment in self.environments:
            self.clock.advance(10)
            await self.store.run([environment.gates.flush()])
        self.clock.advance(2 * GENERATION_S + 10)
        await self.store.run([self.touch()])

    async def touch(self) -> None:
        found = await self.environments[0].gates.admit(SCOPES, Reservation(1, 0))
        assert isinstance(found, Ticket)
        await self.environments[0].gates.settle(found, Spent(0, 0))

    def gate(self, limits: GateLimits) -> GateImage:
        found = image(self.table.items, limits.scope)
        assert found is not None
        return found

    def check(self) -> None:
        for limits in SCOPES:
            gate = image(self.table.items, limits.scope)
            if gate is None:
                continue
            assert gate.held == gate.held_now + gate.held_before
            assert gate.parallel == gate.parallel_now + gate.parallel_before
            assert 0 <= gate.requests_left <= (limits.rpm or 0)
            assert gate.parallel <= (limits.max_parallel or 0)
        assert max(self.admitted.values(), default=0) <= (KEY.rpm or 0)

    def reported(self, limits: GateLimits) -> int:
        """What no write is known to have charged, by the events that say so."""
        events = [event for environment in self.environments for event in environment.events]
        lost = [event for event in events if event["event"] == "unsettled" and not event["kept"]]
        return sum(int(event["used_micro_usd"]) for event in lost if event["scope"] == limits.scope)

    def spent_by(self, limits: GateLimits) -> int:
        gate = self.gate(limits)
        assert gate.held == gate.parallel == 0
        return (gate.budget_limit or 0) - gate.budget_left


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_order_of_writes_admits_too_much_or_loses_a_micro_dollar(seed: int) -> None:
    fleet = Fleet(seed)
    await fleet.play()
    assert fleet.gate(KEY).held == 0
    await fleet.drain()
    assert fleet.granted > 5
    assert fleet.spent_by(KEY) == fleet.spent_by(TEAM) == fleet.settled


@pytest.mark.parametrize("seed", SEEDS)
async def test_requests_that_crash_leave_nothing_behind(seed: int) -> None:
    fleet = Fleet(seed, crashes=35)
    await fleet.play()
    await fleet.drain()
    assert fleet.crashed > 0
    assert fleet.spent_by(KEY) == fleet.spent_by(TEAM) == fleet.settled


@pytest.mark.parametrize("seed", SEEDS[:15])
async def test_strictly_a_crash_costs_what_it_had_reserved(seed: int) -> None:
    fleet = Fleet(seed, crashes=35, policy=GatePolicy(strict=True))
    await fleet.play()
    await fleet.drain()
    assert fleet.spent_by(KEY) >= fleet.settled
    assert fleet.spent_by(KEY) == fleet.spent_by(TEAM)


@pytest.mark.parametrize("seed", SEEDS[:15])
async def test_strictly_what_never_ran_costs_nothing_where_requests_come_one_by_one(seed: int) -> None:
    """Every third answer is lost, of admissions, too, whose requests are refused then. A table that is left alone after that
    is asked again before the next one comes."""
    fleet = Fleet(seed, weights=Weights(answer_lost=30), policy=GatePolicy(strict=True, exact=True), steps_s=(0, 0.5, 4))
    for _ in range(40):
        await fleet.store.run([fleet.request()])
        fleet.clock.advance(4)
        for environment in fleet.environments:
            await fleet.store.run([environment.gates.flush()])
    await fleet.drain()
    assert fleet.granted > 5
    assert fleet.spent_by(KEY) == fleet.spent_by(TEAM) == fleet.settled


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "weights",
    [Weights(request_lost=12), Weights(answer_lost=12), Weights(throttled=12), Weights(5, 5, 5)],
    ids=["requests lost", "answers lost", "throttled", "all of it"],
)
async def test_with_faults_at_any_write_no_money_is_forgotten_and_none_overspent(seed: int, weights: Weights) -> None:
    """Budgets are closed when in doubt, so nothing passes unbooked. A charge may count twice; what was lost twice over is
    reported with its numbers."""
    fleet = Fleet(seed, weights=weights, crashes=10)
    await fleet.play()
    await fleet.drain()
    assert fleet.unbooked == 0
    for limits in (KEY, TEAM):
        assert fleet.settled - fleet.reported(limits) <= fleet.spent_by(limits) <= 2 * fleet.settled


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_certainly_did_not_happen_is_done_later_and_exactly(seed: int) -> None:
    fleet = Fleet(seed, weights=Weights(throttled=25))
    await fleet.play()
    await fleet.drain()
    assert fleet.spent_by(KEY) == fleet.spent_by(TEAM) == fleet.settled


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "weights",
    [Weights(request_lost=25), Weights(answer_lost=25), Weights(conflict=25), Weights(10, 10, 10, 10)],
    ids=["requests lost", "answers lost", "conflicts", "all of it"],
)
async def test_exactly_means_that_no_fault_at_any_write_costs_anybody_a_micro_dollar(seed: int, weights: Weights) -> None:
    """Within the nine minutes for which a transaction is known by its token, which is longer than this history."""
    fleet = Fleet(seed, weights=weights, crashes=10, policy=GatePolicy(exact=True), steps_s=(0, 0, 0.5, 4, 12))
    await fleet.play()
    await fleet.drain()
    assert fleet.spent_by(KEY) == fleet.spent_by(TEAM) == fleet.settled


async def test_a_charge_is_seldom_lost_and_a_single_lost_write_never_loses_it() -> None:
    fleets = [Fleet(seed, weights=Weights(request_lost=3)) for seed in SEEDS]
    for fleet in fleets:
        await fleet.play()
        await fleet.drain()
    lost = sum(fleet.reported(KEY) for fleet in fleets)
    assert lost <= sum(fleet.settled for fleet in fleets) * 0.01


async def test_a_lost_answer_never_frees_what_others_hold() -> None:
    """A refund that is written twice would: after it, the gate could promise money that is being spent."""
    for seed in SEEDS:
        fleet = Fleet(seed, weights=Weights(answer_lost=30), requests=40)
        await fleet.play()
        for limits in (KEY, TEAM):
            gate = fleet.gate(limits)
            assert gate.held_now >= 0
            assert gate.held_before >= 0
            assert gate.budget_left + gate.held <= (gate.budget_limit or 0)


async def test_further_attempts_are_let_in_and_refused() -> None:
    fleets = [Fleet(seed) for seed in SEEDS]
    for fleet in fleets:
        await fleet.play()
        for limits in (KEY, TEAM):
            assert fleet.gate(limits).budget_left >= 0
    assert sum(fleet.granted_again for fleet in fleets) > 50
    assert sum(fleet.refused_again for fleet in fleets) > 20


async def test_the_scheduler_reaches_different_orders() -> None:
    writes = set()
    for seed in range(12):
        fleet = Fleet(seed, requests=20)
        await fleet.play()
        writes.add(fleet.store.writes)
    assert len(writes) > 3
    assert not asyncio.get_running_loop().is_closed()
