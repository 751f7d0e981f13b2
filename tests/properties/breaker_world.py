"""A fleet around one breaker, in which every write is a step that the test decides about, and may arrive after its author
has given it up.

Each environment runs the real `Health` with a clock of its own. What must hold is checked where it happens: at each write
that the table applies, and whenever a request is sent.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.support.faulty import Fault, Step, SteppingStore

from pllm.core import breaker_moves as moves
from pllm.core.breaker import UNTIL_RELEASED_MS, Admission, Asked, Breaker, Circuit
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.state.breakers import breaker_key, move_breaker, partition, read_breaker
from pllm.state.health import Health, Observation, Probe
from pllm.state.store import Applied, Item, Refused, Store, Update

DEP = "m@openai/x"
TIMEOUT_S = 20.0
GIVEN_UP_S = 0.65
"""The longest that an author waits for a write: the client's connect and read timeouts."""

POLICY = BreakerPolicy(min_failures=2, failure_ratio=0.5, cooldown_ms=10_000, max_cooldown_ms=40_000, clock_bound_ms=1_000)


@dataclass
class SkewedClock:
    true: ManualClock
    error_s: float

    def wall_s(self) -> float:
        return self.true.now_s + self.error_s

    def monotonic_s(self) -> float:
        return self.true.now_s


class WatchedTable:
    """The table, with its invariants held against every write that it applies."""

    def __init__(self, store: Store, true: ManualClock) -> None:
        self.store = store
        self.true = true
        self.busy = 0
        self.tripped: set[int] = set()
        self.breaker = Breaker()
        self.violations: list[str] = []

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return await self.store.get(pk, sk, consistent=True)

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        self.busy += 1
        try:
            return await self.store.query(pk, since=since, until=until, consistent=True)
        finally:
            self.busy -= 1

    async def update(self, update: Update) -> Applied | Refused:
        self.busy += 1
        try:
            answer = await self.store.update(update)
        finally:
            self.busy -= 1
        if update.sk == breaker_key(DEP) and isinstance(answer, Applied):
            self._check(self.breaker, read_breaker(answer.item), update)
        return answer

    async def delete(self, pk: str, sk: str) -> Item | None:
        return await self.store.delete(pk, sk)

    async def force(self, asked: Asked) -> None:
        """An administrator's write: it goes before everything but the generations."""
        answer = await self.store.update(move_breaker("main", DEP, asked))
        assert isinstance(answer, Applied)
        before, self.breaker = self.breaker, read_breaker(answer.item)
        self.require(self.breaker.generation == before.generation + 1, "an administrator's word began no generation")

    def _check(self, before: Breaker, after: Breaker, update: Update) -> None:
        self.breaker = after
        late_ms = int(self.true.now_s * 1000) + POLICY.clock_bound_ms
        self.require(not before.forced(late_ms), "B5: moved against an administrator's word")
        self.require(after.generation >= before.generation, "generations went back")
        self.require(bool(after.probe) == (after.state is Circuit.HALF_OPEN), "a probe without a half-open breaker")
        if before.state is Circuit.CLOSED and after.state is Circuit.OPEN:
            self.require(before.generation not in self.tripped, "B4: tripped twice in one generation")
            self.tripped.add(before.generation)
        if before.state is Circuit.HALF_OPEN:
            condition = repr(update.condition)
            expired = after.state is Circuit.HALF_OPEN and "'pe'" in condition
            self.require(expired or repr(before.probe) in condition, "B2: changed by somebody who does not hold the lease")

    def require(self, holds: bool, what: str) -> None:
        """Noted rather than raised: it is found out inside tasks whose errors nobody would see."""
        if not holds:
            self.violations.append(what)


@dataclass
class Live:
    """A probe that is being answered. It dies by its timeout, whatever its environment does."""

    environment: "Member"
    observation: Observation
    dies_at_s: float


@dataclass
class Member:
    """One environment of the fleet."""

    name: str
    clock: SkewedClock
    store: SteppingStore
    health: Health
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)


class World:
    """All of it, with the moves that a scheduler may make."""

    def __init__(self, store: Store, errors_s: tuple[float, ...]) -> None:
        self.loop = asyncio.get_running_loop()
        self.true = ManualClock()
        self.table = WatchedTable(store, self.true)
        self.waiting: list[Step] = []
        self.begun: dict[int, float] = {}
        self.ghosts: list[Update] = []
        self.live: list[Live] = []
        self.overdue: list[Live] = []
        self.probes = 0
        self.names = 0
        self.members = [self._member(error_s) for error_s in errors_s]

    def _member(self, error_s: float) -> Member:
        self.names += 1
        name = f"e{self.names}"
        clock = SkewedClock(self.true, error_s)
        store = SteppingStore(self.table, name, self.waiting)
        return Member(name, clock, store, Health(store, clock, Random(self.names), POLICY, name=name))

    # --- What environments do ---------------------------------------------------------------------------------------

    async def look(self, member: Member) -> None:
        await self._start(member, member.health.refresh(wait=False))

    async def request(self, member: Member, error: ErrorKind | None) -> None:
        """One request, if the breaker lets it pass; the probe, if it is due and won."""
        match member.health.view([DEP])[DEP].admission:
            case Admission.ALL:
                self._end(member, member.health.observe(DEP), error)
                await self._start(member, member.health.settle())
            case Admission.PROBE:
                await self._start(member, self._claim(member))

    async def _claim(self, member: Member) -> None:
        probe = await member.health.claim(DEP, TIMEOUT_S)
        if probe is not None:
            self._probing(member, probe)

    def _probing(self, member: Member, probe: Probe) -> None:
        self.probes += 1
        self.live.append(Live(member, member.health.observe(DEP, probe), self.true.now_s + TIMEOUT_S))
        self.table.require(len(self.live) <= 1, "B1: two live probes at one instant")

    async def answer(self, probe: Live, error: ErrorKind | None) -> None:
        """The provider answers a probe, in time or, when it is overdue, its environment tells of the timeout late."""
        (self.live if probe in self.live else self.overdue).remove(probe)
        self._end(probe.environment, probe.observation, error)
        await self._start(probe.environment, probe.environment.health.settle())

    def _end(self, member: Member, observation: Observation, error: ErrorKind | None) -> None:
        if error is None:
            observation.succeeded(100)
        else:
            observation.failed(GatewayError(error, "x", retry_after_s=3))

    async def crash(self, member: Member) -> None:
        """The environment is gone; what it had sent may arrive all the same. Another one takes its place."""
        for step in [step for step in self.waiting if step.who == member.name]:
            self.waiting.remove(step)
            self.ghosts.append(step.update)
        for task in (*member.tasks, *member.health._tasks):
            task.cancel()
        self.live = [probe for probe in self.live if probe.environment is not member]
        self.overdue = [probe for probe in self.overdue if probe.environment is not member]
        self.members[self.members.index(member)] = self._member(member.clock.error_s)
        await self._calm()

    # --- What an administrator does ---------------------------------------------------------------------------------

    async def force(self, *, open_it: bool, for_s: float | None) -> None:
        """A probe that is under way is none any more: its verdict will be ignored."""
        now_ms = int(self.true.now_s * 1000)
        until_ms = UNTIL_RELEASED_MS if for_s is None else now_ms + int(for_s * 1000)
        ask = moves.force_open if open_it else moves.force_close
        await self._forced(ask(self.table.breaker.generation, now_ms, until_ms))

    async def take_back(self) -> None:
        asked = moves.release(self.table.breaker, int(self.true.now_s * 1000))
        if asked is not None:
            await self._forced(asked)

    async def _forced(self, asked: Asked) -> None:
        await self.table.force(asked)
        self.overdue += self.live
        self.live = []
        await self._calm()

    # --- What the network and time do -------------------------------------------------------------------------------

    async def release(self, step: Step, fault: Fault) -> None:
        """One write arrives, or does not. A request that was lost may only have been late."""
        self.waiting.remove(step)
        if fault is Fault.LOST_REQUEST:
            self.ghosts.append(step.update)
        step.released.set_result(fault)
        await self._calm()

    async def haunt(self, update: Update) -> None:
        """A write arrives that its author has long given up."""
        self.ghosts.remove(update)
        await self.table.update(update)
        await self._calm()

    async def tick(self, seconds: float) -> None:
        """Time passes: writes are given up, probes die."""
        if seconds > GIVEN_UP_S - 0.1:
            for step in list(self.waiting):
                await self.release(step, Fault.LOST_REQUEST)
        self.true.advance(seconds)
        for probe in [probe for probe in self.live if probe.dies_at_s <= self.true.now_s]:
            self.live.remove(probe)
            self.overdue.append(probe)

    async def recover(self) -> None:
        """B3: with nothing failing any more, one successful probe closes it from wherever it is."""
        await self.take_back()
        while self.waiting:
            await self.release(self.waiting[0], Fault.NONE)
        await self.tick(TIMEOUT_S + 5 + POLICY.max_cooldown_ms / 1000 + 10)
        before = self.probes
        for member in self.members:
            for _ in range(6):
                await self.look(member)
                await self.request(member, None)
                while self.waiting:
                    await self.release(self.waiting[0], Fault.NONE)
                for probe in list(self.live):
                    await self.answer(probe, None)
                while self.waiting:
                    await self.release(self.waiting[0], Fault.NONE)
                await self.tick(7)
        assert self.probes - before <= 1
        item = await self.table.get(partition("main"), breaker_key(DEP))
        assert item is None or read_breaker(item).state is Circuit.CLOSED, "B3: it did not close"
        for member in self.members:
            assert member.health.view([DEP])[DEP].admission is Admission.ALL

    async def _start(self, member: Member, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        member.tasks.add(task)
        task.add_done_callback(member.tasks.discard)
        await self._calm()

    async def _calm(self) -> None:
        """Until every task waits for its turn or is over."""
        quiet = 0
        while quiet < 8:
            known = len(self.waiting)
            await asyncio.sleep(0.0002 if self.table.busy else 0)
            quiet = 0 if self.table.busy or len(self.waiting) != known else quiet + 1
        assert not self.table.violations, self.table.violations
