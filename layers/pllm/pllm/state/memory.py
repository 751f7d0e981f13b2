"""The memory twin of the table: same protocol, same semantics, no network. For tests, simulations and a laptop's first run.

Each call is atomic (there is no await inside), as DynamoDB's are for one item.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from pllm.core.clock import Clock
from pllm.state.store import (
    Absent,
    AllOf,
    AnyOf,
    Applied,
    Attr,
    Compare,
    Condition,
    Delete,
    Exists,
    Expression,
    Item,
    Minus,
    Operand,
    Plus,
    Refused,
    Rejected,
    StateError,
    Update,
    Value,
    Write,
)

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


TOKEN_S = 600.0
"""How long a transaction is known by its token."""


class MemoryStore:
    """`items` may be looked at by tests; change them through the protocol only. Without a `clock`, no token is forgotten."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self._clock = clock
        self._done: dict[str, tuple[float, tuple[Write, ...]]] = {}

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return self.items.get((pk, sk))

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        keys = sorted(key for key in self.items if key[0] == pk and key[1] >= since and (not until or key[1] <= until))
        return [self.items[key] for key in keys]

    async def update(self, update: Update) -> Applied | Refused:
        key = (update.pk, update.sk)
        old = self.items.get(key)
        if update.condition is not None and not holds(update.condition, old or {}):
            return Refused(old)
        self.items[key] = applied(update, old or {})
        return Applied(self.items[key])

    async def delete(self, pk: str, sk: str) -> Item | None:
        return self.items.pop((pk, sk), None)

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        keys = [(write.pk, write.sk) for write in writes]
        if len(set(keys)) != len(keys) or len(keys) > 100:
            raise ValueError("a transaction takes at most 100 writes, one to an item")
        if self._is_done(token, tuple(writes)):
            return None
        for index, (key, write) in enumerate(zip(keys, writes, strict=True)):
            old = self.items.get(key)
            if write.condition is not None and not holds(write.condition, old or {}):
                return Rejected(index, old)
        self._done[token] = self._now_s(), tuple(writes)
        for key, write in zip(keys, writes, strict=True):
            self._write(key, write)
        return None

    def _is_done(self, token: str, writes: tuple[Write, ...]) -> bool:
        done_s, done = self._done.get(token, (float("-inf"), writes))
        if self._now_s() - done_s >= TOKEN_S:
            return False
        if done != writes:
            raise StateError("IdempotentParameterMismatchException", sent=False)
        return True

    def _now_s(self) -> float:
        return self._clock.wall_s() if self._clock is not None else 0.0

    def _write(self, key: tuple[str, str], write: Write) -> None:
        if isinstance(write, Delete):
            self.items.pop(key, None)
        else:
            self.items[key] = applied(write, self.items.get(key) or {})


class _Nothing:
    """What an attribute that is not there compares as: equal to nothing, not even to another one that is not there."""


def holds(condition: Condition, item: Item) -> bool:
    """Whether an item meets a condition. Absent attributes and values of different types are unequal, and in no order."""
    match condition:
        case AllOf(conditions):
            return all(holds(one, item) for one in conditions)
        case AnyOf(conditions):
            return any(holds(one, item) for one in conditions)
        case Exists(name):
            return name in item
        case Absent(name):
            return name not in item
        case Compare(name, sign, operand):
            return _compare(_seen(Attr(name), item), sign, _seen(operand, item))


def applied(update: Update, old: Item) -> Item:
    """The item after an unconditional update. Raises ValueError where DynamoDB would answer ValidationException."""
    new: dict[str, Value] = {**old, "PK": update.pk, "SK": update.sk}
    for name, expression in update.set.items():
        new[name] = _evaluate(expression, old)
    for name, amount in update.add.items():
        new[name] = _number(old.get(name, 0)) + amount
    for name in update.remove:
        new.pop(name, None)
    return new


def _compare(left: Value | _Nothing, sign: str, right: Value | _Nothing) -> bool:
    if isinstance(left, _Nothing) or isinstance(right, _Nothing) or type(left) is not type(right):
        return sign == "<>"
    return _COMPARISONS[sign](left, right)


def _seen(operand: Operand, item: Item) -> Value | _Nothing:
    return item.get(operand.name, _Nothing()) if isinstance(operand, Attr) else operand


def _evaluate(expression: Expression, item: Item) -> Value:
    match expression:
        case Plus(left, right):
            return _number(_operand(left, item)) + _number(_operand(right, item))
        case Minus(left, right):
            return _number(_operand(left, item)) - _number(_operand(right, item))
        case _:
            return _operand(expression, item)


def _operand(operand: Operand, item: Item) -> Value:
    if not isinstance(operand, Attr):
        return operand
    if operand.name not in item:
        raise ValueError(f"the item has no attribute {operand.name!r}")
    return item[operand.name]


def _number(value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    return value
