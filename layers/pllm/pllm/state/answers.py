"""Stored answers of the Responses API: one compressed item each, gone after a month, readable by whoever made it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pllm.state.store import Item, Store, Update

if TYPE_CHECKING:
    from pllm.wire.openai_responses import StoredResponse

KEPT_S = 30 * 24 * 3600
"""As long as OpenAI keeps them."""

# DynamoDB's item limit is 400 KB; the rest of the item is small.
MAX_STORED_BYTES = 380_000


# Ids come from clients and from providers; the table takes keys of 2048 bytes and nothing that is no Unicode.
_LONGEST_ID = 512


# An answer is stored after its last byte: a client that goes on at once, in another environment, may come before it is.
_LATE_S = (0.05, 0.15, 0.3)


class AnswerTooLargeError(Exception):
    """The answer does not fit one item, compressed as it is."""


class StoredAnswers:
    """`owner` is the principal's id: another's answer is as absent as one that never was."""

    def __init__(self, store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._store = store
        self._sleep = sleep

    async def put(self, answer: StoredResponse, owner: str) -> None:
        """Raises AnswerTooLargeError, StateError."""
        body = zlib.compress(answer.to_json())
        if not _is_id(answer.id):
            raise AnswerTooLargeError(f"an id of {len(answer.id)} characters")
        if len(body) > MAX_STORED_BYTES:
            raise AnswerTooLargeError(f"{len(body)} bytes")
        await self._store.update(Update(*_key(answer.id), set={"body": body, "owner": owner, "exp": answer.expires_s}))

    async def get(self, response_id: str, owner: str, now_s: float) -> StoredResponse | None:
        """None for one that stays absent for half a second, is expired (TTL deletes late) or another's. Raises StateError.
        What cannot be an id is not asked for: an error that a client can cause would be taken for the table's."""
        if not _is_id(response_id):
            return None
        item = await self._item(response_id)
        if item is None or not _readable(item, owner, now_s):
            return None
        body = item["body"]
        assert isinstance(body, bytes)
        from pllm.wire.openai_responses import StoredResponse  # the wire is loaded by those who speak it

        return StoredResponse.from_json(zlib.decompress(body))

    async def _item(self, response_id: str) -> Item | None:
        item = await self._store.get(*_key(response_id), consistent=True)
        for pause_s in _LATE_S:
            if item is not None:
                break
            await self._sleep(pause_s)
            item = await self._store.get(*_key(response_id), consistent=True)
        return item

    async def delete(self, response_id: str, owner: str, now_s: float) -> bool:
        """Whether there was one to delete. Raises StateError."""
        if await self.get(response_id, owner, now_s) is None:
            return False
        await self._store.delete(*_key(response_id))
        return True


def _key(response_id: str) -> tuple[str, str]:
    return f"R#{response_id}", "R"


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable()


def _readable(item: Item, owner: str, now_s: float) -> bool:
    expires = item.get("exp")
    return item.get("owner") == owner and isinstance(expires, int) and expires > now_s
