"""Gates: limits and budgets of the whole fleet, kept by conditional writes. Nobody can overshoot them, and nobody waits for
more than one round trip: one item for each scope, several scopes at once, nothing at all where nothing is limited.

`admit` gives a `Ticket` or a `Denial`; `settle` takes the ticket back with what was really used. A request that comes to need
more than it holds (another attempt, after one that may be billed) takes the rest with a ticket of its own: `admit_again`.

What the item holds and how it is written: gate_writes. What is given back: gate_settle, and once even if answers are lost:
gate_exact. One gate's dialogue with the table: gate_keeper. Hot gates: leases. No table: gate_outage.

A parallel-call slot is counted in the same write, under the same generations as the money a request holds: a slot whose
request died is free again 16 to 32 minutes later without any record of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from pllm.core.clock import Clock
from pllm.core.limit_answers import Denial, denial, unreachable
from pllm.core.limit_image import GateImage, current_epochs, rolled
from pllm.core.limits import GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate_keeper import Gatekeeper, UnansweredError
from pllm.state.gate_outage import Backoff, DegradedGates, GatePolicy, TableBreaker, Unsettled
from pllm.state.gate_settle import Settlement
from pllm.state.gate_ticket import Hold, Ticket
from pllm.state.gate_writes import SORT_KEY, image_of, partition_key, restore, revoke
from pllm.state.store import StateError, TransactionalStore, Update

if TYPE_CHECKING:
    from pllm.state.gate_exact import ExactSettler

GateEvent = Mapping[str, str | int | bool]
"""For metrics and logs: `event` is `unsettled` (all numbers of a settlement that the table did not confirm), `state_error`
(scope, reason) or `budget_nearly_spent` (scope, budget_micro_usd, left_micro_usd), once a period for the whole fleet."""

_T = TypeVar("_T")
_Result = tuple[Ticket | Denial, Ticket | Denial | None]


def _ignore(event: GateEvent) -> None:
    """Nobody listens."""


class Gates:
    """One for each environment; safe for several threads and event loops. `admit`, `settle`, `cancel` and `flush` never
    raise: what happens when the table does not answer is the policy's business."""

    def __init__(
        self,
        store: TransactionalStore,
        clock: Clock,
        random: Random,
        policy: GatePolicy = GatePolicy(),  # noqa: B008 - frozen
        on_event: Callable[[GateEvent], None] = _ignore,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._on_event = on_event
        backoff = Backoff(random, sleep)
        self._keeper = Gatekeeper(
            store, clock, TableBreaker(random), backoff, partial(random.getrandbits, 62), strict=policy.strict
        )
        self._exact = _exact_settler(self._keeper, clock, random, backoff) if policy.exact else None
        self._lock = Lock()
        self._degraded = DegradedGates(policy)
        self._unsettled = Unsettled()
        self._ids = count(1)
        self._open: set[int] = set()
        self._background: set[asyncio.Future[object]] = set()

    # --- What callers call -----------------------------------------------------------------------------------------

    async def admit(self, scopes: Sequence[GateLimits], need: Reservation) -> Ticket | Denial:
        """Admission by every scope at once, or by none. Scopes that limit nothing cost nothing."""
        found, _ = await self.admit_first(scopes, None, need)
        return found

    async def admit_first(self, caller: Sequence[GateLimits], deployment: GateLimits | None, need: Reservation) -> _Result:
        """The caller's scopes and the first deployment's gate in one parallel batch. A deployment that refuses leaves the
        caller admitted; a caller that is refused leaves no trace at the deployment (whose result is then None)."""
        return await self._admit(caller, need, deployment, need)

    async def admit_again(
        self, caller: Sequence[GateLimits], more: Reservation, deployment: GateLimits, need: Reservation
    ) -> _Result:
        """For a further attempt of a request that is in: `more` tokens and money from the caller's scopes, beside what it holds
        of them, and `need` from the gate of its deployment; one parallel batch, with results as of `admit_first`. Scopes that
        limit neither are not asked."""
        return await self._admit(caller, replace(more, further=True), deployment, need)

    async def settle(self, ticket: Ticket, spent: Spent) -> None:
        """Takes an admission back and charges what was used; a second time does nothing. One write for each scope where
        money, a slot or unused tokens are to be given back, all at once."""
        await self.settle_all([(ticket, spent)])

    async def settle_all(self, shares: Iterable[tuple[Ticket, Spent]]) -> None:
        """Several at once."""
        await self._close(shares, undo=False)

    async def cancel(self, ticket: Ticket) -> None:
        """As if it had never been admitted: for a request that was not made."""
        await self.cancel_all([ticket])

    async def cancel_all(self, tickets: Iterable[Ticket]) -> None:
        """Several at once."""
        await self._close([(ticket, Spent(0, 0)) for ticket in tickets], undo=True)

    async def flush(self) -> None:
        """Writes what is due: settlements that failed before, and leased money. For the end of an invocation, which waits for
        what goes on behind clients that left, too."""
        loop = asyncio.get_running_loop()
        if behind := {work for work in self._background if work.get_loop() is loop}:
            await asyncio.wait(behind)
        if self._keeper.resting():
            return
        with self._lock:
            jobs = self._unsettled.take_all()
        await self._to_its_end(self._write_all([*jobs, *self._keeper.all_due()]), _nothing)

    def refusal(self, scopes: Sequence[GateLimits], need: Reservation) -> Denial | None:
        """What would certainly refuse such a request, as far as that is known without asking the table."""
        concerned = [limits for limits in scopes if limits.concerns(need)]
        known = [refused for limits in concerned if (refused := self._keeper.refusal(limits, need)) is not None]
        return max(known, key=_severity, default=None)

    async def revoke(self, scope: str) -> None:
        """Nothing is admitted by this gate from now on, but for permits leased in this minute. Raises StateError."""
        await self._mark(revoke(scope), scope)

    async def restore(self, scope: str) -> None:
        """Undoes `revoke`. Raises StateError."""
        await self._mark(restore(scope), scope)

    async def tell(self, limits: GateLimits) -> None:
        """These limits, which have changed, hold from the next admission on, whoever asks for it and whatever was remembered
        there; but for permits leased in this minute. A gate that is not there learns of them by its first request. Raises
        StateError."""
        await self._keeper.tell(limits)

    async def look(self, limits: GateLimits) -> GateImage | None:
        """Where a gate stands now, rolled to the present; None where nobody used it yet. Raises StateError."""
        image = image_of(await self._store.get(partition_key(limits.scope), SORT_KEY, consistent=True))
        if image is None:
            return None
        return rolled(image, current_epochs(limits, self._clock.wall_s(), image), strict=self._policy.strict)

    # --- Admitting -------------------------------------------------------------------------------------------------

    async def _admit(
        self, caller: Sequence[GateLimits], need: Reservation, deployment: GateLimits | None, its_need: Reservation
    ) -> _Result:
        scopes = [limits for limits in caller if limits.concerns(need)]
        place = [deployment] if deployment is not None and deployment.concerns(its_need) else []
        mine: Ticket | Denial = self._ticket([], [])
        its: Ticket | Denial | None = None
        if scopes or place:
            mine, its = await self._to_its_end(self._batch(scopes, need, place, its_need), self._abandon)
        if deployment is not None and not place and isinstance(mine, Ticket):
            its = self._ticket([], [])
        return mine, its

    async def _batch(
        self, scopes: Sequence[GateLimits], need: Reservation, place: Sequence[GateLimits], its_need: Reservation
    ) -> _Result:
        known = self.refusal(scopes, need)
        if known is not None:  # nothing is written anywhere for a request that one gate is known to refuse
            return known, None
        asked = [*((limits, need) for limits in scopes), *((limits, its_need) for limits in place)]
        results = await asyncio.gather(*(self._admit_scope(limits, wanted) for limits, wanted in asked))
        mine, its = results[: len(scopes)], results[len(scopes) :]
        denials = [result for result in mine if isinstance(result, Denial)]
        if denials:
            await asyncio.gather(*(self._undo(result) for result in results if isinstance(result, Hold)))
            return max(denials, key=_severity), None
        caller = self._ticket([hold for hold in mine if isinstance(hold, Hold)], scopes)
        if not its:
            return caller, None
        return caller, self._ticket([its[0]], place) if isinstance(its[0], Hold) else its[0]

    async def _admit_scope(self, limits: GateLimits, need: Reservation) -> Hold | Denial:
        try:
            return await self._keeper.ask(limits, need)
        except StateError as error:
            self._on_event({"event": "state_error", "scope": limits.scope, "reason": error.reason})
            found = self._without_table(limits, need)
            if isinstance(found, Denial) and isinstance(error, UnansweredError):
                with self._lock:
                    self._unsettled.add(error.undo)  # at the end of the invocation: its client does not wait for it
            return found

    def _without_table(self, limits: GateLimits, need: Reservation) -> Hold | Denial:
        """The policy's answer. An answer that did not come counts as taken where the limit lets pass, as refused where not."""
        if need.only_counted:
            limits = replace(limits, tpm=None, max_parallel=None, budget=None)
        if need.further:
            limits = replace(limits, rpm=None, max_parallel=None)
        if self._policy.closed(limits):
            return unreachable(limits)
        standing, fleet = self._keeper.standing(limits), self._keeper.fleet(limits.scope)
        with self._lock:
            refused = self._degraded.admit(limits, need, standing.image.window, fleet)
        if refused is not None:
            return denial(refused, standing, need)
        tokens = need.tokens if limits.tpm is not None else None
        micro_usd = need.micro_usd if limits.budget is not None else None
        return Hold(limits.scope, standing.image.epochs, None, tokens, micro_usd, certain=False, further=need.further)

    def _ticket(self, holds: Sequence[Hold], scopes: Sequence[GateLimits]) -> Ticket:
        with self._lock:
            number = next(self._ids)
            if holds:
                self._open.add(number)
        standings = tuple(self._keeper.standing(limits) for limits in scopes)
        return Ticket(number, tuple(holds), standings, degraded=not all(hold.certain for hold in holds))

    # --- Settling --------------------------------------------------------------------------------------------------

    async def _close(self, shares: Iterable[tuple[Ticket, Spent]], *, undo: bool) -> None:
        jobs: list[Settlement] = []
        with self._lock:
            for ticket, spent in shares:
                if ticket.id in self._open:
                    self._open.discard(ticket.id)
                    jobs += [Settlement(hold, spent, undo) for hold in ticket.holds]
        if jobs:
            await self._to_its_end(self._settle(jobs), _nothing)

    async def _undo(self, hold: Hold) -> None:
        """A hold that never became a ticket. One that is not certain is left to expire: giving back what was perhaps never
        taken would let others overshoot."""
        await self._settle([Settlement(hold, Spent(0, 0), undo=True)])

    async def _settle(self, jobs: Sequence[Settlement]) -> None:
        with self._lock:
            for job in jobs:
                if not job.hold.certain and not job.hold.further:
                    self._degraded.ended(job.hold.scope)
        await self._write_all([due for job in jobs for due in self._keeper.due(job)])

    async def _write_all(self, jobs: Sequence[Settlement]) -> None:
        await asyncio.gather(*(self._write_settlement(job) for job in jobs))

    async def _write_settlement(self, job: Settlement) -> None:
        """What is not confirmed in the end is reported, and kept if it can still be written."""
        exact = self._exact if job.hold.micro_usd is not None and job.mark is None else None
        due, reason = await (exact.settle(job) if exact is not None else self._settled(job))
        if not reason:
            await self._warn(job.hold.scope)
            return
        self._on_event({"event": "unsettled", "reason": reason, "kept": due is not None, **_numbers(job)})
        if due is not None:
            with self._lock:
                self._unsettled.add(due)

    async def _settled(self, job: Settlement) -> tuple[Settlement | None, str]:
        """One retry for a charge. What is left of it, and why (empty: nothing is)."""
        due: Settlement | None = job
        reason = ""
        for _ in range(2 if job.charges else 1):
            if due is None:
                break
            try:
                await self._keeper.settle(due)
                return None, ""
            except StateError as error:
                reason = error.reason
                due = due.after_lost_answer() if error.sent else due
        return due, reason

    async def _warn(self, scope: str) -> None:
        """Nobody asks for this, so trouble with the table only means that it is said later; in doubt it is said twice."""
        image = self._keeper.nearly_spent(scope)
        if image is None:
            return
        try:
            first = await self._keeper.warn(scope, image)
        except StateError as error:
            first = error.sent
        if first:
            numbers = {"budget_micro_usd": image.budget_limit or 0, "left_micro_usd": image.budget_left + image.held}
            self._on_event({"event": "budget_nearly_spent", "scope": scope, **numbers})

    # --- Around it -------------------------------------------------------------------------------------------------

    async def _to_its_end(self, work: Awaitable[_T], left: Callable[[_T], Awaitable[None]]) -> _T:
        """Runs `work` to its end even if its caller goes away; then what it gave is handed to `left` instead."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            behind: asyncio.Future[object] = asyncio.ensure_future(_then(task, left))
            self._background.add(behind)
            behind.add_done_callback(self._background.discard)
            raise

    async def _abandon(self, result: _Result) -> None:
        for ticket in result:
            if isinstance(ticket, Ticket):
                await self.cancel(ticket)

    async def _mark(self, update: Update, scope: str) -> None:
        await self._store.update(update)
        self._keeper.forget(scope)


def _severity(found: Denial) -> float:
    """Of several refusals, the one that lasts longest is told: after the others, it would still refuse."""
    if found.kind is LimitKind.REVOKED:
        return float("inf")
    return found.retry_after_s if found.retry_after_s is not None else 1e18


def _exact_settler(keeper: Gatekeeper, clock: Clock, random: Random, backoff: Backoff) -> "ExactSettler":
    from pllm.state.gate_exact import ExactSettler  # for those who ask for it

    return ExactSettler(keeper, clock, random, backoff)


def _numbers(job: Settlement) -> dict[str, str | int | bool]:
    hold = job.hold
    return {
        "scope": hold.scope,
        "window": hold.at.window,
        "generation": hold.at.generation,
        "period": hold.at.period,
        "held_tokens": hold.tokens or 0,
        "held_micro_usd": hold.micro_usd or 0,
        "slot": hold.slot,
        "used_tokens": job.spent.tokens,
        "used_micro_usd": job.spent.micro_usd,
    }


async def _then(task: "asyncio.Future[_T]", left: Callable[[_T], Awaitable[None]]) -> None:
    await left(await task)


async def _nothing(result: object) -> None:
    """The work itself was all."""
