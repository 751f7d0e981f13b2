"""What an endpoint is handed: one authenticated request and the way to answer it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pllm.core.principal import Principal
from pllm.core.record import RequestRecord
from pllm.edge.http import HttpRequest, Message, Send, json_headers, send_whole

if TYPE_CHECKING:
    from pllm.core.request_trace import RequestTrace


class ClientGoneError(Exception):
    """Nobody is there to be answered any more. (On Lambda this is never told; other servers do.)"""


class Sent:
    """`send`, remembering whether the status is committed: after that an error can no longer be one. Raises ClientGoneError."""

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        try:
            await self._send(message)
        except OSError as error:
            raise ClientGoneError from error


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
