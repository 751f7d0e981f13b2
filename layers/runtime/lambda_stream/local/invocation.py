"""One event on its way through an environment, from dispatch to the last byte of its answer."""

import asyncio
import base64
import binascii
import json
import logging
import uuid
from collections.abc import Callable

from lambda_stream.local.replies import (
    BodyStream,
    BufferedReply,
    InvocationFailedError,
    PreludeReader,
    StreamedReply,
    read_proxy_response,
)
from lambda_stream.protocol import CONTENT_TYPE

logger = logging.getLogger(__name__)

_BUFFERED_LIMIT_BYTES = 6 * 1024 * 1024


class Invocation:
    """`event` is JSON. Await `reply` for the answer; it raises InvocationFailedError when there is none."""

    def __init__(self, event: bytes) -> None:
        self.id = str(uuid.uuid4())
        self.invocation_id = uuid.uuid4().hex
        self.event = event
        self.reply: asyncio.Future[StreamedReply | BufferedReply] = asyncio.get_running_loop().create_future()
        self._body: BodyStream | None = None

    def fail(self, reason: str) -> None:
        """No answer will come, or no more of it."""
        if self._body is not None:
            self._body.break_off(reason)
        elif not self.reply.done():
            self.reply.set_exception(InvocationFailedError(reason))
            # Somebody may have stopped waiting; asyncio should not complain about that.
            self.reply.exception()

    def begin_body(self, status: int, headers: list[tuple[str, str]], body: BodyStream) -> None:
        """The prelude is read: the answer starts to flow."""
        self._body = body
        if not self.reply.done():
            self.reply.set_result(StreamedReply(status, headers, body))

    def answer(self, payload: bytes) -> None:
        """The whole answer of a buffered function."""
        try:
            reply = read_proxy_response(payload)
        except InvocationFailedError as error:
            self.fail(error.reason)
        else:
            if not self.reply.done():
                self.reply.set_result(reply)


class StreamedResponse:
    """Receives one streamed response and hands it on piece by piece."""

    def __init__(self, invocation: Invocation, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._invocation = invocation
        self._prelude: PreludeReader | None = PreludeReader()
        self._is_refused = False
        self._body = BodyStream(pause, resume)

    def feed(self, data: bytes) -> None:
        """A piece of prelude or body."""
        if self._is_refused:
            return
        if self._prelude is None:
            self._body.feed(data)
            return
        try:
            complete = self._prelude.feed(data)
        except InvocationFailedError as error:
            self._is_refused = True
            self._invocation.fail(error.reason)
            return
        if complete is not None:
            status, headers, first = complete
            self._prelude = None
            if first:
                self._body.feed(first)
            self._invocation.begin_body(status, headers, self._body)

    def end(self, trailers: dict[str, str]) -> int:
        """The response is over; the HTTP status for the worker."""
        error_type = trailers.get("lambda-runtime-function-error-type")
        if error_type is not None:
            self._invocation.fail(_trailer_error(error_type, trailers.get("lambda-runtime-function-error-body", "")))
        elif self._prelude is not None:
            self._invocation.fail("the streamed response ended within its prelude")
        else:
            self._body.end()
        return 202

    def lost(self) -> None:
        """The worker went away in the middle."""
        self._invocation.fail("the environment ended in the middle of its response")


class BufferedResponse:
    """Collects one buffered response."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._payload = bytearray()

    def feed(self, data: bytes) -> None:
        """A piece of the payload; beyond Lambda's 6 MB nothing is kept."""
        if len(self._payload) <= _BUFFERED_LIMIT_BYTES:
            self._payload += data

    def end(self, _trailers: dict[str, str]) -> int:
        """The payload is complete; the HTTP status for the worker."""
        if len(self._payload) > _BUFFERED_LIMIT_BYTES:
            self._invocation.fail(f"the buffered response is larger than {_BUFFERED_LIMIT_BYTES} bytes")
            return 413
        self._invocation.answer(bytes(self._payload))
        return 202

    def lost(self) -> None:
        """The worker went away in the middle."""
        self._invocation.fail("the environment ended in the middle of its response")


class ErrorReport:
    """Collects an error the runtime reports, and gives its text to `report`."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._payload = bytearray()

    def feed(self, data: bytes) -> None:
        """A piece of the error JSON."""
        self._payload += data

    def end(self, _trailers: dict[str, str]) -> int:
        """The report is complete; the HTTP status for the worker."""
        self._report(_describe(bytes(self._payload)))
        return 202

    def lost(self) -> None:
        """The worker went away in the middle."""
        self._report("the environment ended while it reported an error")


Response = StreamedResponse | BufferedResponse | ErrorReport


def receive_response(
    invocation: Invocation, headers: dict[str, str], pause: Callable[[], None], resume: Callable[[], None]
) -> Response:
    """What takes the body of a POST with `headers` that answers `invocation`."""
    if headers.get("lambda-runtime-function-response-mode") != "streaming":
        return BufferedResponse(invocation)
    if headers.get("content-type") != CONTENT_TYPE:
        invocation.fail(f"a streamed HTTP response has the content type {CONTENT_TYPE}, not {headers.get('content-type')!r}")
    return StreamedResponse(invocation, pause, resume)


def _trailer_error(error_type: str, encoded_body: str) -> str:
    try:
        return _describe(base64.b64decode(encoded_body, validate=True))
    except binascii.Error:
        return f"{error_type}: (its body is not base64)"


def _describe(payload: bytes) -> str:
    try:
        error = json.loads(payload)
        return f"{error['errorType']}: {error['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return payload.decode("utf-8", "replace")[:1000]
