"""The fleet's health, seen and told by one environment.

Reading costs nothing: requests are routed from a snapshot that is a few seconds old, refreshed by one query beside them.
Telling costs the client nothing: outcomes are counted here and written after the last byte, successes in sums every ten
seconds, failures at once, because the answer to a failure's write is what decides whether the breaker opens.

When the table cannot be asked, the same machine runs on the snapshot alone, and what was not told is told later.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from random import Random
from typing import Any

from pllm.core import breaker_moves as moves
from pllm.core.breaker import Asked, Breaker, Circuit, Move
from pllm.core.breaker_policy import RECENT_MS, BreakerPolicy, Impact, Outcomes, fails_now, impact_of, should_trip
from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.health import HealthView, Sums
from pllm.state.breakers import ONLY_BREAKERS, add_minute, deployment_of, move_breaker, partition, read_breaker, since
from pllm.state.snapshot import Snapshot
from pllm.state.store import FLUSH_S, Applied, StateError, Store

_FRESH_S = 5.0
_STALE_S = 60.0
_COLD_WAIT_S = 0.25
_FLUSH_ROWS = 25
_WORTH_TELLING_MINUTES = 10

Notify = Callable[[str, Move, Breaker], None]
"""Told of every move of a breaker that this environment made: (deployment, move, the breaker after it)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The right to send one request to a deployment that is open. `local`: won here alone, with the table out of reach."""

    id: str
    breaker: Breaker
    local: bool = False


class Health:
    """One an environment. `name`: this environment's own, for its probes. `degraded`: whether the store has been failing."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random: Random,
        policy: BreakerPolicy,
        *,
        name: str,
        group: str = "main",
        degraded: Callable[[], bool] = lambda: False,
        notify: Notify = lambda deployment, move, breaker: None,
        flush_s: float = FLUSH_S,
    ) -> None:
        self._store = store
        self._flush_s = flush_s
        self._clock = clock
        self._random = random
        self._policy = policy
        self._name = name
        self._group = group
        self._degraded = degraded
        self._notify = notify
        self._snapshot = Snapshot()
        self._taken_s: float | None = None
        self._fresh_until_s = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._pending: dict[tuple[int, str], Sums] = {}
        self._flushed_s = clock.wall_s()
        self._failure_seen = False
        self._untold: dict[tuple[str, Move], Asked] = {}
        self._lost_claims: dict[str, str] = {}
        self._looks: dict[str, list[tuple[int, int, Outcomes]]] = {}
        self._in_flight: dict[str, int] = {}
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, policy: BreakerPolicy) -> None:
        """What follows is decided by another policy: the configuration has changed."""
        self._policy = policy

    # --- Reading ----------------------------------------------------------------------------------------------------

    @property
    def degraded(self) -> bool:
        """Whether decisions are made without the table at the moment."""
        return self._degraded()

    @property
    def cold(self) -> bool:
        """Whether the snapshot is missing or over a minute old (a cold start, a thaw)."""
        return self._taken_s is None or not 0 <= self._clock.wall_s() - self._taken_s <= _STALE_S

    async def refresh(self, *, wait: bool) -> None:
        """Has the snapshot renewed beside the request when it is due. `wait`: one that is `cold` is waited for a moment."""
        now_s = self._clock.wall_s()
        if now_s < self._fresh_until_s <= now_s + 2 * _FRESH_S:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._spawn(self._query())
        if wait and self.cold:
            await asyncio.wait({self._refreshing}, timeout=_COLD_WAIT_S)

    async def renew(self) -> None:
        """Has the snapshot renewed now, because an administrator has moved a breaker; waits for it, a moment at most."""
        self._refreshing = self._spawn(self._query_again(self._refreshing))
        await asyncio.wait({self._refreshing}, timeout=_COLD_WAIT_S)

    def view(self, deployments: Iterable[str]) -> HealthView:
        """Health by deployment id, from the snapshot and this environment's own numbers. No IO."""
        now_ms = self._now_ms()
        return {
            one: self._snapshot.health(one, now_ms, self._pending, self._in_flight.get(one, 0), self._seen)
            for one in deployments
        }

    # --- Sending ----------------------------------------------------------------------------------------------------

    async def claim(self, deployment: str, timeout_s: float) -> Probe | None:
        """The probe of an open deployment that is due, if this request wins it. `timeout_s`: the longest that the request
        can be unanswered. Losers take the next candidate."""
        name = f"{self._name}/{next(self._numbers)}"
        former = self._lost_claims.pop(deployment, "")
        asked = moves.claim(self._policy, name, self._now_ms(), timeout_s, former)
        try:
            won = await self._move(deployment, asked)
        except StateError as error:
            if error.sent:
                self._lost_claims[deployment] = name
            return self._claim_here(deployment, asked)
        return None if won is None else Probe(name, won)

    def observe(self, deployment: str, probe: Probe | None = None, *, typical: bool = True) -> "Observation":
        """Begin a request to a deployment. Exactly one of the observation's endings must be told. `typical`: whether its
        success goes into the sums, which say how long requests take there."""
        self._in_flight[deployment] = self._in_flight.get(deployment, 0) + 1
        return Observation(self, deployment, self._snapshot.breaker(deployment).generation, probe, typical)

    async def settle(self) -> None:
        """At the end of an invocation, after the client's last byte: writes what is due and waits for what is under way."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        untold, self._untold = self._untold, {}
        for (deployment, _), asked in untold.items():
            if asked.move is not Move.TRIP or asked.until_ms > self._now_ms():
                await self._tell(deployment, asked)
        due = self._clock.wall_s() - self._flushed_s
        if self._pending and (not 0 <= due < self._flush_s or len(self._pending) > _FLUSH_ROWS or self._failure_seen):
            await self.flush()

    async def flush(self) -> None:
        """Adds this environment's numbers to the fleet's."""
        self._flushed_s = self._clock.wall_s()
        self._failure_seen = False
        rows, self._pending = self._pending, {}
        await asyncio.gather(*(self._add(minute, deployment, sums) for (minute, deployment), sums in rows.items()))

    # --- For administrators -----------------------------------------------------------------------------------------

    async def breakers(self) -> Mapping[str, Breaker]:
        """Every breaker that was ever moved, as the table has it now. Raises StateError."""
        items = await self._store.query(partition(self._group), since=ONLY_BREAKERS, consistent=True)
        return {deployment_of(str(item["SK"]))[0]: read_breaker(item) for item in items}

    # --- What observations tell -------------------------------------------------------------------------------------

    def ended(self, deployment: str) -> None:
        self._in_flight[deployment] -= 1

    def count(self, deployment: str, sums: Sums) -> None:
        row = self._pending.setdefault((self._now_ms() // 60_000, deployment), Sums())
        row.add(sums)

    def count_failure(self, deployment: str, generation: int, why: str) -> None:
        self._failure_seen = True
        self._spawn(self._count_failure(deployment, generation, why))

    def cool(self, deployment: str, generation: int, retry_after_s: float | None) -> None:
        asked = moves.cool(generation, self._now_ms(), retry_after_s)
        known = self._snapshot.breaker(deployment)
        if self._policy.enabled and known.until_ms < asked.until_ms and not known.forced(asked.now_ms):
            self._snapshot.move(deployment, asked)  # at once, for the next request
            self._spawn(self._move_or_not(deployment, asked))

    def judge(self, deployment: str, probe: Probe, asked: Asked) -> None:
        """A probe's verdict. One that cannot be told now is told again later: it is fenced by its probe's name."""
        self._snapshot.move(deployment, asked)
        if not probe.local:
            self._spawn(self._tell(deployment, asked))

    def verdict_of_success(self, probe: Probe) -> Asked:
        return moves.succeed(probe.id, self._now_ms())

    def verdict_of_failure(self, error: GatewayError, probe: Probe) -> Asked:
        return moves.fail(self._policy, probe.breaker, probe.id, self._now_ms(), error.kind.value, error.retry_after_s)

    def verdict_of_nothing(self, probe: Probe) -> Asked:
        return moves.abandon(probe.id, self._now_ms())

    # --- Inside -----------------------------------------------------------------------------------------------------

    async def _query_again(self, former: asyncio.Task[None] | None) -> None:
        if former is not None:  # it may have been asked before the news, and must not be answered after us
            await asyncio.wait({former})
        await self._query(consistent=True)

    async def _query(self, *, consistent: bool = False) -> None:
        now_ms = self._now_ms()
        minute = now_ms // 60_000
        try:
            items = await self._store.query(partition(self._group), since=since(minute - 2), consistent=consistent)
        except StateError:
            self._fresh_until_s = self._clock.wall_s() + 1.0
            return
        self._snapshot.replace(items, now_ms, minute)
        self._taken_s = self._clock.wall_s()
        self._fresh_until_s = self._taken_s + _FRESH_S * self._random.uniform(0.7, 1.3)

    async def _count_failure(self, deployment: str, generation: int, why: str) -> None:
        now_ms = self._now_ms()
        minute = now_ms // 60_000
        row = self._pending.pop((minute, deployment), None) or Sums()
        row.failed += 1
        this = await self._add(minute, deployment, row)
        known = self._snapshot.breaker(deployment)
        if not self._policy.enabled or known.state is not Circuit.CLOSED or known.generation != generation:
            return
        if known.forced(now_ms):
            return
        if self._enough(deployment, minute, Outcomes(this.ok, this.failed), now_ms) or why == ErrorKind.UPSTREAM_AUTH.value:
            await self._move_or_not(deployment, moves.trip(self._policy, generation, now_ms, why))

    def _enough(self, deployment: str, minute: int, this: Outcomes, now_ms: int) -> bool:
        looks = [look for look in self._looks.get(deployment, ()) if look[0] == minute and look[1] > now_ms - RECENT_MS]
        if not looks or looks[-1][1] + 1_000 <= now_ms:
            self._looks[deployment] = [*looks, (minute, now_ms, this)]
        if looks and fails_now(self._policy, looks[0][2], this):
            return True
        last = self._snapshot.sums(minute - 1, deployment)
        return should_trip(self._policy, this, Outcomes(last.ok, last.failed), now_ms % 60_000 / 60_000)

    async def _add(self, minute: int, deployment: str, sums: Sums) -> Sums:
        """The fleet's sums after ours were added, or our best guess of them. What certainly did not arrive is kept for
        later; what may have arrived is not sent twice."""
        try:
            answer = await self._store.update(add_minute(self._group, minute, deployment, sums))
        except StateError as error:
            if error.sent or self._now_ms() // 60_000 - minute > _WORTH_TELLING_MINUTES:
                self._snapshot.assume(minute, deployment, sums)
            else:
                self._pending.setdefault((minute, deployment), Sums()).add(sums)
            return self._snapshot.with_ours(minute, deployment, self._pending)
        assert isinstance(answer, Applied)  # it has no condition
        return self._snapshot.learn_minute(minute, deployment, answer.item)

    async def _move(self, deployment: str, asked: Asked) -> Breaker | None:
        answer = await self._store.update(move_breaker(self._group, deployment, asked))
        breaker = self._snapshot.learn_breaker(deployment, answer.item, self._now_ms())
        if not isinstance(answer, Applied):
            return None
        self._notify(deployment, asked.move, breaker)
        return breaker

    async def _move_or_not(self, deployment: str, asked: Asked) -> None:
        """A move that is made here alone when the table cannot be asked: it only makes this environment more careful. A trip
        is told as soon as the table is back; generations see to it that it opens nothing that has recovered."""
        try:
            await self._move(deployment, asked)
        except StateError:
            moved = self._snapshot.move(deployment, asked)
            if asked.move is Move.TRIP:
                self._untold[deployment, asked.move] = asked
            if moved is not None:
                self._notify(deployment, asked.move, moved)

    async def _tell(self, deployment: str, asked: Asked) -> None:
        try:
            await self._move(deployment, asked)
        except StateError:
            self._untold[deployment, asked.move] = asked

    def _claim_here(self, deployment: str, asked: Asked) -> Probe | None:
        won = self._snapshot.move(deployment, asked) if self._degraded() else None
        return None if won is None else Probe(asked.probe, won, local=True)

    def _seen(self, breaker: Breaker) -> Breaker:
        """With breakers switched off, only an administrator's word counts."""
        return breaker if self._policy.enabled or breaker.forced(self._now_ms()) else Breaker()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now_ms(self) -> int:
        return int(self._clock.wall_s() * 1000)


class Observation:
    """One request to one deployment, watched to its end. The first ending told is the one that counts."""

    def __init__(self, health: Health, deployment: str, generation: int, probe: Probe | None, typical: bool) -> None:
        self._health = health
        self._typical = typical
        self._deployment = deployment
        self._generation = generation
        self._probe = probe
        self._over = False

    def first_event(self) -> None:
        """A stream has begun: a probe has shown what it was to show, however long the stream will be."""
        if self._probe is not None:
            self._say(self._health.verdict_of_success(self._probe))

    def succeeded(self, latency_ms: float, first_ms: float | None = None, tokens: int = 0) -> None:
        """The answer is whole. `first_ms`: until a stream's first event."""
        if not self._ends():
            return
        self.first_event()
        if not self._typical:
            return
        first = (0, 0) if first_ms is None else (int(first_ms), 1)
        self._health.count(self._deployment, Sums(1, 0, int(latency_ms), 1, first[0], first[1], tokens))

    def failed(self, error: GatewayError) -> None:
        """The deployment was asked and this came of it. What is the caller's own fault is no word against it."""
        if not self._ends():
            return
        impact, probe = impact_of(error), self._probe
        if probe is not None:
            asked = (
                self._health.verdict_of_success if impact is Impact.NONE else partial(self._health.verdict_of_failure, error)
            )
            self._say(asked(probe))
        if impact in (Impact.FAILURE, Impact.REFUSED):
            self._health.count_failure(self._deployment, self._generation, error.kind.value)
        elif impact is Impact.RATE_LIMITED and probe is None:
            self._health.cool(self._deployment, self._generation, error.retry_after_s)

    def dropped(self, waited_ms: float | None = None) -> None:
        """Nothing was learnt: its client left, or it was never sent. `waited_ms`: it was slower than another by so much."""
        if not self._ends():
            return
        if self._probe is not None:
            self._say(self._health.verdict_of_nothing(self._probe))
        if waited_ms is not None:
            self._health.count(self._deployment, Sums(latency_ms=int(waited_ms), latencies=1))

    def _ends(self) -> bool:
        first, self._over = not self._over, True
        if first:
            self._health.ended(self._deployment)
        return first

    def _say(self, verdict: Asked) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            self._health.judge(self._deployment, probe, verdict)
