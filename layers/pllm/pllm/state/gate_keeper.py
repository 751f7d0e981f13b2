"""One gate at a time: asks the table until it has admitted or refused, and settles until it has taken back.

It remembers what it saw, spends leases, refuses on its own what the table would certainly refuse, and leaves a table alone
that does not answer. All of that is guarded by one lock; no lock is held while the table is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Lock
from typing import TypeVar

from pllm.core.clock import Clock
from pllm.core.limit_answers import Denial, Standing, denial
from pllm.core.limit_image import GateImage, current_epochs, differs, labels, new_image, rolled, shortage, spare
from pllm.core.limits import Epochs, GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate_memory import GateMemory
from pllm.state.gate_outage import Backoff, TableBreaker
from pllm.state.gate_settle import Settlement, settle_update
from pllm.state.gate_ticket import Hold
from pllm.state.gate_writes import SORT_KEY, Asked, Write, image_of, next_write, partition_key, warn
from pllm.state.leases import Leases, lease_size
from pllm.state.store import CONFLICT, Applied, Item, Refused, Rejected, StateError, TransactionalStore, Update

# A cold environment may have to learn the image, move two epochs and change a limit; the rest is for races.
_ATTEMPTS = 6
# A transaction on the item lasts a few milliseconds; longer than this, it is many of them.
_SENDS = 6
# More requests at once than a lease has permits: those that got none fetch for themselves in the end.
_WAITS = 3

_NOTHING = Reservation(0, 0)

_T = TypeVar("_T")
_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class UnansweredError(StateError):
    """An admission that may have been written. `undo` takes it back if it was, and if that can still be told."""

    def __init__(self, cause: StateError, undo: Settlement) -> None:
        super().__init__(cause.reason, sent=True)
        self.undo = undo


class Gatekeeper:
    """Every method that asks the table raises StateError, also when too many others were faster (reason `contention`) and
    while the table is left alone (`resting`); both certainly wrote nothing."""

    def __init__(
        self,
        store: TransactionalStore,
        clock: Clock,
        breaker: TableBreaker,
        backoff: Backoff,
        mark: Callable[[], int],
        *,
        strict: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._strict = strict
        self._breaker = breaker
        self._backoff = backoff
        self._mark = mark
        self._lock = Lock()
        self._memory = GateMemory()
        self._leases = Leases()
        self._fetching: dict[str, list[_Waiter]] = {}

    # --- Admitting -------------------------------------------------------------------------------------------------

    async def ask(self, limits: GateLimits, need: Reservation) -> Hold | Denial:
        """Admission by one gate. Every write that is refused teaches the next one."""
        image = self._image(limits.scope)
        absent = told = False
        writes = waits = 0
        while writes < _ATTEMPTS:
            now_s = self._clock.wall_s()
            if image is not None and (leased := self._from_lease(limits, image, need, now_s)) is not None:
                return leased
            refused = self._refusal(limits, image, need, now_s, told=told)
            if refused is not None:
                return refused
            permits = self._permits(limits, image, need, now_s)
            if permits > 1 and waits < _WAITS and await self._fetched_by_another(limits.scope):
                image, told, waits = self._image(limits.scope), False, waits + 1
                continue
            writes += 1
            at = current_epochs(limits, now_s, image)
            asked = Asked(limits, need, now_s, permits, self._mark())
            write = next_write(asked, image, absent, at, strict=self._strict)
            result = await self._answered(asked, write, at)
            image, absent, told = image_of(result.item), result.item is None, True
            if isinstance(result, Applied) and write.judged is not None and image is not None:
                return await self._admitted(limits, need, image, write)
        raise StateError("contention", sent=False)

    async def _answered(self, asked: Asked, write: Write, at: Epochs) -> Applied | Refused:
        try:
            return await self._write(write.update, asked.limits.scope, write.permits, asked.need)
        except StateError as error:
            if not error.sent or write.judged is None or not write.judged.holds:
                raise
            hold = _hold(asked.limits.scope, at, asked.need, write)
            raise UnansweredError(error, Settlement(hold, Spent(0, 0), undo=True, mark=asked.mark)) from None

    def refusal(self, limits: GateLimits, need: Reservation) -> Denial | None:
        """What this gate would certainly refuse, known without asking the table."""
        now_s = self._clock.wall_s()
        image = self._image(limits.scope)
        if image is not None and not need.further:
            at = labels(image, current_epochs(limits, now_s, image))
            with self._lock:
                if self._leases.has(limits.scope, at, need) and not image.revoked:
                    return None
        return self._refusal(limits, image, need, now_s, told=False)

    def standing(self, limits: GateLimits) -> Standing:
        """Where a gate stands as far as is known here."""
        now_s = self._clock.wall_s()
        return self._standing(limits, self._image(limits.scope), now_s)

    def fleet(self, scope: str) -> float | None:
        """How many environments as busy as this one share a gate, None where that was never seen."""
        with self._lock:
            return self._memory.fleet(scope)

    def _standing(self, limits: GateLimits, image: GateImage | None, now_s: float) -> Standing:
        at = current_epochs(limits, now_s, image)
        here = rolled(image, at, strict=self._strict) if image is not None else new_image(limits, at)
        return Standing(limits, here, now_s)

    def _refusal(
        self, limits: GateLimits, image: GateImage | None, need: Reservation, now_s: float, *, told: bool
    ) -> Denial | None:
        """A denial that needs no further question: the table has just said so (`told`), or what it said before still holds,
        or the request is larger than the whole limit."""
        if image is not None and differs(image, limits) and not image.revoked:
            return None
        standing = self._standing(limits, image, now_s)
        short = shortage(standing.image, limits, need, now_s)
        if short is None or not (told or image is None or self._believes(limits.scope, short, now_s)):
            return None
        return denial(short, standing, need)

    def _believes(self, scope: str, kind: LimitKind, now_s: float) -> bool:
        with self._lock:
            return self._memory.believes(scope, kind, now_s)

    def _from_lease(self, limits: GateLimits, image: GateImage, need: Reservation, now_s: float) -> Hold | None:
        if image.revoked or need.further:  # what was leased before stays unspent, and goes back with its minute
            return None
        at = labels(image, current_epochs(limits, now_s, image))
        with self._lock:
            return self._leases.take(limits.scope, at, need)

    def _permits(self, limits: GateLimits, image: GateImage | None, need: Reservation, now_s: float) -> int:
        """How many to take at once. Slots are never leased: a lease would hold them while nobody runs. Nor is what takes no
        share of tokens and money, or adds to a hold."""
        if image is None or image.parallel_limit is not None or need.only_counted or need.further:
            return 1
        here = self._standing(limits, image, now_s).image
        requests, tokens = spare(here, limits, now_s)
        remaining = [requests] if here.requests_limit is not None else []
        remaining += [tokens // need.tokens] if here.tokens_limit is not None and need.tokens > 0 else []
        remaining += [here.budget_left // need.micro_usd] if here.budget_limit is not None and need.micro_usd > 0 else []
        with self._lock:
            item_per_s, own_per_s = self._memory.pace(limits.scope)
        return lease_size(item_per_s, own_per_s, min(remaining)) if remaining else 1

    async def _admitted(self, limits: GateLimits, need: Reservation, image: GateImage, write: Write) -> Hold:
        bulk = _hold(limits.scope, image.epochs, need, write)
        if differs(image, limits):  # found out by the admission itself: the next one must not have to
            await self._change(limits, image, need)
        if write.permits == 1:
            return bulk
        with self._lock:
            self._leases.put(bulk, write.permits, self._clock.wall_s())
            own = self._leases.take(limits.scope, bulk.at, need)
        assert own is not None
        return own

    async def _change(self, limits: GateLimits, image: GateImage, need: Reservation) -> None:
        now_s = self._clock.wall_s()
        at = current_epochs(limits, now_s, image)
        write = next_write(Asked(limits, need, now_s), image, absent=False, at=at, strict=self._strict)
        try:
            await self._write(write.update, limits.scope)
        except StateError:
            return  # the request is in; whoever comes next sees that the limits differ, too

    async def tell(self, limits: GateLimits) -> None:
        """Has a gate that is there enforce limits that are newer than its own. Raises StateError."""
        image = image_of(await self._noted(self._store.get(partition_key(limits.scope), SORT_KEY, consistent=True)))
        for _ in range(_ATTEMPTS):
            if image is None or image.window == 0 or not differs(image, limits):
                return
            now_s = self._clock.wall_s()
            at = current_epochs(limits, now_s, image)
            write = next_write(Asked(limits, _NOTHING, now_s), image, absent=False, at=at, strict=self._strict)
            image = image_of((await self._write(write.update, limits.scope)).item)
        raise StateError("contention", sent=False)

    # --- Settling --------------------------------------------------------------------------------------------------

    def due(self, job: Settlement) -> list[Settlement]:
        """What a settlement comes to on the table: itself, or for a leased hold what its lease has to write now."""
        if not job.hold.leased:
            return [job]
        with self._lock:
            image = self._memory.image(job.hold.scope)
            at = image.epochs if image is not None else job.hold.at
            return list(self._leases.settle(job, at, self._clock.wall_s()))

    def all_due(self) -> list[Settlement]:
        """What every lease has to write now."""
        now_s = self._clock.wall_s()
        jobs: list[Settlement] = []
        with self._lock:
            for scope in self._leases.scopes():
                image = self._memory.image(scope)
                if image is not None:
                    at = current_epochs(GateLimits(scope), now_s, image)
                    jobs += self._leases.due(scope, labels(image, at), now_s)
        return jobs

    async def settle(self, job: Settlement) -> None:
        """Writes one settlement. Raises StateError."""
        image = self._image(job.hold.scope)
        for _ in range(_ATTEMPTS):
            update = settle_update(job, image, strict=self._strict)
            if update is None:
                return
            result = await self._write(update, job.hold.scope)
            image = image_of(result.item)
            if isinstance(result, Applied) or image is None:  # None: the gate was deleted, and with it what it held
                return
            if job.mark is not None:  # it was not in, or another one was after it, or its time is over
                return
        raise StateError("contention", sent=False)

    def settlement(self, job: Settlement) -> Update | None:
        """The write that settles, by the last image; None where there is nothing to write."""
        return settle_update(job, self._image(job.hold.scope), strict=self._strict)

    async def transact(self, update: Update, scope: str, token: str) -> Rejected | None:
        """One write as a transaction, which answers with no image unless it is rejected. Raises StateError."""
        if self.resting():
            raise StateError("resting", sent=False)
        rejected = await self._noted(self._store.transact((update,), token))
        if rejected is None:
            with self._lock:
                self._memory.doubt(scope)
        else:
            self._remember(scope, rejected.item)
        return rejected

    # --- Warning ---------------------------------------------------------------------------------------------------

    def nearly_spent(self, scope: str) -> GateImage | None:
        """The last image of a gate whose budget is nearly spent, as far as is known here; None where it is not, or was told."""
        image = self._image(scope)
        return image if image is not None and image.nearly_spent else None

    async def warn(self, scope: str, image: GateImage) -> bool:
        """Whether it falls to this environment to say that the budget is nearly spent. Raises StateError."""
        return isinstance(await self._write(warn(scope, image), scope), Applied)

    # --- The table -------------------------------------------------------------------------------------------------

    def resting(self) -> bool:
        with self._lock:
            return self._breaker.resting(self._clock.wall_s())

    def forget(self, scope: str) -> None:
        """What was seen of a gate is not to be relied on any more."""
        with self._lock:
            self._memory.forget(scope)

    def _image(self, scope: str) -> GateImage | None:
        with self._lock:
            return self._memory.image(scope)

    async def _write(self, update: Update, scope: str, permits: int = 0, need: Reservation | None = None) -> Applied | Refused:
        if self.resting():
            raise StateError("resting", sent=False)
        if permits <= 1:
            return await self._send(update, scope, permits, need)
        with self._lock:
            self._fetching.setdefault(scope, [])
        try:
            return await self._send(update, scope, permits, need)
        finally:
            with self._lock:
                waiters = self._fetching.pop(scope, [])
            for loop, arrived in waiters:
                _wake(loop, arrived)

    async def _fetched_by_another(self, scope: str) -> bool:
        """Waits for a lease that is under way to this environment; False where there is none."""
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            waiters = self._fetching.get(scope)
            if waiters is None:
                return False
            waiters.append((asyncio.get_running_loop(), arrived))
        await arrived
        return True

    async def _send(self, update: Update, scope: str, permits: int, need: Reservation | None) -> Applied | Refused:
        result = await self._unhindered(update)
        further = need is not None and need.further
        self._remember(scope, result.item, permits if isinstance(result, Applied) and not further else 0, need)
        return result

    async def _unhindered(self, update: Update) -> Applied | Refused:
        """A write that does not give up because a transaction is at work on the item."""
        for sends in range(1, _SENDS):
            try:
                return await self._noted(self._store.update(update))
            except StateError as error:
                if error.reason != CONFLICT:
                    raise
            await self._backoff.wait(sends)
        return await self._noted(self._store.update(update))

    async def _noted(self, answer: Awaitable[_T]) -> _T:
        """Whether the table answered is what the breaker wants to know; a conflict is an answer."""
        try:
            found = await answer
        except StateError as error:
            if error.reason != CONFLICT:
                with self._lock:
                    self._breaker.failed(self._clock.wall_s())
            raise
        with self._lock:
            self._breaker.worked()
        return found

    def _remember(self, scope: str, item: Item | None, taken: int = 0, need: Reservation | None = None) -> None:
        image, now_s = image_of(item), self._clock.wall_s()
        with self._lock:
            if image is None:
                self._memory.forget(scope)
            else:
                self._memory.remember(scope, image, now_s, taken=taken, typical=need)


def _wake(loop: asyncio.AbstractEventLoop, arrived: "asyncio.Future[None]") -> None:
    """The waiter may be in another thread's loop, may have gone away, and its loop with it."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(lambda: None if arrived.done() else arrived.set_result(None))


def _hold(scope: str, at: Epochs, need: Reservation, write: Write) -> Hold:
    """What an admission took: what its write took, which need not be all that the gate limits."""
    judged = write.judged
    assert judged is not None
    return Hold(
        scope,
        at,
        requests=write.permits if judged.requests_limit is not None else None,
        tokens=need.tokens * write.permits if judged.tokens_limit is not None else None,
        micro_usd=need.micro_usd * write.permits if judged.budget_limit is not None else None,
        slot=judged.parallel_limit is not None,
        further=need.further,
    )
