"""Keys as the data plane sees them: read at most once a minute, remembered through an outage, forgotten when it matters.

A record is used until there is news of an administrator's change (live.py, within five seconds), and for 60 s +- 20 % at
most: then it is read again. Limits that its gate has hold at once: they are told to the gate. With the table unreachable a
record is used for ten minutes more. A key that nobody knows is remembered as such for a few seconds, in a memory of its own: a
flood of guesses costs one read each and cannot push out the keys that are in use.

Age is the larger of what two clocks say: the wall clock jumps, the monotonic one stands still while the environment is frozen.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from hmac import compare_digest
from random import Random
from typing import Generic, TypeVar

from pllm.core.clock import Clock
from pllm.core.keys import KeyRecord, Team
from pllm.state.key_items import TEAM_LIST, hash_key, read_key, read_team
from pllm.state.store import StateError, Store

FRESH_S = 60.0
JITTER = 0.2
STALE_S = 600.0
UNKNOWN_S = 5.0
"""How long an unknown key is answered without asking: short, because it may be created at any moment."""

_MOST_KEYS = 4096
_MOST_UNKNOWN = 1024
_MOST_TEAMS = 1024
# A clock that was set back by more than this tells nothing about how old something is.
_CLOCK_STEP_S = 5.0
# For so long after news it is asked for what certainly is the latest: the table's cheaper reads may lag behind a write.
_CERTAIN_S = 10.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Holder:
    """A key's record and its team's, None where it has none or the team has no record."""

    record: KeyRecord
    team: Team | None


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    read_wall_s: float
    read_monotonic_s: float
    fresh_s: float


class Recent(Generic[T]):
    """Values by name, each with the moment it was read; the longest unused of more than `most` is forgotten."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()

    def put(self, name: str, value: T, read_at: tuple[float, float], fresh_s: float) -> None:
        """`read_at`: both clocks (wall, monotonic) from before the read: what it saw is no older."""
        self._kept[name] = _Kept(value, *read_at, fresh_s)
        self._kept.move_to_end(name)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def fresh(self, name: str) -> _Kept[T] | None:
        """What need not be read again yet."""
        return self._aged(name, extra_s=0.0, step_s=0.0)

    def stale(self, name: str) -> _Kept[T] | None:
        """What may be used while it cannot be read again."""
        return self._aged(name, extra_s=STALE_S, step_s=_CLOCK_STEP_S)

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)

    def renew(self) -> None:
        """Nothing is fresh any more."""
        self._kept = OrderedDict((name, replace(kept, fresh_s=0.0)) for name, kept in self._kept.items())

    def now(self) -> tuple[float, float]:
        return self._clock.wall_s(), self._clock.monotonic_s()

    def __len__(self) -> int:
        return len(self._kept)

    def _aged(self, name: str, extra_s: float, step_s: float) -> _Kept[T] | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        wall_s, monotonic_s = self.now()
        by_wall_s = wall_s - kept.read_wall_s
        age_s = max(by_wall_s, monotonic_s - kept.read_monotonic_s)
        if by_wall_s < -step_s or age_s >= kept.fresh_s + extra_s:
            return None
        self._kept.move_to_end(name)
        return kept


class KeyReader:
    """One for each environment. Every method costs no round trip for what was read lately."""

    def __init__(self, store: Store, clock: Clock, random: Random) -> None:
        self._store = store
        self._random = random
        self._known: Recent[KeyRecord] = Recent(clock, _MOST_KEYS)
        self._unknown: Recent[None] = Recent(clock, _MOST_UNKNOWN)
        self._teams: Recent[Team | None] = Recent(clock, _MOST_TEAMS)
        self._renewed: tuple[float, float] | None = None

    def renew(self) -> None:
        """There is news of keys or teams: each is read again before it is used."""
        self._renewed = self._known.now()
        for memory in (self._known, self._unknown, self._teams):
            memory.renew()

    async def find(self, digest: str) -> Holder | None:
        """Who holds the key of this hash; None for a key that certainly does not exist. Raises StateError when it is not
        known here and cannot be asked for: that says nothing about the key."""
        record = await self._record(digest)
        if record is None:
            return None
        team_id = record.fields.team
        return Holder(record, await self.team(team_id) if team_id is not None else None)

    async def team(self, team_id: str) -> Team | None:
        """A team's record, None for one without. Raises StateError when it is not known here and cannot be asked for."""
        kept = self._teams.fresh(team_id)
        if kept is not None:
            return kept.value
        before = self._teams.now()
        try:
            item = await self._store.get(TEAM_LIST, team_id, consistent=self._certain())
            team = read_team(item) if item is not None else None
        except StateError:
            kept = self._teams.stale(team_id)
            if kept is None:
                raise
            return kept.value
        self._teams.put(team_id, team, before, self._fresh_s(before))
        return team

    async def _record(self, digest: str) -> KeyRecord | None:
        kept = self._known.fresh(digest)
        if kept is not None:
            return kept.value
        if self._unknown.fresh(digest) is not None:
            return None
        before = self._known.now()
        try:
            record = await self._read(digest)
        except StateError:
            kept = self._known.stale(digest)
            if kept is None:
                raise
            return kept.value
        self._remember(digest, record, before)
        return record

    async def _read(self, digest: str) -> KeyRecord | None:
        item = await self._store.get(*hash_key(digest), consistent=self._certain())
        if item is None:
            return None
        record = read_key(item)
        hashes = (record.sha256, record.previous.sha256 if record.previous is not None else "")
        # What the table has under a hash must be the record of that hash, whoever wrote it there.
        return record if any(compare_digest(digest, known) for known in hashes) else None

    def _remember(self, digest: str, record: KeyRecord | None, before: tuple[float, float]) -> None:
        if record is None:
            self._known.forget(digest)
            self._unknown.put(digest, None, before, UNKNOWN_S)
        else:
            self._unknown.forget(digest)
            self._known.put(digest, record, before, self._fresh_s(before))

    def _certain(self) -> bool:
        return self._renewed is not None and 0 <= self._known.now()[0] - self._renewed[0] < _CERTAIN_S

    def _fresh_s(self, before: tuple[float, float]) -> float:
        if self._renewed is not None and before[1] < self._renewed[1]:
            return 0.0  # asked for before the news
        return FRESH_S * self._random.uniform(1 - JITTER, 1 + JITTER)
