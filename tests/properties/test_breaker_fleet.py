"""The breaker's invariants (design: B1 to B4; B5: an administrator's word holds) under any interleaving of writes, with skewed
clocks, crashes, and requests and answers that get lost: on the memory twin and on DynamoDB Local."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.properties.breaker_world import TIMEOUT_S, World
from tests.support.dynamodb import client_of, table_of
from tests.support.faulty import Fault

from pllm.core.errors import ErrorKind
from pllm.state.memory import MemoryStore
from pllm.state.store import Store

SKEWS_S = (0.0, 1.0, -1.0, 0.4)
ERRORS = (None, ErrorKind.UPSTREAM_ERROR, ErrorKind.UPSTREAM_TIMEOUT, ErrorKind.RATE_LIMITED, ErrorKind.INVALID_REQUEST)
WHO = st.integers(0, len(SKEWS_S) - 1)
WHAT = st.sampled_from([*ERRORS, ErrorKind.UPSTREAM_ERROR, ErrorKind.UPSTREAM_ERROR])
WHICH = st.integers(0, 50)
FAULTS = st.sampled_from([Fault.NONE, Fault.NONE, Fault.NONE, Fault.LOST_REQUEST, Fault.LOST_RESPONSE, Fault.THROTTLED])
SECONDS = st.sampled_from([0.1, 0.5, 1.0, 3.0, 7.0, 11.0, 19.0, 24.0, 45.0, 70.0])

Stores = Callable[[], AbstractContextManager[Store]]


class Fleet(RuleBasedStateMachine):
    """Hypothesis chooses the next step and shrinks what breaks."""

    def __init__(self, stores: Stores) -> None:
        super().__init__()
        self._opened = stores()
        self._loop = asyncio.new_event_loop()
        store = self._opened.__enter__()
        self.world: World = self._run(_world(store))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    @rule(who=WHO)
    def look(self, who: int) -> None:
        self._run(self.world.look(self.world.members[who]))

    @rule(who=WHO, error=WHAT)
    def request(self, who: int, error: ErrorKind | None) -> None:
        self._run(self.world.request(self.world.members[who], error))

    @precondition(lambda self: self.world.waiting)
    @rule(which=WHICH, fault=FAULTS)
    def release(self, which: int, fault: Fault) -> None:
        self._run(self.world.release(self.world.waiting[which % len(self.world.waiting)], fault))

    @precondition(lambda self: self.world.ghosts)
    @rule(which=WHICH)
    def haunt(self, which: int) -> None:
        self._run(self.world.haunt(self.world.ghosts[which % len(self.world.ghosts)]))

    @precondition(lambda self: self.world.live or self.world.overdue)
    @rule(which=WHICH, error=WHAT)
    def answer(self, which: int, error: ErrorKind | None) -> None:
        probes = [*self.world.live, *self.world.overdue]
        self._run(self.world.answer(probes[which % len(probes)], error))

    @rule(seconds=SECONDS)
    def tick(self, seconds: float) -> None:
        self._run(self.world.tick(seconds))

    @rule(open_it=st.booleans(), for_s=st.none() | SECONDS)
    def force(self, open_it: bool, for_s: float | None) -> None:
        self._run(self.world.force(open_it=open_it, for_s=for_s))

    @rule()
    def take_back(self) -> None:
        self._run(self.world.take_back())

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        self._run(self.world.crash(self.world.members[who]))

    def teardown(self) -> None:
        try:
            self._run(self.world.recover())
        finally:
            for member in self.world.members:
                for task in (*member.tasks, *member.health._tasks):
                    task.cancel()
            self._run(asyncio.sleep(0))
            self._loop.close()
            self._opened.__exit__(None, None, None)


async def _world(store: Store) -> World:
    return World(store, SKEWS_S)


@contextmanager
def memory() -> Iterator[Store]:
    yield MemoryStore()


def _run(stores: Stores, *, examples: int, steps: int) -> None:
    limits = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck))
    machine: Any = lambda: Fleet(stores)  # noqa: E731 - a factory is all that is asked for
    run_state_machine_as_test(machine, settings=limits)


def test_the_invariants_hold_under_any_interleaving() -> None:
    _run(memory, examples=120, steps=60)


@pytest.fixture(scope="module")
def tables(local_endpoint: str) -> Stores:
    client = client_of(local_endpoint)
    number = iter(range(1_000_000))

    @contextmanager
    def table() -> Iterator[Store]:
        with table_of(client, f"breakers{next(number)}") as store:
            yield store

    return table


@pytest.mark.needs_java
def test_they_hold_on_dynamodb_local(tables: Stores) -> None:
    _run(tables, examples=8, steps=40)


def _long_walk(stores: Stores, seed: int, steps: int) -> tuple[int, int]:
    """A random walk is longer than what Hypothesis tries, and reaches what takes many trips and probes to reach."""
    random = Random(seed)

    async def walk() -> tuple[int, int]:
        with stores() as store:
            world = World(store, SKEWS_S)
            for _ in range(steps):
                await _step(world, random)
            await world.recover()
            return world.probes, len(world.table.tripped)

    return asyncio.run(walk())


async def _step(world: World, random: Random) -> None:
    draw = random.random()
    member = random.choice(world.members)
    failing = random.choice((None, ErrorKind.UPSTREAM_ERROR, ErrorKind.UPSTREAM_ERROR, ErrorKind.UPSTREAM_TIMEOUT))
    if world.waiting and draw < 0.45:
        fault = random.choices((Fault.NONE, Fault.THROTTLED, Fault.LOST_REQUEST, Fault.LOST_RESPONSE), (85, 5, 5, 5))[0]
        await world.release(random.choice(world.waiting), fault)
    elif draw < 0.7:
        await world.request(member, failing)
    elif draw < 0.8:
        await world.look(member)
    elif world.live and draw < 0.87:
        await world.answer(world.live[0], failing)
    elif world.overdue and draw < 0.9:
        await world.answer(random.choice(world.overdue), ErrorKind.UPSTREAM_TIMEOUT)
    elif world.ghosts and draw < 0.93:
        await world.haunt(random.choice(world.ghosts))
    elif draw < 0.94:
        await world.crash(member)
    elif draw < 0.945:
        await world.force(open_it=random.random() < 0.5, for_s=random.choice((None, 5.0, 30.0)))
    elif draw < 0.955:
        await world.take_back()
    else:
        await world.tick(random.choice((0.1, 0.5, 2.0, 6.0, 11.0, 18.5, 23.0)))


def test_long_walks_trip_and_probe_often_and_break_nothing() -> None:
    walks = [_long_walk(memory, seed, 900) for seed in range(6)]
    assert sum(probes for probes, _ in walks) > 40
    assert sum(trips for _, trips in walks) > 8


async def test_a_fast_clock_does_not_end_a_slow_ones_lease_while_its_probe_lives() -> None:
    world = World(MemoryStore(), SKEWS_S)
    right, fast, slow, _ = world.members
    for _ in range(2):
        await world.request(right, ErrorKind.UPSTREAM_ERROR)
        await _let_through(world)
    await world.tick(13)
    for member in (slow, fast):
        await world.look(member)
        await world.request(member, None)
        await _let_through(world)
        await world.tick(TIMEOUT_S - 0.5)
    assert world.probes == 1
    assert len(world.live) == 0


async def _let_through(world: World) -> None:
    while world.waiting:
        await world.release(world.waiting[0], Fault.NONE)
