"""Shared state as values: items under (PK, SK), changed by conditional updates.

An update is data, not a string: the DynamoDB table compiles it to an expression, the memory twin interprets it, and tests
can read it. It can say no more than DynamoDB can (one `+` or `-` in a SET, comparisons without arithmetic in a condition),
so what passes on the twin passes on the table. Numbers are integers throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Value = int | str | bool | bytes | tuple[str, ...] | None
Item = Mapping[str, Value]
"""Attributes of one item, keys included (`PK`, `SK`)."""


@dataclass(frozen=True, slots=True)
class Attr:
    """The item's own attribute, as it was before the update."""

    name: str


Operand = Attr | Value


@dataclass(frozen=True, slots=True)
class Plus:
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Minus:
    left: Operand
    right: Operand


Expression = Operand | Plus | Minus


@dataclass(frozen=True, slots=True)
class Compare:
    """`attribute <operator> operand`; where either attribute is absent only `<>` is true, as in DynamoDB."""

    name: str
    operator: str  # one of = <> < <= > >=
    operand: Operand


@dataclass(frozen=True, slots=True)
class Exists:
    name: str


@dataclass(frozen=True, slots=True)
class Absent:
    name: str


@dataclass(frozen=True, slots=True)
class AllOf:
    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    conditions: "tuple[Condition, ...]"


Condition = Compare | Exists | Absent | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Update:
    """One conditional write. All right-hand sides see the item as it was. `add` treats an absent attribute as 0."""

    pk: str
    sk: str
    set: Mapping[str, Expression] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    remove: Sequence[str] = ()
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Removal of one item inside a transaction."""

    pk: str
    sk: str
    condition: Condition | None = None


Write = Update | Delete


@dataclass(frozen=True, slots=True)
class Applied:
    """The write happened; `item` is what it made."""

    item: Item


@dataclass(frozen=True, slots=True)
class Refused:
    """The condition was false; `item` is what refused, None where there is none. Nothing was written."""

    item: Item | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A transaction of which nothing was written: the condition of write number `index` was false. `item` as in Refused."""

    index: int
    item: Item | None


CONFLICT = "conflict"
INVALID = "ValidationException"
"""The question was wrong: the table answers, and would refuse it again."""

FLUSH_S = 10.0
"""How long an environment keeps counts of requests, to write them together with others."""


class StateError(Exception):
    """The store could not be asked. `sent` is False when the write certainly did not happen; True when it may have.
    `reason` is short and goes into metrics: throttled, timeout, unreachable, denied, conflict, ..."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(f"state: {reason}")
        self.reason = reason
        self.sent = sent


class Store(Protocol):
    """The protocol of shared state. Every call is one round trip; none retries. Each may raise StateError."""

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None: ...

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        """The items under `pk` with since <= SK <= until (empty: no bound), in the order of SK."""
        ...

    async def update(self, update: Update) -> Applied | Refused: ...

    async def delete(self, pk: str, sk: str) -> Item | None:
        """What was there, None when nothing was."""
        ...


class TransactionalStore(Store, Protocol):
    """A store whose writes can stand or fall together, or be repeated safely. A transaction costs twice its writes."""

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        """All of the writes, at most one to an item and 100 in number, or none. The same `token` (1 to 36 characters) within
        ten minutes is the same transaction: sending it again after an answer that was lost is safe, sending other writes with
        it is a StateError ("IdempotentParameterMismatchException"). One that was rejected has not used its token up. StateError
        "conflict" says that another transaction was at work on one of the items: nothing happened, and it may be tried again;
        an `update` of such an item may raise it, too."""
        ...
