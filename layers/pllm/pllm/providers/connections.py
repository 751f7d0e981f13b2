"""Kept connections, and which of them not to use.

A connection may be dead, or worse, hold bytes that nobody asked for: a provider that says "408 Request Timeout" to an idle
one would have it read as the answer to the next request. aiohttp looks for neither. A Lambda environment sees nothing of
its sockets between two invocations, so both lie in the kernel until somebody looks.
"""

import asyncio
import select
from collections.abc import Callable
from contextvars import ContextVar
from weakref import WeakSet

from pllm.core.content_coding import ACCEPTED
from pllm.providers.tls import aiohttp

# A closed port answers within a round trip. Who closes later had our request, and may have worked on it.
_STALE_WITHIN_S = 1.0

_LENGTHS = frozenset({"content-length", "transfer-encoding"})
"""A body without either goes on until its connection closes."""

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


class Watched:
    """The end of an answer's body, of which aiohttp does not tell everything: it takes a reset for the end of a body that goes
    on until its connection closes, and it tells nobody of a body whose chunks are no chunks. `release` it at the end."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self._has_length = bool(_LENGTHS & {name.lower() for name in response.headers})
        self._was_reset = False
        self._closed: asyncio.Future[None] | None = None
        connection = response.connection
        if connection is None or connection.protocol is None:
            return  # the body had ended with its head
        self._closed = connection.protocol.closed
        if self._closed is None:
            self._lost(connection.protocol.exception() is not None)
            return
        self._closed.remove_done_callback(_looked_at)
        self._closed.add_done_callback(_looked_at)
        self._closed.add_done_callback(self._connection_closed)

    @property
    def broke_off(self) -> bool:
        """Whether a body that was read to its end is not whole all the same."""
        return self._was_reset and not self._has_length

    def release(self) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._connection_closed)

    def _connection_closed(self, closed: "asyncio.Future[None]") -> None:
        self._lost(not closed.cancelled() and closed.exception() is not None)

    def _lost(self, reset: bool) -> None:
        self._was_reset = reset
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))


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
