"""One request sent several times at once, its answers in one response (see wire.frames)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.providers.base import HttpRequest, Timeouts, Transport, UpstreamResponse
from pllm.wire.frames import frame

_log = logging.getLogger(__name__)


async def send_copies(transport: Transport, request: HttpRequest, timeouts: Timeouts, copies: int) -> UpstreamResponse:
    """`copies` answers in frames; or, when one of them is an error, that one as it is (`PartlyAnswered` where others are
    none). Raises what the transport raises, and leaves no call running when it does."""
    if copies == 1:
        return await transport.send(request, timeouts)
    sending = [asyncio.ensure_future(transport.send(request, timeouts)) for _ in range(copies)]
    try:
        responses = await asyncio.gather(*sending)
    except BaseException:
        await _abandon(sending)
        raise
    failed = next((response for response in responses if not 200 <= response.status < 300), None)
    if failed is None:
        return _Copies(responses)
    for response in responses:
        if response is not failed:
            await response.close()
    return PartlyAnswered(failed) if any(200 <= response.status < 300 for response in responses) else failed


class PartlyAnswered:
    """An error beside which there were good answers, which are billed. See `providers.base.UpstreamResponse`."""

    def __init__(self, error: UpstreamResponse) -> None:
        self.status = error.status
        self.headers: Mapping[str, str] = error.headers
        self.chunks = error.chunks
        self.read = error.read
        self.close = error.close


async def _abandon(sending: Sequence["asyncio.Future[UpstreamResponse]"]) -> None:
    for one in sending:
        one.cancel()
    for got in await asyncio.gather(*sending, return_exceptions=True):
        if not isinstance(got, BaseException):
            await got.close()


class _Copies:
    """See `providers.base.UpstreamResponse`. Every chunk is whole frames."""

    def __init__(self, responses: Sequence[UpstreamResponse]) -> None:
        self._responses = responses
        self._arrived: asyncio.Queue[bytes | GatewayError | None] = asyncio.Queue()
        self._pumps: list[asyncio.Task[None]] = []
        self.status = responses[0].status
        self.headers: Mapping[str, str] = responses[0].headers

    async def chunks(self) -> AsyncGenerator[bytes]:
        self._pumps = [asyncio.create_task(self._pump(n, response)) for n, response in enumerate(self._responses)]
        running = len(self._pumps)
        try:
            while running:
                item = await self._arrived.get()
                if isinstance(item, GatewayError):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            self._stop()

    async def read(self) -> bytes:
        bodies = await asyncio.gather(*(response.read() for response in self._responses))
        return b"".join(frame(number, body) for number, body in enumerate(bodies))

    async def close(self) -> None:
        # Whoever still waits for a chunk must hear that none will come.
        self._arrived.put_nowait(broken_stream("the connections were closed"))
        self._stop()
        for response in self._responses:
            await response.close()

    async def _pump(self, number: int, response: UpstreamResponse) -> None:
        try:
            async for data in response.chunks():
                if data:
                    self._arrived.put_nowait(frame(number, data))
            self._arrived.put_nowait(frame(number, b""))
            self._arrived.put_nowait(None)
        except GatewayError as error:
            self._arrived.put_nowait(error)
        except Exception:  # noqa: BLE001 - a bug of ours, of which whoever waits for a chunk must hear as well
            _log.exception("an answer of several could not be read")
            self._arrived.put_nowait(GatewayError(ErrorKind.INTERNAL, "The gateway failed while reading an answer."))

    def _stop(self) -> None:
        for pump in self._pumps:
            pump.cancel()
