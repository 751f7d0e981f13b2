"""U1 of the shared state's design: the rows add up to what was counted, less what is not written yet.

Environments count, write, lose requests and answers of the table, sleep for hours and die. Then the roll-up, which is killed at
any of its calls, must make hours and days that add up to the minutes.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.support.dynamodb import client_of, table_of
from tests.support.faulty import Fault, FaultyStore

from pllm.core.clock import ManualClock
from pllm.core.sketch import sketch_of
from pllm.core.usage_keys import Period, floor_s, spans
from pllm.core.usage_rows import Account, Amounts, attributes, read_amounts, total
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError, Store, TransactionalStore
from pllm.state.usage import Ledger
from pllm.state.usage_rollup import RollUp
from pllm.state.usage_table import read_rows

DAY_S = 86_400
ACCOUNTS = [
    Account("k#1", "m", "m/1", "red", "v1"),
    Account("k#1", "m", "m/1", "red", "v1~long"),
    Account("k%", "n", "", "", ""),
]
TIMES = st.lists(st.floats(0, 1_200_000), max_size=3).map(lambda times: sketch_of(*times))
AMOUNTS = st.builds(
    Amounts,
    st.just(1),
    st.integers(0, 1),
    st.integers(0, 500),
    st.integers(0, 500),
    cost_micro_usd=st.integers(0, 9999),
    latencies=TIMES,
    firsts=TIMES,
)
TICKS = st.sampled_from([1, 4, 11, 40, 61, 600, 3600, 3 * 3600])
FAULTS = st.lists(st.sampled_from(Fault), max_size=6)
_examples = count()


class Environment:
    """`in_doubt`: its last writing met trouble, so what it calls unflushed may be in the table."""

    def __init__(self, store: TransactionalStore, clock: ManualClock, name: str) -> None:
        self.store = FaultyStore(store)
        self.lines: list[dict[str, Any]] = []
        self.ledger = Ledger(self.store, clock, lambda: name, self.lines.append)
        self.in_doubt = False

    def settle(self, faults: list[Fault]) -> None:
        self.store.faults = [*faults]
        asyncio.run(self.ledger.settle())
        self.in_doubt = bool(faults) and (self.in_doubt or self.ledger.unflushed != Amounts())
        self.store.faults = []


class UsageMachine(RuleBasedStateMachine):
    other: ClassVar[TransactionalStore | None] = None

    @initialize()
    def begin(self) -> None:
        self.store: TransactionalStore = self.other or MemoryStore()
        self.start_s = 1_700_000_000 // DAY_S * DAY_S + next(_examples) * 40 * DAY_S + DAY_S - 7200
        self.clock = ManualClock(float(self.start_s))
        self.names = count()
        self.fleet = [self.environment() for _ in range(3)]
        self.counted = Amounts()
        # What died with an environment, or was dropped: at least, and at most.
        self.surely_lost, self.maybe_lost = Amounts(), Amounts()

    def environment(self) -> Environment:
        return Environment(self.store, self.clock, f"{next(self.names):012x}")

    @rule(which=st.integers(0, 2), account=st.sampled_from(ACCOUNTS), amounts=AMOUNTS)
    def request(self, which: int, account: Account, amounts: Amounts) -> None:
        self.fleet[which].ledger.count(account, amounts)
        self.counted += amounts

    @rule(seconds=TICKS)
    def tick(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(which=st.integers(0, 2), faults=FAULTS)
    def settle(self, which: int, faults: list[Fault]) -> None:
        environment = self.fleet[which]
        before = environment.ledger.unflushed
        environment.settle(faults)
        for line in environment.lines:
            # Given up after hours without an answer: it may be in the table. Of times no more is known than what there was.
            self.maybe_lost += Amounts(
                latencies=before.latencies,
                firsts=before.firsts,
                **{
                    name: line[name]
                    for name in ("requests", "errors", "prompt_tokens", "completion_tokens", "cost_micro_usd")
                    if name in line
                },
            )
        environment.lines.clear()

    @rule(which=st.integers(0, 2), account=st.sampled_from(ACCOUNTS), amounts=AMOUNTS, fault=st.sampled_from(Fault))
    def work(self, which: int, account: Account, amounts: Amounts, fault: Fault) -> None:
        self.request(which, account, amounts)
        self.tick(11)
        self.settle(which, [fault])

    @rule(which=st.integers(0, 2))
    def die(self, which: int) -> None:
        environment = self.fleet[which]
        unflushed = environment.ledger.unflushed
        if environment.in_doubt:
            self.maybe_lost += unflushed
        else:
            self.surely_lost += unflushed
        self.fleet[which] = self.environment()

    @invariant()
    def rows_add_up(self) -> None:
        """U1."""
        rows = self.minutes()
        unflushed = total(environment.ledger.unflushed for environment in self.fleet)
        doubted = total(environment.ledger.unflushed for environment in self.fleet if environment.in_doubt)
        expected, there = (Counter(attributes(sums)) for sums in (self.counted, rows + unflushed + self.surely_lost))
        maybe, doubt = Counter(attributes(self.maybe_lost)), Counter(attributes(doubted))
        for name in expected | there:
            assert expected[name] - maybe[name] <= there[name] <= expected[name] + doubt[name]

    @rule(faults=FAULTS, calls=st.integers(0, 60))
    def roll_up(self, faults: list[Fault], calls: int) -> None:
        """Killed at one of its calls, and then run again."""
        with suppress(_KilledError, StateError):
            asyncio.run(RollUp(_Mortal(self.store, calls, faults), self.clock, _nobody, _at_once).run())
        asyncio.run(RollUp(self.store, self.clock, _nobody, _at_once).run())
        end_s = floor_s("hour", self.clock.wall_s() - 120)
        since_s = end_s - 3 * 3600
        assert self.by_account("hour", since_s, end_s) == self.by_account("minute", since_s, end_s)
        day_s = floor_s("day", end_s)
        assert self.by_account("day", day_s - DAY_S, day_s) == self.by_account("hour", day_s - DAY_S, day_s)

    def by_account(self, period: Period, since_s: int, until_s: int) -> dict[Account, Amounts]:
        return asyncio.run(_by_account(self.store, period, since_s, until_s))

    def minutes(self) -> Amounts:
        """Everything in the partitions of the days so far."""
        until_s = floor_s("day", self.clock.wall_s()) + DAY_S
        days = range(floor_s("day", self.start_s), until_s, DAY_S)
        partitions = {pk for day_s in days for span in spans("minute", day_s, day_s + 60) for pk in span.partitions}
        return total(read_amounts(item) for item in asyncio.run(_items(self.store, partitions)))

    def teardown(self) -> None:
        if not hasattr(self, "fleet"):
            return
        for which in range(3):
            self.clock.advance(11)
            self.settle(which, [])
            assert self.fleet[which].ledger.unflushed == Amounts()
        self.rows_add_up()


class _KilledError(Exception):
    """The function was stopped here."""


class _Mortal(FaultyStore):
    """A store whose caller is killed at one of its calls."""

    def __init__(self, inner: TransactionalStore, calls: int, faults: list[Fault]) -> None:
        super().__init__(inner, [*faults])
        self.left = calls

    async def _faulty(self, call: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _KilledError
        return await super()._faulty(call)


async def _items(store: Store, partitions: Iterable[str]) -> list[Item]:
    found = await asyncio.gather(*(store.query(pk, consistent=True) for pk in partitions))
    return [item for items in found for item in items]


async def _by_account(store: Store, period: Period, since_s: int, until_s: int) -> dict[Account, Amounts]:
    sums: dict[Account, Amounts] = {}
    for span in spans(period, since_s, until_s):
        for row in await read_rows(store, span, consistent=True):
            sums[row.account] = sums.get(row.account, Amounts()) + row.amounts
    return sums


def _nobody(line: dict[str, Any]) -> None:
    """Log lines are not looked at here."""


async def _at_once(seconds: float) -> None:
    """No pause."""


def _options(examples: int, steps: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=slow)


def test_rows_add_up_to_what_was_counted() -> None:
    run_state_machine_as_test(UsageMachine, settings=_options(30, 30))


@pytest.fixture(scope="module")
def local_table(local_endpoint: str) -> Iterator[TransactionalStore]:
    with table_of(client_of(local_endpoint), "usage") as store:
        yield store


@pytest.mark.needs_java
def test_rows_add_up_on_dynamodb_as_well(local_table: TransactionalStore) -> None:
    machine = type("TableUsageMachine", (UsageMachine,), {"other": local_table})
    run_state_machine_as_test(machine, settings=_options(3, 12))
