"""The ledger of one environment: requests are added up here and written after the last byte of some of them.

A row of the table is shared by every environment of its shard, and each adds to it. So that an answer of the table that was
lost cannot make a batch count twice, an environment numbers its batches and leaves the last number on the row, under a name
of its own: a batch that is sent again is refused where it had arrived. Nothing is lost by trouble with the table either,
until there are more rows than an environment keeps; then the oldest are dropped, and a log line says what was in them.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pllm.core.clock import Clock, rfc3339
from pllm.core.record import RequestRecord
from pllm.core.usage_keys import KEPT_S, floor_s, row_key, shard_of
from pllm.core.usage_rows import Account, Amounts, accounts_of, attributes, total
from pllm.state.store import FLUSH_S, Absent, AnyOf, Compare, StateError, Store, Update

_FLUSH_ROWS = 25
_MOST_ROWS = 2_000
# Of each sketch in one write: DynamoDB takes expressions of 4 KB and 300 operators.
_MOST_BUCKETS = 100
# What is told later than this is counted in the minute of the telling: the roll-up does not look at its own any more.
LATEST_S = 2 * 3600

_Key = tuple[int, Account]
"""(minute in epoch seconds, account)."""

Tell = Callable[[dict[str, Any]], None]
"""Takes a log line."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """An addition to one row, on its way under `number`. `doubtful`: it may have arrived, and nobody said so."""

    number: int
    amounts: Amounts
    doubtful: bool = False


class Ledger:
    """One an environment. `new_id` names the environment at its first write, not before: environments that are restored
    from one snapshot must not share a name. `exact`: rows are written after each request, otherwise `flush_s` after
    the last ones."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        new_id: Callable[[], str],
        tell: Tell,
        *,
        exact: bool = False,
        flush_s: float = FLUSH_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._tell = tell
        self._exact = exact
        self._flush_s = flush_s
        self._name = ""
        self._numbers = 0
        self._pending: dict[_Key, Amounts] = {}
        self._sent: dict[_Key, _Batch] = {}
        self._flushed_s = clock.wall_s()
        self._failure_seen = False
        self._flushing = asyncio.Lock()

    def adopt(self, *, exact: bool) -> None:
        """From now on: what a new configuration says."""
        self._exact = exact

    @property
    def unflushed(self) -> Amounts:
        """What the table is not known to have."""
        return total((*self._pending.values(), *(batch.amounts for batch in self._sent.values())))

    def add(self, record: RequestRecord) -> None:
        """One request that is over."""
        for account, amounts in accounts_of(record):
            self.count(account, amounts)
            self._failure_seen |= bool(record.error)

    def count(self, account: Account, amounts: Amounts) -> None:
        """Requests of this minute."""
        key = (floor_s("minute", self._clock.wall_s()), account)
        self._pending[key] = self._pending.get(key, Amounts()) + amounts
        self._make_room()

    async def settle(self) -> None:
        """At the end of each invocation, after the last byte: writes when it is time to. Never raises."""
        if self._due():
            await self.flush()

    async def flush(self) -> None:
        """Writes everything that can be written now. What cannot stays for the next time. Never raises."""
        async with self._flushing:
            self._flushed_s, self._failure_seen = self._clock.wall_s(), False
            self._mind_what_is_late()
            await self._send(tuple(self._sent))
            fresh = tuple(key for key in self._pending if key not in self._sent)
            for key in fresh:
                self._take(key)
            await self._send(fresh)

    def _take(self, key: _Key) -> None:
        """Numbers what is pending of a row as a batch. What does not fit into one write stays."""
        self._numbers += 1
        amounts, rest = self._pending.pop(key).split(_MOST_BUCKETS)
        self._sent[key] = _Batch(self._numbers, amounts)
        if rest != Amounts():
            self._pending[key] = rest

    def _due(self) -> bool:
        if not self._pending and not self._sent:
            return False
        now_s = self._clock.wall_s()
        # A clock that was set back must not stop the flushing.
        waited = not self._flushed_s <= now_s < self._flushed_s + self._flush_s
        return self._exact or waited or self._failure_seen or len(self._pending) > _FLUSH_ROWS

    def _mind_what_is_late(self) -> None:
        """A long outage, or a long sleep of the environment. What was sent under its own minute cannot move to another."""
        oldest_s = floor_s("minute", self._clock.wall_s() - LATEST_S)
        for key in [key for key in self._pending if key[0] < oldest_s]:
            self.count(key[1], self._pending.pop(key))
        self._drop([key for key in self._sent if key[0] < oldest_s], "it could not be confirmed in time")

    def _make_room(self) -> None:
        """The oldest go. A batch that was sent goes before what was added to the same row since."""
        excess = len(self._pending) + len(self._sent) - _MOST_ROWS
        if excess > 0 and not self._flushing.locked():
            rows = sorted({*self._pending, *self._sent})
            self._drop(rows[: max(excess, _MOST_ROWS // 10)], "the table cannot be written to")

    def _drop(self, keys: Sequence[_Key], why: str) -> None:
        if not keys:
            return
        batches = [self._sent.pop(key).amounts for key in keys if key in self._sent]
        batches += [self._pending.pop(key) for key in keys if key in self._pending]
        lost = {name: number for name, number in total(batches).numbers().items() if number}
        since, until = (rfc3339(time_s) for time_s in (keys[0][0], keys[-1][0]))
        message = {"level": "ERROR", "message": "usage dropped", "why": why, "rows": len(keys), "since": since, "until": until}
        self._tell(message | lost)

    async def _send(self, keys: Iterable[_Key]) -> None:
        await asyncio.gather(*(self._write(key) for key in keys))

    async def _write(self, key: _Key) -> None:
        try:
            # Refused: the batch had arrived before, and its answer was lost.
            await self._store.update(self._addition(key, self._sent[key]))
        except StateError as error:
            self._keep(key, doubtful=error.sent)
        else:
            del self._sent[key]

    def _keep(self, key: _Key, *, doubtful: bool) -> None:
        """For the next time: under the same number, unless it has certainly not arrived."""
        batch = self._sent[key]
        if doubtful or batch.doubtful:
            self._sent[key] = replace(batch, doubtful=True)
        else:
            del self._sent[key]
            self._pending[key] = self._pending.get(key, Amounts()) + batch.amounts

    def _addition(self, key: _Key, batch: _Batch) -> Update:
        start_s, account = key
        self._name = self._name or self._new_id()[:12]
        mark = f"q{self._name}"
        kept_s = KEPT_S["minute"]
        assert kept_s is not None
        return Update(
            *row_key("minute", start_s, account, shard_of(self._name)),
            set={mark: batch.number, "exp": start_s + kept_s},
            add=attributes(batch.amounts),
            condition=AnyOf((Absent(mark), Compare(mark, "<", batch.number))),
        )
