"""First answers, kept for a day under the key that a client chose for its request.

    I#<digest>  C                 the claim: the request's fingerprint, who works on it until when, then the answer's head
    I#<digest>  B#<owner>#<n>     the answer's body, in pieces

The claim is one conditional write, so of two requests with one key only one runs. It is a lease that outlives its request:
one that died frees the key by itself, and one that was slower than its lease can no longer answer for it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from json import dumps, loads
from typing import TypeVar

from pllm.core.clock import Clock
from pllm.state.store import Absent, AllOf, AnyOf, Compare, Condition, Item, Refused, StateError, Store, Update, Value

KEPT_S = 24 * 3600
MOST_BYTES = 1_000_000
"""The largest body that is kept: a partition of the table takes about so much in a second."""

_PIECE_BYTES = 350_000
_CLAIM = "C"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is None where it was too large to be kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run the request, until somebody else's claim replaces it."""

    pk: str
    owner: str


@dataclass(frozen=True, slots=True)
class Running:
    """Somebody else runs it, for `seconds` at most."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Different:
    """The key belongs to another request."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """`new_id` names the owner of a claim. Each method raises StateError but `release`."""

    store: Store
    clock: Clock
    new_id: Callable[[], str]

    async def claim(self, caller: str, key: str, fingerprint: bytes, lease_s: float) -> Claim | Running | Different | Answer:
        """Of two callers at once one gets the Claim. `caller`: id of the principal, each of whom has keys of its own."""
        claim = Claim(_partition(caller, key), self.new_id())
        now_s = int(self.clock.wall_s())
        until_s = now_s + int(lease_s) + 1
        values: dict[str, Value] = {"fp": fingerprint, "own": claim.owner, "st": "running"}
        values |= {"until": until_s, "exp": until_s + KEPT_S}
        take = Update(claim.pk, _CLAIM, set=values, condition=_free(now_s, claim.owner))
        try:
            outcome = await _twice(partial(self.store.update, take))
        except StateError:
            await self.release(claim)  # it may have been taken
            raise
        if not isinstance(outcome, Refused):
            return claim
        return await self._found(claim.pk, outcome.item or {}, fingerprint, now_s)

    async def look(self, caller: str, key: str, fingerprint: bytes) -> Running | Different | Answer | None:
        """What `claim` would find, without claiming anything; None where it would get the Claim."""
        pk, now_s = _partition(caller, key), int(self.clock.wall_s())
        item = await _twice(partial(self.store.get, pk, _CLAIM, consistent=True))
        if item is None or _number(item, "exp") <= now_s or (item.get("st") == "running" and _number(item, "until") <= now_s):
            return None
        return await self._found(pk, item, fingerprint, now_s)

    async def finish(self, claim: Claim, answer: Answer) -> None:
        """Keeps the answer, unless the claim is somebody else's by now. May be repeated."""
        body = answer.body or b""
        expires_s = int(self.clock.wall_s()) + KEPT_S
        pieces = [body[at : at + _PIECE_BYTES] for at in range(0, len(body), _PIECE_BYTES)]
        for number, piece in enumerate(pieces):
            write = Update(claim.pk, f"{_pieces(claim.owner)}{number:03}", set={"body": piece, "exp": expires_s})
            await _twice(partial(self.store.update, write))
        head: dict[str, Value] = {
            "st": "done",
            "status": answer.status,
            "headers": dumps(dict(answer.headers)),
            "pieces": len(pieces) if answer.body is not None else -1,
            "exp": expires_s,
        }
        done = Update(claim.pk, _CLAIM, set=head, condition=Compare("own", "=", claim.owner))
        await _twice(partial(self.store.update, done))

    async def release(self, claim: Claim) -> None:
        """Frees the key for another try. Never raises: at the worst the lease runs out."""
        free = Update(claim.pk, _CLAIM, set={"until": 0}, condition=Compare("own", "=", claim.owner))
        try:
            await _twice(partial(self.store.update, free))
        except StateError:
            return

    async def _found(self, pk: str, item: Item, fingerprint: bytes, now_s: int) -> Running | Different | Answer:
        if item.get("fp") != fingerprint:
            return Different()
        return await self._kept(pk, item) if item.get("st") == "done" else Running(_number(item, "until") - now_s)

    async def _kept(self, pk: str, item: Item) -> Answer:
        number = _number(item, "pieces")
        headers: Mapping[str, str] = loads(str(item["headers"]))
        if number < 0:
            return Answer(_number(item, "status"), headers, None)
        since = _pieces(str(item["own"]))
        found = await self.store.query(pk, since=since, until=since + "~", consistent=True) if number else []
        bodies = [piece for one in found if isinstance(piece := one.get("body"), bytes)]
        return Answer(_number(item, "status"), headers, b"".join(bodies) if len(bodies) == number else None)


def _free(now_s: int, owner: str) -> Condition:
    """Never used, forgotten, given up, or ours already: an answer that was lost must not shut its own claimant out."""
    over = AllOf((Compare("st", "=", "running"), Compare("until", "<=", now_s)))
    return AnyOf((Absent("PK"), Compare("exp", "<=", now_s), over, Compare("own", "=", owner)))


def _partition(caller: str, key: str) -> str:
    names = (caller.encode("utf-8", "surrogatepass"), key.encode("utf-8", "surrogatepass"))
    return "I#" + sha256(b"".join(len(name).to_bytes(4, "big") + name for name in names)).hexdigest()


def _pieces(owner: str) -> str:
    return f"B#{owner}#"


def _number(item: Item, name: str) -> int:
    value = item.get(name)
    assert isinstance(value, int)
    return value


async def _twice(call: Callable[[], Awaitable[T]]) -> T:
    """Every write here may be repeated, so one that met trouble is."""
    try:
        return await call()
    except StateError:
        return await call()
