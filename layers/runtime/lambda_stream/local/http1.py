"""A reader of HTTP/1.1 requests without IO, for the Runtime API side: bytes in, events out.

Its peers are AWS's runtime client and `lambda_stream` itself, so it is small; what it has and HTTP libraries lack is trailers
and bodies handed on as they arrive. Anything malformed raises MalformedRequestError.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

_HEAD_LIMIT_BYTES = 64 * 1024


class MalformedRequestError(ValueError):
    """The peer does not speak HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Head:
    """The request line and headers; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the body, as large as it arrived."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The body is complete; `trailers` with names in lower case."""

    trailers: dict[str, str]


class _State(enum.Enum):
    HEAD = enum.auto()
    LENGTH_BODY = enum.auto()
    CHUNK_SIZE = enum.auto()
    CHUNK_DATA = enum.auto()
    CHUNK_END = enum.auto()
    TRAILERS = enum.auto()


class RequestReader:
    """Feed it what arrives; it yields Head, Data and End, request after request."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._state = _State.HEAD
        self._missing = 0

    def feed(self, data: bytes) -> Iterator[Head | Data | End]:
        """The events that `data` completes."""
        self._buffer += data
        while True:
            before = (len(self._buffer), self._state)
            event = self._next()
            if event is not None:
                yield event
            elif before == (len(self._buffer), self._state):
                return

    def _next(self) -> Head | Data | End | None:
        match self._state:
            case _State.HEAD:
                return self._read_head()
            case _State.LENGTH_BODY:
                return self._read_length_body()
            case _State.CHUNK_DATA:
                return self._read_chunk_data()
            case _State.TRAILERS:
                return self._read_trailers()
            case _State.CHUNK_SIZE:
                self._read_chunk_size()
            case _State.CHUNK_END:
                self._read_chunk_end()
        return None

    def _read_head(self) -> Head | None:
        block = self._take_until(b"\r\n\r\n")
        if block is None:
            return None
        request_line, *lines = block.decode("latin-1").split("\r\n")
        parts = request_line.split(" ")
        if len(parts) != 3 or parts[2] != "HTTP/1.1":
            raise MalformedRequestError(f"not an HTTP/1.1 request line: {request_line!r}")
        headers = _fields(lines)
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._state = _State.CHUNK_SIZE
        else:
            self._missing = _number(headers.get("content-length", "0"), 10)
            self._state = _State.LENGTH_BODY
        return Head(parts[0], parts[1], headers)

    def _read_length_body(self) -> Data | End | None:
        if self._missing == 0:
            self._state = _State.HEAD
            return End({})
        return self._take_body()

    def _read_chunk_size(self) -> None:
        line = self._take_until(b"\r\n")
        if line is not None:
            self._missing = _number(line.split(b";", 1)[0].decode("latin-1"), 16)
            self._state = _State.CHUNK_DATA if self._missing else _State.TRAILERS

    def _read_chunk_data(self) -> Data | None:
        if self._missing == 0:
            self._state = _State.CHUNK_END
            return None
        return self._take_body()

    def _read_chunk_end(self) -> None:
        if len(self._buffer) >= 2:
            if self._buffer[:2] != b"\r\n":
                raise MalformedRequestError("a chunk is longer than its size")
            del self._buffer[:2]
            self._state = _State.CHUNK_SIZE

    def _read_trailers(self) -> End | None:
        if self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
            block: bytes | None = b""
        else:
            block = self._take_until(b"\r\n\r\n")
        if block is None:
            return None
        self._state = _State.HEAD
        return End(_fields(block.decode("latin-1").split("\r\n")) if block else {})

    def _take_body(self) -> Data | None:
        if not self._buffer:
            return None
        data = bytes(self._buffer[: self._missing])
        del self._buffer[: len(data)]
        self._missing -= len(data)
        return Data(data)

    def _take_until(self, end: bytes) -> bytes | None:
        position = self._buffer.find(end)
        if position < 0:
            if len(self._buffer) > _HEAD_LIMIT_BYTES:
                raise MalformedRequestError(f"no end of line or head within {_HEAD_LIMIT_BYTES} bytes")
            return None
        block = bytes(self._buffer[:position])
        del self._buffer[: position + len(end)]
        return block


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedRequestError(f"not a header line: {line!r}")
        fields[name.strip().lower()] = value.strip()
    return fields


def _number(text: str, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError:
        raise MalformedRequestError(f"not a length: {text!r}") from None
    if number < 0:
        raise MalformedRequestError(f"not a length: {text!r}")
    return number
