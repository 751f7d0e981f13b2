"""Leases: how large, that no permit is spent twice (L1), and that leased money ends up on the table."""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.gate_world import Environment, image
from tests.properties.interleaving import Stepped, Weights

from pllm.core.clock import ManualClock
from pllm.core.limit_answers import Denial
from pllm.core.limits import GENERATION_S, BudgetLimit, Epochs, GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Hold, Ticket
from pllm.state.leases import LARGEST, Leases, lease_size
from pllm.state.memory import MemoryStore

NEED = Reservation(10, 20)
AT = Epochs(5, 1, 0)
HOT = GateLimits("key/hot", rpm=900, tpm=12_000, budget=BudgetLimit(30_000, "total"))


def test_a_gate_that_is_not_hot_is_never_leased() -> None:
    assert lease_size(99, 99, 10_000) == 1
    assert lease_size(0, 0, 10_000) == 1


def test_a_hot_gate_is_leased_for_two_seconds_of_ones_own_pace() -> None:
    assert lease_size(200, 10, 100_000) == 20
    assert lease_size(2000, 250, 100_000) == LARGEST


@given(st.floats(100, 1e5), st.floats(0.1, 1e4), st.integers(0, 10**6))
@settings(deadline=None)
def test_leases_of_the_whole_fleet_leave_three_quarters_of_what_is_left(item: float, own: float, remaining: int) -> None:
    size = lease_size(item, own, remaining)
    assert 1 <= size <= LARGEST
    assert size == 1 or size * max(item / own, 1.0) <= remaining / 4


def test_a_lease_is_spent_in_its_own_window_only() -> None:
    leases = Leases()
    leases.put(Hold("s", AT, 3, 30, None), 3, now_s=0)
    assert leases.take("s", Epochs(6, 1, 0), NEED) is None
    assert [leases.take("s", AT, NEED) is not None for _ in range(4)] == [True, True, True, False]


def test_a_lease_without_enough_tokens_is_not_stretched() -> None:
    leases = Leases()
    leases.put(Hold("s", AT, 5, 15, None), 5, now_s=0)
    assert leases.take("s", AT, NEED) is not None
    assert leases.take("s", AT, NEED) is None
    assert leases.take("s", AT, Reservation(5, 0)) is not None


class Fleet:
    """Environments that admit fast enough to lease. `used`: what was settled; `admitted`: by window."""

    def __init__(self, seed: int, policy: GatePolicy = GatePolicy(), weights: Weights = Weights()) -> None:  # noqa: B008
        self.random = Random(seed)
        self.clock = ManualClock()
        self.table = MemoryStore(self.clock)
        self.store = Stepped(self.table, self.random, weights)
        self.environments = [Environment.of(self.store, self.clock, policy, n) for n in range(3)]
        self.used = 0
        self.admitted: dict[int, int] = {}
        self.leased = 0

    async def request(self) -> None:
        environment = self.random.choice(self.environments)
        self.clock.advance(0.004)
        found = await environment.gates.admit([HOT], NEED)
        if not isinstance(found, Ticket):
            return
        window = found.holds[0].at.window
        self.admitted[window] = self.admitted.get(window, 0) + 1
        self.leased += found.holds[0].leased
        if self.random.randrange(10) == 0:
            await environment.gates.cancel(found)
            self.admitted[window] -= 1
            return
        more: Ticket | Denial | None = None
        if self.random.randrange(8) == 0:  # a further attempt: never out of the lease, and no permit of it
            more, _ = await environment.gates.admit_again([HOT], NEED, GateLimits("dep/free"), NEED)
        for ticket in (found, more):
            if isinstance(ticket, Ticket):
                spent = Spent(self.random.randint(0, 14), self.random.randint(0, 20))
                await environment.gates.settle(ticket, spent)
                self.used += spent.micro_usd

    async def burst(self, requests: int) -> None:
        for _ in range(requests // 20):
            await self.store.run([self.request() for _ in range(20)])
            self.check()

    def check(self) -> None:
        gate = image(self.table.items, HOT.scope)
        assert gate is not None
        local = sum(self.permits(environment, gate.window) for environment in self.environments)
        assert gate.requests_left + local <= (HOT.rpm or 0)
        assert gate.requests_left >= 0
        assert gate.held == gate.held_now + gate.held_before
        assert min(gate.held_now, gate.held_before) >= 0
        assert gate.budget_left + gate.held <= (gate.budget_limit or 0)

    def permits(self, environment: Environment, window: int) -> int:
        leases = environment.gates._keeper._leases  # L1 is about what lies in there
        lease = leases._leases.get(HOT.scope)
        return lease.permits if lease is not None and lease.at.window == window else 0

    async def drain(self) -> None:
        """Every lease ends with its minute, and gives its money back."""
        self.clock.advance(61)
        await self.store.run([environment.gates.flush() for environment in self.environments])


@pytest.mark.parametrize("seed", range(8))
async def test_leased_permits_are_never_spent_twice_and_their_money_is_exact(seed: int) -> None:
    fleet = Fleet(seed)
    for _ in range(2):
        await fleet.burst(600)
        await fleet.drain()
    assert fleet.leased > 200
    assert max(fleet.admitted.values()) <= (HOT.rpm or 0)
    gate = image(fleet.table.items, HOT.scope)
    assert gate is not None
    assert gate.held == 0
    assert (gate.budget_limit or 0) - gate.budget_left == fleet.used


@pytest.mark.parametrize("seed", range(8))
async def test_leased_money_that_is_settled_exactly_survives_lost_answers(seed: int) -> None:
    fleet = Fleet(seed, GatePolicy(exact=True), Weights(2, 4, 0, 4))
    await fleet.burst(600)
    fleet.store.weights = Weights()
    for _ in range(2):
        await fleet.drain()
    fleet.clock.advance(2 * GENERATION_S)  # what was admitted without anybody hearing of it is dead
    await fleet.store.run([fleet.request()])
    await fleet.drain()
    assert fleet.leased > 50
    gate = image(fleet.table.items, HOT.scope)
    assert gate is not None
    assert gate.held == 0
    assert (gate.budget_limit or 0) - gate.budget_left == fleet.used


async def test_leases_write_less_than_a_tenth_of_what_they_admit() -> None:
    fleet = Fleet(1)
    limits = GateLimits("key/fast", rpm=60_000)
    environment = fleet.environments[0]
    admitted = 0

    async def request() -> None:
        nonlocal admitted
        fleet.clock.advance(0.002)
        found = await environment.gates.admit([limits], NEED)
        admitted += isinstance(found, Ticket)

    for _ in range(100):
        await fleet.store.run([request() for _ in range(20)])
    assert admitted == 2000
    assert fleet.store.writes <= 200


async def test_an_environment_that_dies_with_a_lease_gives_its_money_back_by_itself() -> None:
    fleet = Fleet(3)
    await fleet.burst(400)
    fleet.environments = [Environment.of(fleet.store, fleet.clock, GatePolicy(), 9)]
    fleet.clock.advance(2 * GENERATION_S)
    gates = fleet.environments[0].gates

    async def touch() -> None:
        found = await gates.admit([HOT], Reservation(1, 0))
        assert isinstance(found, Ticket)
        await gates.settle(found, Spent(0, 0))

    await fleet.store.run([touch()])
    gate = image(fleet.table.items, HOT.scope)
    assert gate is not None
    assert gate.held == 0
    assert (gate.budget_limit or 0) - gate.budget_left <= fleet.used


async def test_those_who_come_while_a_lease_is_on_its_way_wait_for_it() -> None:
    fleet = Fleet(5)
    limits = GateLimits("key/fast", rpm=60_000)
    environment = fleet.environments[0]

    async def request() -> None:
        fleet.clock.advance(0.002)
        await environment.gates.admit([limits], NEED)

    for _ in range(100):
        await fleet.store.run([request()])
    before = fleet.store.writes
    await fleet.store.run([request() for _ in range(60)])
    assert fleet.store.writes - before <= 3
    assert not asyncio.get_running_loop().is_closed()


async def test_a_revocation_reaches_leased_permits_with_the_next_settlement() -> None:
    fleet = Fleet(6)
    leasing, other = fleet.environments[:2]
    limits = GateLimits("key/hot", rpm=60_000, budget=BudgetLimit(10**9, "total"))
    await _lease(fleet, leasing, limits)
    tickets: list[Ticket | Denial] = []

    async def ask() -> None:
        tickets.append(await leasing.gates.admit([limits], NEED))

    async def settle() -> None:
        assert isinstance(tickets[0], Ticket)
        await leasing.gates.settle(tickets[0], Spent(1, 1))

    await fleet.store.run([other.gates.revoke(limits.scope)])
    await fleet.store.run([ask()])
    await fleet.store.run([settle()])
    before = fleet.store.writes
    await fleet.store.run([ask()])
    assert isinstance(tickets[0], Ticket)  # a permit from before
    assert isinstance(tickets[1], Denial)
    assert (tickets[1].kind, fleet.store.writes) == (LimitKind.REVOKED, before)


async def test_a_revoked_key_spends_no_more_than_what_an_environment_has_leased() -> None:
    fleet = Fleet(7)
    leasing, other = fleet.environments[:2]
    limits = GateLimits("key/fast", rpm=60_000)  # never settled, so nothing brings the news before the lease is spent
    await _lease(fleet, leasing, limits)
    await fleet.store.run([other.gates.revoke(limits.scope)])
    found: list[Ticket | Denial] = []

    async def ask() -> None:
        found.append(await leasing.gates.admit([limits], NEED))

    for _ in range(LARGEST + 10):
        await fleet.store.run([ask()])
    assert sum(isinstance(one, Ticket) for one in found) <= LARGEST
    assert isinstance(found[-1], Denial)


async def _lease(fleet: Fleet, environment: Environment, limits: GateLimits) -> None:
    """Makes a gate so hot that the environment takes permits in bulk, and leaves it some."""

    async def request() -> None:
        fleet.clock.advance(0.002)
        found = await environment.gates.admit([limits], NEED)
        assert isinstance(found, Ticket)
        await environment.gates.settle(found, Spent(1, 1))

    leases = environment.gates._keeper._leases
    for _ in range(400):
        await fleet.store.run([request()])
        if leases.permits(limits.scope) > 30:
            return
    raise AssertionError("nothing was leased")
