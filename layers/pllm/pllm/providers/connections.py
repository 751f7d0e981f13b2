"""Kept connections, and which of them not to use.

A connection may be dead, or worse, hold bytes that nobody asked for: a provider that says "408 Request Timeout" to an idle
one would have it read as the answer to the next request. aiohttp looks for neither. A Lambda environment sees nothing of
its sockets between two invocations, so both lie in the kernel until somebody looks.
"""

import asyncio
import select
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from weakref import WeakSet

from pllm.core.content_coding import ACCEPTED
from pllm.providers.tls import aiohttp

# A closed port answers within a round trip. Who closes later had our request, and may have worked on it.
_STALE_WITHIN_S = 1.0

_used: "WeakSet[object]" = WeakSet()

begun: ContextVar[Callable[[], None]] = ContextVar("begun")
"""Whom a request tells that it begins to go out. aiohttp makes its requests itself and hands nothing through to them."""


class StaleConnectionError(aiohttp.ServerDisconnectedError):
    """A kept connection turned out to be unusable, and the request went nowhere. `sent`: it was written to it all the same."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class Connections:
    """A pool and how many answers are coming on it. One that is not trusted any more is closed with the last of them: a pool
    that closes takes its streams along, and they would not even be told."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.answers = 0
        self._retired = False

    async def retire(self) -> None:
        self._retired = True
        await self._close_if_unused()

    async def left(self) -> None:
        self.answers -= 1
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._retired and not self.answers:
            await self.session.close()


def new_session(keep_s: float) -> aiohttp.ClientSession:
    """A pool of its own. Bodies come as they are: aiohttp undoes compression without telling whether it was whole."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=keep_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent",),
        headers={"accept-encoding": ACCEPTED},
        auto_decompress=False,
        request_class=_Request,
        response_class=_Response,
    )


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Raises StaleConnectionError, before a byte is written, for a kept connection on which something waits to be read."""
        protocol = conn.protocol
        if protocol is not None and protocol in _used and (protocol.should_close or _has_news(protocol.transport)):
            raise StaleConnectionError(sent=False)
        begun.get()()
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Raises StaleConnectionError where a kept connection was closed at once, with no byte of an answer."""
        protocol, loop = connection.protocol, asyncio.get_running_loop()
        kept, sent_s = protocol in _used, loop.time()
        if protocol is not None:
            _used.add(protocol)
        try:
            return await super().start(connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError) as error:
            # With bytes of an answer the error names them, as far as they went.
            began = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)
            if kept and not began and loop.time() - sent_s < _STALE_WITHIN_S:
                raise StaleConnectionError(sent=True) from error
            raise


def watch_loss(response: aiohttp.ClientResponse, lost: Callable[[bool], None]) -> Callable[[], object]:
    """Has `lost` told that the connection under an answer is gone, and whether it was reset, until the returned function is
    called. Not told where the answer had ended before."""
    if response.connection is None or (protocol := response.connection.protocol) is None:
        return lambda: None
    closed = protocol.closed
    if closed is None:
        lost(protocol.exception() is not None)
        return lambda: None

    def tell(closed: "asyncio.Future[None]") -> None:
        lost(not closed.cancelled() and closed.exception() is not None)

    closed.remove_done_callback(_looked_at)
    closed.add_done_callback(_looked_at)
    closed.add_done_callback(tell)
    return partial(closed.remove_done_callback, tell)


def _looked_at(closed: "asyncio.Future[None]") -> None:
    """asyncio complains of an exception that nobody looks at, also when a connection breaks that nobody uses."""
    if not closed.cancelled():
        closed.exception()


def _has_news(transport: asyncio.Transport | None) -> bool:
    """Whether a connection that should be silent is not: it was closed, or holds an answer to nothing. Of TLS the same: what
    a server says of its own accord (a session ticket) is taken for news too, which costs a connection and no answer."""
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(found.fileno(), select.POLLIN)
    return bool(poll.poll(0))
