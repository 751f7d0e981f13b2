"""What an endpoint is handed: one authenticated request and the way to answer it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pllm.core.principal import Principal
from pllm.core.record import RequestRecord
from pllm.edge.http import HttpRequest, Message, Send, json_headers, send_whole

if TYPE_CHECKING:
    from pllm.core.request_trace import RequestTrace


# After its deadline a request has this long to say so. Who does not even take that is not waited for.
_LAST_WORDS_S = 0.5


class ClientGoneError(Exception):
    """Nobody is there to be answered any more. (On Lambda this is never told, but a client that reads nothing is one that
    left; other servers do.)"""


class Sent:
    """`send`, remembering whether the status is committed: after that an error can no longer be one. Raises ClientGoneError.

    `remaining_s`: until the request's deadline, None where there is none. A client that does not read holds up whoever sends
    to it; past the deadline it does not any more, or the platform would end the environment with nothing accounted for."""

    __slots__ = ("_cut", "_late", "_send", "_sender", "_timer", "started")

    def __init__(self, send: Send, remaining_s: float | None = None) -> None:
        self._send = send
        self._sender: asyncio.Task[object] | None = None
        self._late = self._cut = False
        self._timer: asyncio.TimerHandle | None = None
        if remaining_s is not None:
            self._timer = asyncio.get_running_loop().call_later(max(remaining_s, 0.0) + _LAST_WORDS_S, self._too_late)
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        try:
            if self._timer is None:
                await self._send(message)
            else:
                await self._send_in_time(message)
        except OSError as error:
            raise ClientGoneError from error

    async def _send_in_time(self, message: Message) -> None:
        if self._late:
            async with asyncio.timeout(_LAST_WORDS_S):  # its TimeoutError is an OSError
                return await self._send(message)
        self._sender = sender = asyncio.current_task()
        try:
            await self._send(message)
        except asyncio.CancelledError:
            if sender is None or not self._cut or sender.uncancel():
                raise
            raise ClientGoneError from None
        finally:
            self._sender = None

    def _too_late(self) -> None:
        self._late = True
        if self._sender is not None:
            self._cut = True
            self._sender.cancel()

    def end(self) -> None:
        """Nothing more will be sent."""
        if self._timer is not None:
            self._timer.cancel()


@dataclass(frozen=True, slots=True)
class Exchange:
    """`path` is the canonical one (`/v1/...`, mirrors folded). `deadline_s`: monotonic, None outside Lambda. `trace`: None
    where nobody traces."""

    request: HttpRequest
    path: str
    send: Sent
    record: RequestRecord
    principal: Principal
    deadline_s: float | None = None
    trace: "RequestTrace | None" = None

    async def answer_json(self, body: bytes) -> None:
        self.record.status = 200
        await send_whole(self.send, 200, json_headers({"x-request-id": self.record.request_id}), body)


Endpoint = Callable[[Exchange], Awaitable[None]]
