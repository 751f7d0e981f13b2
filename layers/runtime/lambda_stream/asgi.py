"""One ASGI request and its streamed answer.

The app runs in one task from its first line to its last. The task is driven twice: up to the first byte, where an exception
can still become an error of the invocation, and then to its end, while the answer flows. Following the ASGI specification the
answer is committed by the first body message, not by `http.response.start`.
"""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from lambda_stream import protocol
from lambda_stream.connection import ResponseConnection, StreamClosedError
from lambda_stream.events import HttpRequest

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_ACCEPTED = 202


class ProtocolViolationError(RuntimeError):
    """The app broke the ASGI contract: a message out of order, of an unknown type, or a response that was never finished."""


class AppExitError(RuntimeError):
    """The app tried to end the process (SystemExit) or was cancelled from within; the environment lives on."""


class _Phase(enum.Enum):
    REQUEST = "before http.response.start"
    STARTED = "after http.response.start"
    STREAMING = "in the body"
    ENDED = "after the last body message"


class Exchange:
    """Runs `app` for one request. First wait for `first_byte` and call `check`, then `deliver`."""

    def __init__(self, app: App, request: HttpRequest, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._request = request
        self._phase = _Phase.REQUEST
        self._status = 200
        self._headers: list[tuple[bytes, bytes]] = []
        self._opening = b""
        self._connection: ResponseConnection | None = None
        self._failure: BaseException | None = None
        self._body_was_read = False
        self.first_byte: asyncio.Future[None] = loop.create_future()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._run_app())

    def check(self) -> None:
        """Once `first_byte` is done: raise what kept the app from answering, if it did not answer."""
        if self._opening:
            return
        raise self._failure or ProtocolViolationError(f"the app returned without a response ({self._phase.value})")

    async def deliver(self, connection: ResponseConnection, invoke_id: str, invocation_id: str | None) -> None:
        """Stream the answer and run the app to its end. Failures of the app become trailers or log lines, never exceptions.

        Raises StreamClosedError when the Runtime API does not take the answer.
        """
        await self._open(connection, protocol.request_head(connection.address, invoke_id, invocation_id))
        await self._task
        if self._phase is _Phase.STREAMING:
            error = self._failure or ProtocolViolationError("the app returned in the middle of its response")
            logger.error("the response broke off after its first byte", exc_info=error)
            await connection.fail(error, invoke_id)
        elif self._failure is not None:
            logger.error("the app failed after its response was complete", exc_info=self._failure)
        status = await connection.acknowledged()
        if status != _ACCEPTED:
            logger.error("the Runtime API answered %s to the response of invocation %s", status, invoke_id)

    def abandon(self) -> None:
        """Stop the app: nobody will have its answer. It is cancelled when the loop runs next."""
        self._task.cancel()

    async def _open(self, connection: ResponseConnection, head: bytes) -> None:
        try:
            await connection.open(head, self._opening)
        except StreamClosedError as error:
            # The app learns it from its `send`, may clean up, and is not asked for more.
            if not self._connected.done():
                self._connected.set_exception(error)
            await self._task
            raise
        self._connection = connection
        # The app may have stopped waiting, with its `send` in a task that it cancelled.
        if not self._connected.done():
            self._connected.set_result(None)

    async def _run_app(self) -> None:
        try:
            await self._app(self._request.scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001  # reported by whoever drives the exchange
            self._failure = error
        except (SystemExit, asyncio.CancelledError) as error:
            self._failure = AppExitError(f"the app raised {error!r}")
            self._failure.__cause__ = error
        finally:
            for waited_for in (self.first_byte, self._ended):
                if not waited_for.done():
                    waited_for.set_result(None)

    async def _receive(self) -> Message:
        if not self._body_was_read:
            self._body_was_read = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        # Lambda never tells of a client that went away, so this ends with the response.
        await asyncio.shield(self._ended)
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body" and self._connection is not None and self._phase is _Phase.STREAMING:
            await self._continue(self._connection, message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.body" and self._phase is _Phase.STARTED:
            await self._commit(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start" and self._phase is _Phase.REQUEST:
            self._status = message["status"]
            self._headers = list(message.get("headers", ()))
            self._phase = _Phase.STARTED
        else:
            raise ProtocolViolationError(f"the app sent {kind!r} {self._phase.value}")

    async def _continue(self, connection: ResponseConnection, body: bytes, more_body: bool) -> None:
        if body:
            await connection.write(body)
        if not more_body:
            self._phase = _Phase.ENDED
            await connection.finish()
            self._tell_ended()

    async def _commit(self, body: bytes, more_body: bool) -> None:
        prelude = self._request.encode_prelude(self._status, self._headers)
        last = b"" if more_body else protocol.LAST_CHUNK
        self._opening = protocol.chunk(prelude) + protocol.chunk(body) + last
        self._phase = _Phase.STREAMING if more_body else _Phase.ENDED
        self.first_byte.set_result(None)
        await self._connected
        if not more_body:
            self._tell_ended()

    def _tell_ended(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
