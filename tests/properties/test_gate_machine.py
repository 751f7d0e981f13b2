"""Whatever a fleet does with a gate breaks no invariant; and DynamoDB decides as the memory twin does. The machine that does
it: gate_machine.py."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.properties.gate_machine import GateMachine, SlidingMachine, StrictMachine
from tests.support.dynamodb import client_of, table_of

from pllm.state.store import TransactionalStore

MACHINES = [GateMachine, StrictMachine, SlidingMachine]
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.parametrize("machine", MACHINES)
def test_no_history_breaks_an_invariant(machine: type[GateMachine]) -> None:
    options = settings(
        max_examples=100,
        stateful_step_count=40,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate,),
        suppress_health_check=_SLOW,
    )
    run_state_machine_as_test(machine, settings=options)


@pytest.fixture(scope="module")
def local_table(local_endpoint: str) -> Iterator[TransactionalStore]:
    with table_of(client_of(local_endpoint), "gates") as store:
        yield store


@pytest.mark.needs_java
@pytest.mark.parametrize("machine", MACHINES)
def test_dynamodb_gives_the_verdicts_that_memory_gives(machine: type[GateMachine], local_table: TransactionalStore) -> None:
    twin = type(f"Twin{machine.__name__}", (machine,), {"other": local_table})
    options = settings(
        max_examples=6,
        stateful_step_count=30,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=_SLOW,
        database=None,
    )
    with suppress(KeyboardInterrupt):
        run_state_machine_as_test(twin, settings=options)
