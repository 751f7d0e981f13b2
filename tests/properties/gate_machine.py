"""The gates as a state machine: admissions, settlements however late, crashes, clocks that tick and err, cancellations and
limits that change, against an oracle that knows every ticket (invariants I1 to I8 of the shared state's design).

The same machine runs on the memory table alone and, write by write compared, on memory and DynamoDB Local together.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from itertools import count
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.properties.gate_world import Environment, Twins, image, memory_of

from pllm.core.clock import ManualClock
from pllm.core.limit_answers import Denial
from pllm.core.limit_image import GateImage, current_epochs, differs, new_image, rolled
from pllm.core.limits import ONLY_COUNTED, BudgetLimit, GateLimits, LimitKind, Period, Reservation, Spent, epochs
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Hold, Ticket
from pllm.state.memory import MemoryStore
from pllm.state.store import TransactionalStore

ENVIRONMENTS = 3
NEEDS = st.builds(Reservation, st.integers(1, 400), st.integers(0, 4000)) | st.just(ONLY_COUNTED)
MORE = st.builds(Reservation, st.integers(0, 400), st.integers(0, 4000))
SPENT = st.builds(Spent, st.integers(0, 500), st.integers(0, 5000))
TICKS = st.sampled_from([0.5, 7, 20, 61, 200, 961, 2000, 20_000, 100_000, 40 * 86_400])
LIMITS = st.fixed_dictionaries(
    {
        "rpm": st.none() | st.integers(1, 6),
        "tpm": st.none() | st.integers(300, 2000),
        "max_parallel": st.none() | st.integers(1, 3),
        "budget": st.none() | st.integers(2000, 9000) | st.integers(9000, 90_000),
    }
)
PERIODS: st.SearchStrategy[Period] = st.sampled_from(["day", "day", "week", "month", "total"])
_names = count(1)


@dataclass(eq=False)
class Open:
    """A ticket that the oracle knows. `crashed`: nobody will settle it. `further`: it adds to another one."""

    ticket: Ticket
    environment: int
    crashed: bool = False
    further: bool = False


@dataclass
class Ledger:
    """What one gate must have counted, since its window, and since its period, began."""

    window: int = 0
    requests: int = 0
    tokens: int = 0
    period: int = 0
    settled: int = 0
    lowered: bool = False


class GateMachine(RuleBasedStateMachine):
    """`strict` and `store` are set by the test that runs it."""

    strict: ClassVar[bool] = False
    sliding: ClassVar[bool] = False
    other: ClassVar[TransactionalStore | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        memory = MemoryStore()
        self.store: TransactionalStore = Twins(memory, self.other) if self.other is not None else memory
        self.items = memory_of(self.store).items
        self.clock = ManualClock()
        self.policy = GatePolicy(strict=self.strict)
        self.environments = [Environment.of(self.store, self.clock, self.policy, n) for n in range(ENVIRONMENTS)]
        self.limits: list[GateLimits] = []
        self.ledgers: dict[str, Ledger] = {}
        self.open: list[Open] = []
        self.before: dict[str, GateImage | None] = {}

    def teardown(self) -> None:
        self.runner.close()

    @initialize(first=LIMITS, second=LIMITS, period=PERIODS)
    def begin(self, first: dict[str, int | None], second: dict[str, int | None], period: Period) -> None:
        self.period = period
        for values in (first, second):
            scope = f"key/{next(_names)}"
            self.limits.append(self.limits_of(scope, values, version=1))
            self.ledgers[scope] = Ledger()

    def limits_of(self, scope: str, values: dict[str, int | None], version: int) -> GateLimits:
        amount = values["budget"]
        budget = BudgetLimit(amount, self.period) if amount is not None else None
        return GateLimits(
            scope, values["rpm"], values["tpm"], values["max_parallel"], budget, sliding=self.sliding, version=version
        )

    # --- What happens ----------------------------------------------------------------------------------------------

    @rule(environment=st.integers(0, ENVIRONMENTS - 1), need=NEEDS)
    def admit(self, environment: int, need: Reservation) -> None:
        self.ask(environment, need)

    def ask(self, environment: int, need: Reservation) -> None:
        self.look()
        verdict = self.runner.run(self.environments[environment].gates.admit(self.limits, need))
        self.follow()
        if isinstance(verdict, Denial):
            self.nothing_was_taken(environment)
            self.the_denial_is_right(verdict, need)
        else:
            self.open.append(Open(verdict, environment))
            for hold in verdict.holds:
                self.took(hold, need)
                self.the_labels_are_not_behind(hold, environment)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), more=MORE)
    def ask_for_more(self, data: st.DataObject, more: Reservation) -> None:
        """A request that is in is to be tried once more: money and tokens for that, no other request and no other slot."""
        environment = data.draw(st.sampled_from(self.running())).environment
        self.look()
        gates = self.environments[environment].gates
        verdict, place = self.runner.run(gates.admit_again(self.limits, more, GateLimits("dep/free"), more))
        self.follow()
        if isinstance(verdict, Denial):
            assert place is None
            assert verdict.kind not in (LimitKind.REQUESTS, LimitKind.PARALLEL)
            self.nothing_was_taken(environment)
            self.the_denial_is_right(verdict, more)
            return
        assert {hold.scope for hold in verdict.holds} == {one.scope for one in self.limits if asks(one, more)}
        if verdict.holds:
            self.open.append(Open(verdict, environment, further=True))
        for hold in verdict.holds:
            assert (hold.requests, hold.slot) == (None, False)
            self.took(hold, more, requests=0)
            self.the_labels_are_not_behind(hold, environment)

    @rule(environments=st.lists(st.integers(0, ENVIRONMENTS - 1), min_size=2, max_size=5), need=NEEDS)
    def admit_several(self, environments: list[int], need: Reservation) -> None:
        for environment in environments:
            self.ask(environment, need)
            self.check()

    @precondition(lambda self: self.running())
    @rule(data=st.data(), spent=SPENT)
    def settle(self, data: st.DataObject, spent: Spent) -> None:
        self.end(data.draw(st.sampled_from(self.running())), spent)

    def end(self, known: Open, spent: Spent) -> None:
        self.look()
        self.runner.run(self.environments[known.environment].gates.settle(known.ticket, spent))
        for hold in known.ticket.holds:
            self.charge(hold, spent)
        self.open.remove(known)
        self.settling_again_changes_nothing(known, spent)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(self.running()))
        self.look()
        self.runner.run(self.environments[known.environment].gates.cancel(known.ticket))
        for hold in known.ticket.holds:
            self.charge(hold, Spent(0, 0), undone=not known.further)
        self.open.remove(known)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.running())).crashed = True

    @rule(environment=st.integers(0, ENVIRONMENTS - 1))
    def replace_environment(self, environment: int) -> None:
        """A cold one in place of a warm one, whose requests are dead."""
        self.environments[environment] = Environment.of(self.store, self.clock, self.policy, environment)
        for known in self.open:
            known.crashed = known.crashed or known.environment == environment

    @rule(seconds=TICKS)
    def tick(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(environments=st.permutations(range(ENVIRONMENTS)), need=NEEDS, spent=SPENT)
    def a_day_begins_while_requests_run(self, environments: list[int], need: Reservation, spent: Spent) -> None:
        self.clock.now_s = (self.clock.now_s // 86_400 + 1) * 86_400 - 10
        for environment in environments:
            self.ask(environment, need)
        self.clock.advance(20)
        for environment in environments:
            self.ask(environment, need)
            self.check()
            if self.running():
                self.end(self.running()[-1], spent)
                self.check()

    @rule(environment=st.integers(0, ENVIRONMENTS - 1), seconds=st.sampled_from([61, 961, 1930]))
    def another_moves_the_gates(self, environment: int, seconds: float) -> None:
        """What the others remember of them is out of date then."""
        self.clock.advance(seconds)
        self.ask(environment, Reservation(1, 0))

    @rule(environment=st.integers(0, ENVIRONMENTS - 1), error_s=st.floats(-3, 3))
    def skew(self, environment: int, error_s: float) -> None:
        self.environments[environment].clock.error_s = error_s

    @rule(which=st.integers(0, 1), values=LIMITS)
    def change_limits(self, which: int, values: dict[str, int | None]) -> None:
        old = self.limits[which]
        self.limits[which] = self.limits_of(old.scope, values, old.version + 1)
        self.ledgers[old.scope].lowered = True

    @rule(environment=st.integers(0, ENVIRONMENTS - 1))
    def tell(self, environment: int) -> None:
        """Somebody has the gates enforce what they should, without asking anything of them."""
        for limits in self.limits:
            self.look()
            self.runner.run(self.environments[environment].gates.tell(limits))
            self.follow()
            now = image(self.items, limits.scope)
            assert now is None or now.window == 0 or not differs(now, limits)

    @rule(which=st.integers(0, 1))
    def revoke_and_restore(self, which: int) -> None:
        gates, limits = self.environments[0].gates, self.limits[which]
        self.runner.run(gates.revoke(limits.scope))
        verdict = self.runner.run(gates.admit([limits], Reservation(1, 0)))
        assert isinstance(verdict, Denial) or not limits.limited
        self.runner.run(gates.restore(limits.scope))

    # --- What the oracle knows -------------------------------------------------------------------------------------

    def running(self) -> list[Open]:
        return [known for known in self.open if not known.crashed]

    def look(self) -> None:
        self.before = {limits.scope: image(self.items, limits.scope) for limits in self.limits}

    def follow(self) -> None:
        """Epochs that an admission moved, and what dead holds came to."""
        for scope, ledger in self.ledgers.items():
            now, before = image(self.items, scope), self.before[scope]
            if now is None:
                continue
            if now.window != ledger.window:
                ledger.window, ledger.requests, ledger.tokens, ledger.lowered = now.window, 0, 0, False
            if before is not None:
                self.follow_holds(ledger, before, now)
            if now.period != ledger.period:
                ledger.period, ledger.settled = now.period, 0

    def follow_holds(self, ledger: Ledger, before: GateImage, now: GateImage) -> None:
        dead = rolled(before, replace(before.epochs, generation=now.generation), strict=True)
        if self.strict and now.generation > before.generation and before.budget_limit is not None:
            ledger.settled += before.held - dead.held
        if before.budget_limit is None and now.budget_limit is not None:
            ledger.settled = 0  # a budget that is new begins with nothing spent

    def took(self, hold: Hold, need: Reservation, requests: int = 1) -> None:
        ledger, now = self.ledgers[hold.scope], image(self.items, hold.scope)
        assert now is not None
        assert now.epochs == hold.at
        ledger.requests += requests
        ledger.tokens += need.tokens if hold.tokens is not None else 0

    def the_labels_are_not_behind(self, hold: Hold, environment: int) -> None:
        """What is used now is never charged to a minute, generation or period that is over by the clock of who asks."""
        (limits,) = (one for one in self.limits if one.scope == hold.scope)
        now = epochs(limits, self.environments[environment].clock.wall_s())
        assert hold.at.window >= now.window or (hold.requests is None and hold.tokens is None)
        assert hold.at.generation >= now.generation or not (hold.slot or hold.micro_usd is not None)
        assert hold.at.period >= now.period or hold.micro_usd is None

    def charge(self, hold: Hold, spent: Spent, *, undone: bool = False) -> None:
        ledger, before = self.ledgers[hold.scope], self.before[hold.scope]
        assert before is not None
        same = before.window == hold.at.window
        if hold.tokens is not None and (same or spent.tokens > hold.tokens):
            ledger.tokens += spent.tokens - hold.tokens
        if undone and same:
            ledger.requests -= 1
        if hold.micro_usd is not None:
            ledger.settled += self.cost(hold, spent, before)

    def cost(self, hold: Hold, spent: Spent, before: GateImage) -> int:
        """What the settlement adds to what this period has spent: the actual cost, whatever became of the hold."""
        assert hold.micro_usd is not None
        if not self.strict or before.generation <= hold.at.generation + 1:
            return spent.micro_usd
        surplus = spent.micro_usd - hold.micro_usd  # it was charged in full when its generation died
        return surplus if surplus > 0 or before.period == hold.at.period else 0

    # --- What must hold --------------------------------------------------------------------------------------------

    def nothing_was_taken(self, environment: int) -> None:
        """I7 and I8: a denial leaves a gate as it was but for the passing of time and newer limits."""
        for limits in self.limits:
            before, after = self.before[limits.scope], image(self.items, limits.scope)
            if after is None or (before is not None and differs(before, limits)):
                continue
            start = before or new_image(limits, current_epochs(limits, self.environments[environment].clock.wall_s(), None))
            # That a budget is nearly spent may be said at any time: nothing is taken by it.
            assert replace(rolled(start, after.epochs, strict=self.strict), warned=after.warned) == after

    def the_denial_is_right(self, verdict: Denial, need: Reservation) -> None:
        assert verdict.scope in self.ledgers
        assert verdict.limit >= verdict.remaining >= 0
        assert verdict.needed > verdict.remaining or verdict.remaining == 0  # what is overdrawn refuses even what is free
        assert verdict.error().status == 429
        assert verdict.retry_after_s is None or verdict.retry_after_s > 0

    def settling_again_changes_nothing(self, known: Open, spent: Spent) -> None:
        before = dict(self.items)
        self.runner.run(self.environments[known.environment].gates.settle(known.ticket, spent))
        self.runner.run(self.environments[known.environment].gates.cancel(known.ticket))
        assert self.items == before

    @invariant()
    def nothing_is_left_unsettled(self) -> None:
        told = (event["event"] for environment in self.environments for event in environment.events)
        assert set(told) <= {"budget_nearly_spent"}

    @invariant()
    def every_gate_counts_what_was_admitted(self) -> None:
        self.check()

    def check(self) -> None:
        for limits in self.limits:
            now = image(self.items, limits.scope)
            if now is not None and now.window:
                self.conserved(limits.scope, now)
                self.held(limits.scope, now)
                self.moved_forward(limits.scope, now)

    def conserved(self, scope: str, now: GateImage) -> None:
        ledger = self.ledgers[scope]
        settled_limits = now.window == ledger.window and not ledger.lowered
        if now.requests_limit is not None and settled_limits:  # I1 and I2
            assert now.requests_limit - now.requests_left == ledger.requests
            assert 0 <= now.requests_left <= now.requests_limit
        if now.tokens_limit is not None and settled_limits:
            assert now.tokens_limit - now.tokens_left == ledger.tokens
        if now.budget_limit is not None and now.period == ledger.period:  # I3, to the micro-dollar
            assert now.budget_left + now.held + ledger.settled == now.budget_limit

    def held(self, scope: str, now: GateImage) -> None:
        """I3, I6: exactly what the unsettled requests of the last two generations took is held; older holds are gone."""
        money, slots = Counter[int](), Counter[int]()
        for known in self.open:
            for hold in known.ticket.holds:
                if hold.scope == scope:
                    money[now.generation - hold.at.generation] += hold.micro_usd or 0
                    slots[now.generation - hold.at.generation] += hold.slot
        assert (now.held_now, now.held_before, now.held) == (money[0], money[1], money[0] + money[1])
        assert (now.parallel_now, now.parallel_before, now.parallel) == (slots[0], slots[1], slots[0] + slots[1])

    def moved_forward(self, scope: str, now: GateImage) -> None:
        """I4."""
        before = self.before.get(scope)
        if before is not None:
            assert now.window >= before.window
            assert now.generation >= before.generation
            assert now.period >= before.period


def asks(limits: GateLimits, more: Reservation) -> bool:
    """Whether this gate has anything of what a request asks for more of."""
    return (limits.tpm is not None and more.tokens > 0) or (limits.budget is not None and more.micro_usd > 0)


class StrictMachine(GateMachine):
    strict = True


class SlidingMachine(GateMachine):
    sliding = True
