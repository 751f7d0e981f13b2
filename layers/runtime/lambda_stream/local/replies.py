"""What a function answered: a stream with its prelude read, a proxy JSON, or the reason why there is neither."""

import asyncio
import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lambda_stream.protocol import PRELUDE_END, PRELUDE_LIMIT_BYTES

_HIGH_WATER_BYTES = 256 * 1024
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE_BREAK = re.compile(r"[\r\n\0]")
_Container = TypeVar("_Container", dict[str, Any], list[Any])

HeaderList = list[tuple[str, str]]


class InvocationFailedError(Exception):
    """The function gave no usable answer; `reason` is for the log, as CloudWatch would show it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StreamBrokenError(InvocationFailedError):
    """The answer broke off after its first byte."""


class ThrottledError(Exception):
    """Every environment is busy and the queue is full."""


class BodyStream:
    """The body of a streamed answer on its way from a worker to a client. `pause` and `resume` hold the worker back."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._is_paused = False
        self._has_ended = False
        self._failure: StreamBrokenError | None = None
        self._wake: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """A piece has arrived."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _HIGH_WATER_BYTES and not self._is_paused:
            self._is_paused = True
            self._pause()
        self._notify()

    def end(self) -> None:
        """The body is complete."""
        self._has_ended = True
        self._notify()

    def break_off(self, reason: str) -> None:
        """Nothing more will come, and the body is not complete."""
        if not self._has_ended:
            self._failure = StreamBrokenError(reason)
            self._notify()

    async def read(self) -> bytes:
        """Everything that has arrived, waiting if that is nothing; b"" at the end. Raises StreamBrokenError."""
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._has_ended:
                return b""
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            self._resume()
        return data

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """Status and headers from the prelude; the body as it comes."""

    status: int
    headers: HeaderList
    body: BodyStream


@dataclass(frozen=True, slots=True)
class BufferedReply:
    """Status, headers and the whole body, from proxy JSON."""

    status: int
    headers: HeaderList
    body: bytes


class PreludeReader:
    """Collects a prelude from the first pieces of a stream."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> tuple[int, HeaderList, bytes] | None:
        """Status, headers and the first bytes of the body, once the prelude is whole. Raises InvocationFailedError."""
        self._buffer += data
        end = self._buffer.find(PRELUDE_END)
        if end < 0:
            if len(self._buffer) > PRELUDE_LIMIT_BYTES:
                raise InvocationFailedError(f"no prelude within the first {PRELUDE_LIMIT_BYTES} bytes of the streamed response")
            return None
        status, headers = _status_and_headers(_json_object(self._buffer[:end], "the prelude"))
        return status, headers, self._buffer[end + len(PRELUDE_END) :]


def read_proxy_response(payload: bytes) -> BufferedReply:
    """The HTTP answer in a buffered function's proxy JSON. Raises InvocationFailedError when it is not one."""
    answer = _json_object(payload, "the response")
    status, headers = _status_and_headers(answer)
    text = answer.get("body")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise InvocationFailedError(f"the response's body is a {type(text).__name__}, not a string")
    if not answer.get("isBase64Encoded"):
        return BufferedReply(status, headers, text.encode())
    try:
        return BufferedReply(status, headers, base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise InvocationFailedError(f"the response's body is not the base64 it claims to be: {error}") from error


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvocationFailedError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvocationFailedError(f"{what} is a JSON {type(value).__name__}, not an object")
    return value


def _status_and_headers(answer: dict[str, Any]) -> tuple[int, HeaderList]:
    status = answer.get("statusCode")
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise InvocationFailedError(f"statusCode is {status!r}, not an HTTP status")
    multi_value = _typed(answer, "multiValueHeaders", dict)
    headers = [(name, value) for name in multi_value for value in _typed(multi_value, name, list)]
    named = {name.lower() for name in multi_value}
    headers += [(name, value) for name, value in _typed(answer, "headers", dict).items() if name.lower() not in named]
    headers += [("set-cookie", cookie) for cookie in _typed(answer, "cookies", list)]
    return status, [_header(name, value) for name, value in headers]


def _typed(container: dict[str, Any], name: str, wanted: type[_Container]) -> _Container:
    value = container.get(name)
    if value is None:
        return wanted()
    if not isinstance(value, wanted):
        raise InvocationFailedError(f"{name} is a JSON {type(value).__name__}, not a {wanted.__name__}")
    return value


def _header(name: str, value: object) -> tuple[str, str]:
    if not _HEADER_NAME.fullmatch(name) or not isinstance(value, str | int | float) or _LINE_BREAK.search(str(value)):
        raise InvocationFailedError(f"not a header: {name!r}: {value!r}")
    return name, str(value)
