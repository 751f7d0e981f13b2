"""Leases: permits of a hot gate taken in bulk and spent in this environment, in the window they were taken in.

A leased permit is already off the table, so spending it here admits nobody too many; what is not used by the end of the
minute is lost to that minute. Only the tail of a window is never leased, nor a gate that is not hot. Not safe for threads:
the owner (`Gates`) holds its lock around every call.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pllm.core.limits import Epochs, Reservation, Spent
from pllm.state.gate_settle import Settlement
from pllm.state.gate_ticket import Hold

HOT_PER_S = 100
LARGEST = 64
_AHEAD_S = 2
_TAIL = 4
_BATCH = 32
_BATCH_AGE_S = 1.0


def lease_size(item_per_s: float, own_per_s: float, remaining: int) -> int:
    """How many permits to take at once. `remaining`: what the gate would still admit.

    1 while the gate is not hot; else two seconds' worth, but never so much that the fleet's leases, left unused, could
    cost a quarter of what is left: the last permits of a window go one by one.
    """
    if item_per_s < HOT_PER_S or own_per_s <= 0:
        return 1
    fleet = max(item_per_s / own_per_s, 1.0)
    wanted = min(LARGEST, int(own_per_s * _AHEAD_S))
    return max(min(wanted, int(remaining / (_TAIL * fleet))), 1)


@dataclass(slots=True)
class _Lease:
    at: Epochs
    permits: int = 0
    tokens: int | None = None
    micro_usd: int | None = None


@dataclass(slots=True)
class _Batch:
    """Leased money that was settled here and not yet on the table: what was held for it, and what it came to."""

    since_s: float
    count: int = 0
    held: int = 0
    used: int = 0


class Leases:
    """Every lease of one environment, by scope."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}
        self._batches: dict[tuple[str, Epochs], _Batch] = {}
        self._running: dict[str, int] = {}

    def has(self, scope: str, at: Epochs, need: Reservation) -> bool:
        """Whether the lease has room for one more request."""
        lease = self._leases.get(scope)
        if lease is None or lease.at != at or lease.permits < 1:
            return False
        enough_tokens = lease.tokens is None or lease.tokens >= need.tokens
        return enough_tokens and (lease.micro_usd is None or lease.micro_usd >= need.micro_usd)

    def take(self, scope: str, at: Epochs, need: Reservation) -> Hold | None:
        """A permit from the lease, None where there is none for now or too little in it."""
        if not self.has(scope, at, need):
            return None
        lease = self._leases[scope]
        lease.permits -= 1
        tokens = micro_usd = None
        if lease.tokens is not None:
            lease.tokens, tokens = lease.tokens - need.tokens, need.tokens
        if lease.micro_usd is not None:
            lease.micro_usd, micro_usd = lease.micro_usd - need.micro_usd, need.micro_usd
        self._running[scope] = self._running.get(scope, 0) + 1
        return Hold(scope, at, 1, tokens, micro_usd, leased=True)

    def put(self, hold: Hold, permits: int, now_s: float) -> None:
        """Permits that were just taken from the gate: `hold` is what all of them took, for this environment to spend."""
        self._retire(hold.scope, hold.at, now_s)
        lease = self._leases.setdefault(hold.scope, _Lease(hold.at))
        lease.permits += permits
        if hold.tokens is not None:
            lease.tokens = (lease.tokens or 0) + hold.tokens
        if hold.micro_usd is not None:
            lease.micro_usd = (lease.micro_usd or 0) + hold.micro_usd

    def permits(self, scope: str) -> int:
        lease = self._leases.get(scope)
        return lease.permits if lease else 0

    def settle(self, job: Settlement, at: Epochs, now_s: float) -> Iterator[Settlement]:
        """Keeps what a leased hold gives back, and yields what is due on the table. `at`: the gate's present labels."""
        hold = job.hold
        self._running[hold.scope] = self._running.get(hold.scope, 0) - 1
        if self._running[hold.scope] <= 0:
            del self._running[hold.scope]
        lease = self._leases.get(hold.scope)
        live = lease if lease is not None and lease.at == hold.at else None
        if live is not None and job.undo:
            _return(live, hold)
        else:
            over = _unused_tokens(live, job)
            if over:
                yield Settlement(Hold(hold.scope, hold.at, tokens=0), Spent(over, 0))
            if hold.micro_usd is not None:
                self._book(hold, hold.micro_usd, job.spent.micro_usd, now_s)
        yield from self.due(hold.scope, at, now_s)

    def due(self, scope: str, at: Epochs, now_s: float) -> Iterator[Settlement]:
        """Batches to write now: nobody else runs here on that gate, or they are many, or old; and leases that are over."""
        lease = self._leases.get(scope)
        if lease is not None and lease.at != at:
            self._retire(scope, at, now_s)
        idle = not self._running.get(scope)
        for key, batch in [(key, batch) for key, batch in self._batches.items() if key[0] == scope]:
            if idle or batch.count >= _BATCH or abs(now_s - batch.since_s) >= _BATCH_AGE_S:
                del self._batches[key]
                yield Settlement(Hold(scope, key[1], micro_usd=batch.held), Spent(0, batch.used))

    def scopes(self) -> set[str]:
        """Where something may be due."""
        return {scope for scope, _ in self._batches} | set(self._leases)

    def _book(self, hold: Hold, held: int, used: int, now_s: float) -> None:
        batch = self._batches.setdefault((hold.scope, hold.at), _Batch(now_s))
        batch.count += 1
        batch.held += held
        batch.used += used

    def _retire(self, scope: str, at: Epochs, now_s: float) -> None:
        """A lease that is over holds nothing any more: its money goes back with the next batch."""
        lease = self._leases.get(scope)
        if lease is None or lease.at == at:
            return
        del self._leases[scope]
        if lease.micro_usd:
            self._book(Hold(scope, lease.at), lease.micro_usd, 0, now_s)


def _return(lease: _Lease, hold: Hold) -> None:
    """A request that was not made leaves the lease as it found it."""
    lease.permits += 1
    if lease.tokens is not None:
        lease.tokens += hold.tokens or 0
    if lease.micro_usd is not None:
        lease.micro_usd += hold.micro_usd or 0


def _unused_tokens(lease: _Lease | None, job: Settlement) -> int:
    """Unused tokens go back to the lease while it lasts, tokens used beyond the reservation come out of it. Returns those
    that it cannot cover."""
    if job.hold.tokens is None:
        return 0
    unused = job.hold.tokens - job.spent.tokens
    if lease is None or lease.tokens is None:
        return max(-unused, 0)
    left = lease.tokens + unused
    lease.tokens = max(left, 0)
    return max(-left, 0)
