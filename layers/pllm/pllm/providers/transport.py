"""The HTTP client: aiohttp behind the one-method Transport seam.

Every failure of the network becomes a GatewayError here, and nowhere else. aiohttp was chosen over httpx because a call
costs about a fifth of the CPU (docs/decisions/0003-http-client.md).
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from io import BytesIO

from yarl import URL

from pllm.core.clock import Clock
from pllm.core.content_coding import Decoding
from pllm.core.errors import ErrorKind, GatewayError, broken_stream, malformed_upstream
from pllm.providers.base import HttpRequest, Timeouts, UpstreamResponse
from pllm.providers.connections import Connections, StaleConnectionError, Watched, begun, new_session
from pllm.providers.tls import aiohttp, verified

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A buffered answer above this is refused: it would not fit the function's memory, let alone the client's."""

# A frozen Lambda environment does not see the provider hang up, and a POST on a dead connection fails. Connections
# that have been idle for this long by the wall clock are not trusted again.
_POOL_TRUST_S = 45.0

_WHOLE_BYTES = 512 * 1024

# Of a burst of events that arrived together, the first go on before the rest is looked at.
_FIRST_BYTES = 4 * 1024


class AiohttpTransport:
    """One connection pool for the life of the environment. Bound to the event loop that first uses it."""

    def __init__(self, clock: Clock, *, verify: ssl.SSLContext | None = None) -> None:
        self._clock = clock
        self._verify = verify
        self._connections: Connections | None = None
        self._last_use_s = 0.0

    async def send(self, request: HttpRequest, timeouts: Timeouts) -> UpstreamResponse:
        connections = await self._trusted()
        connections.answers += 1
        try:
            response = await self._sent(connections.session, request, timeouts)
        except BaseException:
            await connections.left()
            raise
        return _AiohttpResponse(response, timeouts.idle_s, connections)

    async def _sent(self, session: aiohttp.ClientSession, request: HttpRequest, timeouts: Timeouts) -> aiohttp.ClientResponse:
        """Past kept connections that are dead. A request that one of those took along is sent again, once: it was closed before
        the request came, and a provider that is well must not look as if it were not."""
        try:
            async with asyncio.timeout(timeouts.first_byte_s):
                taken_along = False
                while True:
                    try:
                        return await self._try(session, request, timeouts)
                    except StaleConnectionError as error:
                        if error.sent and taken_along:
                            raise
                        taken_along |= error.sent
        except (TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise _send_failure(error, request.url, timeouts) from error

    async def _try(self, session: aiohttp.ClientSession, request: HttpRequest, timeouts: Timeouts) -> aiohttp.ClientResponse:
        begun.set(request.begun)
        return await session.request(
            request.method,
            URL(request.url, encoded=True),  # exactly as given: a signature covers it
            data=_in_pieces(request.body),
            headers=request.headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s, sock_read=None),
            allow_redirects=False,
            ssl=self._trust(request.url),
        )

    def _trust(self, url: str) -> ssl.SSLContext | bool:
        """Certificates are read for those who need any: a model on the same machine is often asked without TLS."""
        return self._verify or (True if url.startswith("http:") else verified())

    async def close(self) -> None:
        if self._connections is not None:
            await self._connections.session.close()
            self._connections = None

    async def simple(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """The SimpleHttp that credential sources use: short timeouts, small bodies."""
        response = await self.send(HttpRequest(url, headers, body, method), Timeouts(5.0, 10.0, 10.0))
        try:
            return response.status, await response.read()
        finally:
            await response.close()

    async def _trusted(self) -> Connections:
        now, old = self._clock.wall_s(), self._connections
        if old is not None and now - self._last_use_s > _POOL_TRUST_S:
            self._connections = None
            await old.retire()
        self._last_use_s = now
        if self._connections is None:
            self._connections = Connections(new_session(_POOL_TRUST_S))
        return self._connections


class _AiohttpResponse:
    def __init__(self, response: aiohttp.ClientResponse, idle_s: float, connections: Connections) -> None:
        self._response = response
        self._connections: Connections | None = connections
        self._idle_s = idle_s
        self._body = Watched(response)
        self.status = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            headers.setdefault(name.lower(), value)
        self.headers: Mapping[str, str] = headers

    async def chunks(self) -> AsyncGenerator[bytes]:
        content = self._response.content
        decoding = Decoding(", ".join(self._response.headers.getall("content-encoding", ())))
        silence = _Silence(self._idle_s, self._drop)
        try:
            data = await content.read(_FIRST_BYTES)
            while data:
                silence.broken()
                for chunk in decoding.feed(data):
                    yield chunk
                silence.listens()
                data = await content.readany()
        except (TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError) as error:
            if silence.too_long:
                raise _silent(self._idle_s) from error
            for chunk in decoding.feed(_unread(content)):
                yield chunk
            raise broken_stream("the connection closed before the answer was complete") from error
        finally:
            silence.stop()
        if silence.too_long:
            raise _silent(self._idle_s)
        if self._body.broke_off:
            raise broken_stream("the connection was reset")
        decoding.end()

    async def read(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                pieces.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise GatewayError(
                        ErrorKind.UPSTREAM_PROTOCOL, f"The provider's answer is larger than {MAX_ANSWER_BYTES} bytes."
                    )
        return b"".join(pieces)

    async def close(self) -> None:
        self._body.release()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._drop()
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.left()

    def _drop(self) -> None:
        """Closes the connection under whoever reads. aiohttp would raise one exception for all, which keeps every traceback
        that it ever had, and the answers in those."""
        content = self._response.content
        if content.exception() is None:
            content.set_exception(aiohttp.ClientConnectionError("the connection was closed here"))
        self._response.close()


def _unread(content: aiohttp.StreamReader) -> bytes:
    """What had arrived when the connection broke. aiohttp raises its error before it hands these bytes over, and they may be
    the last words of a model, or the end marker of a stream that was whole."""
    content.set_exception(None)  # type: ignore[arg-type]  # or every read raises, also of what is there
    return content.read_nowait()


def _in_pieces(body: bytes) -> bytes | BytesIO | None:
    """A large body (recordings, images) as a file: aiohttp writes bytes at one go, which holds up every other request."""
    return body or None if len(body) <= _WHOLE_BYTES else BytesIO(body)


def _send_failure(error: Exception, url: str, timeouts: Timeouts) -> GatewayError:
    host = url.split("/", 3)[2] if url.count("/") >= 2 else url
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return GatewayError(ErrorKind.UPSTREAM_TIMEOUT, f"No connection to {host} within {timeouts.connect_s:g} s.")
    if isinstance(error, TimeoutError):
        return GatewayError(ErrorKind.UPSTREAM_TIMEOUT, f"{host} did not answer within {timeouts.first_byte_s:g} s.")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, f"TLS to {host} failed: {_reason(error)}.")
    if isinstance(error, aiohttp.InvalidURL):
        return GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, f"{host!r} is not an address that can be called.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, f"{host} could not be reached: {_reason(error)}.")
    if isinstance(error, aiohttp.ClientResponseError):
        why = str(error.message).splitlines()[0][:200] if error.message else "it cannot be read"
        return malformed_upstream(f"{host} does not speak HTTP: {why.rstrip(':.')}")
    if isinstance(error, ValueError):
        what = "its address, or a header (a key?), has characters in it that HTTP does not allow"
        return GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, f"The request to {host} cannot be sent: {what}.")
    return GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, f"{host} closed the connection without an answer.")


def _reason(error: Exception) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(inner, "strerror", None) or getattr(inner, "verify_message", None) or type(inner).__name__)


class _Silence:
    """Ends a body that says nothing for `limit_s` while somebody listens: what a slow reader holds up is not the provider's
    silence. One timer a stream that re-arms itself: a chunk costs one clock reading, where a timeout around every read would
    cost two timer operations."""

    def __init__(self, limit_s: float, end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit_s = limit_s
        self._end = end
        self._since_s: float | None = self._loop.time()
        self.too_long = False
        self._timer = self._loop.call_later(limit_s, self._check)

    def broken(self) -> None:
        self._since_s = None

    def listens(self) -> None:
        self._since_s = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        now_s = self._loop.time()
        rest_s = (now_s if self._since_s is None else self._since_s) + self._limit_s - now_s
        if rest_s <= 0:
            self.too_long = True
            self._end()
        else:
            self._timer = self._loop.call_later(rest_s, self._check)


def _silent(limit_s: float) -> GatewayError:
    return GatewayError(ErrorKind.UPSTREAM_TIMEOUT, f"The provider sent nothing for {limit_s:g} s in the middle of its answer.")
