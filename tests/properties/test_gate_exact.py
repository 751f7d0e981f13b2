"""Exact settlements against an oracle: requests lost, answers lost, throttles and conflicts at any write, environments that
settle late and flush later. With `exact`, what was spent is what was settled, to the micro-dollar; without, never less.
"""

import asyncio
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.properties.gate_world import Environment, Twins, image
from tests.support.dynamodb import client_of, table_of
from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.limit_image import GateImage
from pllm.core.limits import GENERATION_S, BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore
from pllm.state.store import TransactionalStore

KEY = GateLimits("key/a", rpm=1000, max_parallel=500, budget=BudgetLimit(10**9, "total"))
TEAM = GateLimits("team/t", tpm=10**8, budget=BudgetLimit(10**9, "total"))
SCOPES = (KEY, TEAM)
ENVIRONMENTS = st.integers(0, 1)
NEEDS = st.builds(Reservation, st.integers(1, 400), st.integers(0, 4000))
SPENT = st.builds(Spent, st.integers(0, 500), st.integers(0, 5000))
FAULTS = st.lists(st.sampled_from([*Fault, Fault.LOST_RESPONSE, Fault.LOST_REQUEST]), max_size=10)
ONE_FAULT = st.lists(st.sampled_from(Fault), max_size=1)
# What a transaction may wait for its answer, and still be known by its token.
KNOWN_S = 500.0


class ExactMachine(RuleBasedStateMachine):
    """`other`: a table beside the memory, which must say the same at every write."""

    exact: ClassVar[bool] = True
    faults: ClassVar[st.SearchStrategy[list[Fault]]] = FAULTS
    other: ClassVar[TransactionalStore | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.memory = MemoryStore(self.clock)
        self.table = FaultyStore(Twins(self.memory, self.other) if self.other is not None else self.memory)
        policy = GatePolicy(exact=self.exact)
        self.environments = [Environment.of(self.table, self.clock, policy, seed) for seed in range(2)]
        self.open: list[tuple[int, Ticket]] = []
        self.settled = 0
        self.healthy_s = self.clock.now_s

    def teardown(self) -> None:
        try:
            self.everything_is_paid_in_the_end()
        finally:
            if self.other is not None:
                for limits in SCOPES:
                    self.runner.run(self.other.delete(f"G#{limits.scope}", "G"))
            self.runner.close()

    # --- What happens ----------------------------------------------------------------------------------------------

    @rule(environment=ENVIRONMENTS, need=NEEDS, data=st.data())
    def admit(self, environment: int, need: Reservation, data: st.DataObject) -> None:
        self.table.faults = data.draw(self.faults)
        found = self.runner.run(self.environments[environment].gates.admit(SCOPES, need))
        self.table.faults = []
        if isinstance(found, Ticket):
            self.open.append((environment, found))

    @precondition(lambda self: self.open)
    @rule(spent=SPENT, cancelled=st.booleans(), data=st.data())
    def end(self, spent: Spent, cancelled: bool, data: st.DataObject) -> None:
        environment, ticket = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        gates = self.environments[environment].gates
        self.table.faults = data.draw(self.faults)
        if cancelled and spent.tokens % 4 == 0:
            self.runner.run(gates.cancel(ticket))
        else:
            self.settled += spent.micro_usd
            self.runner.run(gates.settle(ticket, spent))
        self.table.faults = []

    @rule(environment=ENVIRONMENTS, data=st.data())
    def flush(self, environment: int, data: st.DataObject) -> None:
        """The end of some later invocation, which may go wrong as well."""
        self.table.faults = data.draw(self.faults) if self.exact else []
        self.runner.run(self.environments[environment].gates.flush())
        self.table.faults = []

    @rule(seconds=st.sampled_from([1, 5, 30, 61, 961, 2000]))
    def tick(self, seconds: float) -> None:
        if self.clock.now_s + seconds - self.healthy_s > KNOWN_S:
            self.heal()
        self.clock.advance(seconds)

    def heal(self) -> None:
        for environment in self.environments:
            self.clock.advance(4)  # whoever left the table alone asks again
            self.runner.run(environment.gates.flush())
        self.healthy_s = self.clock.now_s

    # --- What must hold --------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_charged_that_nobody_used(self) -> None:
        for limits in SCOPES:
            gate = image(self.memory.items, limits.scope)
            if gate is not None and self.exact:
                assert self.gone(gate) <= self.settled
                assert 0 <= gate.held == gate.held_now + gate.held_before

    def gone(self, gate: GateImage) -> int:
        """What is neither left nor held."""
        return (gate.budget_limit or 0) - gate.budget_left - gate.held

    def everything_is_paid_in_the_end(self) -> None:
        self.heal()
        self.clock.advance(2 * GENERATION_S + 10)
        found = self.runner.run(self.environments[0].gates.admit(SCOPES, Reservation(1, 0)))
        assert isinstance(found, Ticket)
        for limits in SCOPES:
            gate = image(self.memory.items, limits.scope)
            assert gate is not None
            assert gate.held == 0
            self.paid(self.gone(gate))

    def paid(self, spent: int) -> None:
        assert spent == self.settled


class InexactMachine(ExactMachine):
    """At most one fault at each settlement: two in a row may lose a charge, and the log has its numbers then."""

    exact = False
    faults = ONE_FAULT

    def paid(self, spent: int) -> None:
        assert spent >= self.settled


MACHINES = [ExactMachine, InexactMachine]


@pytest.mark.parametrize("machine", MACHINES)
def test_no_history_of_faults_changes_what_was_spent(machine: type[ExactMachine]) -> None:
    options = settings(max_examples=150, stateful_step_count=30, deadline=None, phases=(Phase.generate, Phase.shrink))
    run_state_machine_as_test(machine, settings=options)


@pytest.fixture(scope="module")
def local_table(local_endpoint: str) -> Iterator[TransactionalStore]:
    with table_of(client_of(local_endpoint), "exact") as store:
        yield store


@pytest.mark.needs_java
def test_dynamodb_remembers_as_the_memory_twin_does(local_table: TransactionalStore) -> None:
    twin = type("TwinMachine", (ExactMachine,), {"other": local_table})
    options = settings(max_examples=12, stateful_step_count=25, deadline=None, database=None, phases=(Phase.generate,))
    run_state_machine_as_test(twin, settings=options)
