"""Reading and setting rows of usage, and the mark up to which they are rolled up."""

import asyncio
from typing import NamedTuple

from pllm.core.usage_keys import KEPT_S, Period, Span, read_key, row_key
from pllm.core.usage_rows import Account, Amounts, read_amounts, row_attributes
from pllm.state.store import Absent, AnyOf, Compare, Item, Store, Update

_MARK = ("U#mark", "rolled up")
_UNTIL = "until"


class Row(NamedTuple):
    """`start_s`: when its minute, hour or day begins, epoch seconds."""

    start_s: int
    account: Account
    amounts: Amounts


async def read_rows(store: Store, span: Span, *, consistent: bool = False) -> list[Row]:
    """The rows of a span; of a minute, one account may have several. Raises StateError."""
    asked = (store.query(pk, since=span.since, until=span.until, consistent=consistent) for pk in span.partitions)
    return [_row(span.period, item) for items in await asyncio.gather(*asked) for item in items]


async def set_row(store: Store, period: Period, row: Row) -> None:
    """Puts a whole row in place of what was there. Raises StateError."""
    kept_s = KEPT_S[period]
    expires = {} if kept_s is None else {"exp": row.start_s + kept_s}
    values = {**row_attributes(row.amounts), **expires}
    await store.update(Update(*row_key(period, row.start_s, row.account), set=values))


async def read_mark(store: Store) -> int | None:
    """Up to when hours and days are made, epoch seconds; None before the first was. Raises StateError."""
    item = await store.get(*_MARK, consistent=True)
    until = item.get(_UNTIL) if item is not None else None
    return until if isinstance(until, int) else None


async def move_mark(store: Store, until_s: int) -> None:
    """Forward only. Raises StateError."""
    forward = AnyOf((Absent(_UNTIL), Compare(_UNTIL, "<", until_s)))
    await store.update(Update(*_MARK, set={_UNTIL: until_s}, condition=forward))


def _row(period: Period, item: Item) -> Row:
    pk, sk = item["PK"], item["SK"]
    assert isinstance(pk, str)
    assert isinstance(sk, str)
    return Row(*read_key(period, pk, sk), read_amounts(item))
