"""The Runtime API of one environment: what its worker asks and posts over loopback HTTP."""

import asyncio
import logging
import re
from typing import Protocol

from lambda_stream.local.http1 import Data, End, Head, MalformedRequestError, RequestReader
from lambda_stream.local.invocation import ErrorReport, Invocation, Response, receive_response

logger = logging.getLogger(__name__)

_PREFIX = "/2018-06-01/runtime/"
_INVOCATION = re.compile(r"^invocation/(?P<id>[^/]+)/(?P<what>response|error)$")
_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 413: "Payload Too Large"}


class Worker(Protocol):
    """The environment behind the API."""

    def next_requested(self, connection: "RuntimeApiConnection") -> None:
        """The runtime waits for an event."""

    def take_answer(self, invoke_id: str) -> Invocation | None:
        """The invocation that is answered now, once; None if it is not this one's turn."""

    def init_failed(self, reason: str) -> None:
        """The runtime could not start the function."""


class _Refusal:
    """Swallows the body of a request that gets `status`."""

    def __init__(self, status: int) -> None:
        self._status = status

    def feed(self, data: bytes) -> None:
        pass

    def end(self, _trailers: dict[str, str]) -> int:
        return self._status

    def lost(self) -> None:
        pass


class RuntimeApiConnection(asyncio.Protocol):
    """One kept-alive connection of a worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._response: Response | _Refusal | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._reader.feed(data):
                if isinstance(event, Data):
                    if self._response is not None:
                        self._response.feed(event.data)
                elif isinstance(event, Head):
                    self._response = self._begin(event)
                else:
                    self._end(event)
        except MalformedRequestError as error:
            logger.error("a worker sent something that is not HTTP/1.1: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._response is not None:
            self._response.lost()
            self._response = None

    def send(self, status: int, body: bytes, headers: str = "") -> None:
        """Answer the request that was read last. `headers` are whole lines."""
        if self._transport is not None and not self._transport.is_closing():
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            self._transport.write(f"{head}{headers}\r\n".encode("latin-1") + body)

    def _begin(self, head: Head) -> Response | _Refusal | None:
        """What takes the body of this request; None when it has none and is answered at its end."""
        operation = head.path.removeprefix(_PREFIX)
        if head.method == "GET" and operation in ("invocation/next", "restore/next"):
            self._asks_next = operation == "invocation/next"
            return None
        if head.method == "POST" and operation in ("init/error", "restore/error"):
            return ErrorReport(self._worker.init_failed)
        matched = _INVOCATION.match(operation) if head.method == "POST" else None
        return _Refusal(404) if matched is None else self._begin_answer(matched["id"], matched["what"], head.headers)

    def _begin_answer(self, invoke_id: str, what: str, headers: dict[str, str]) -> Response | _Refusal:
        invocation = self._worker.take_answer(invoke_id)
        if invocation is None:
            return _Refusal(400)
        if headers.get("lambda-runtime-invocation-id") != invocation.invocation_id:
            invocation.fail("the runtime did not echo Lambda-Runtime-Invocation-Id")
            return _Refusal(400)
        if what == "error":
            return ErrorReport(invocation.fail)
        assert self._transport is not None
        return receive_response(invocation, headers, self._transport.pause_reading, self._transport.resume_reading)

    def _end(self, end: End) -> None:
        response, self._response = self._response, None
        if response is not None:
            status = response.end(end.trailers)
            self.send(status, b'{"status":"OK"}' if status < 400 else b'{"errorType":"InvalidRequest","errorMessage":""}')
        elif self._asks_next:
            self._worker.next_requested(self)
        else:
            self.send(200, b"")
