"""How the control plane writes: a change and its audit row in one transaction, safe to send twice."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.state.audit import Change, audit_write
from pllm.state.config_version import tell_news
from pllm.state.store import Rejected, StateError, TransactionalStore, Write

_TRIES = 4


class Changes:
    """`entropy(n)` gives n random bytes. Nothing is written twice: a transaction is known by its token."""

    def __init__(
        self,
        store: TransactionalStore,
        clock: Clock,
        entropy: Callable[[int], bytes],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sleep = sleep

    async def write(self, writes: Sequence[Write], change: Change) -> Rejected | None:
        """Rejected with the write of `writes` whose condition was false, None when all is written. Raises StateError, or a
        409 when somebody else keeps writing the same items."""
        token = self._entropy(16).hex()
        row = audit_write(change, self._clock.wall_s(), token[:8])
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._store.transact([*writes, row], token)
            except StateError as error:
                if attempt == _TRIES:
                    raise busy() if error.reason == "conflict" else error from None
                await self._sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    async def tell(self) -> None:
        """Has every environment look at keys and teams anew within five seconds. Not in the transaction: many changes at once
        would only be in each other's way there. Who is not told looks by itself within 72 seconds."""
        with suppress(StateError):
            await self._store.update(tell_news())


def busy() -> GatewayError:
    return GatewayError(ErrorKind.CONFLICT, "Somebody else is changing this at the same moment. Try again.")


def outdated(what: str, version: int | None) -> GatewayError:
    """A 409 for a change that was made to a version which is no longer there."""
    now = f": it is at version {version} now" if version is not None else ""
    return GatewayError(ErrorKind.CONFLICT, f"{what} was changed in the meantime{now}. Read it again and repeat the change.")
