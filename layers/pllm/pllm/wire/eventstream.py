"""AWS's binary event stream (application/vnd.amazon.eventstream): framing only. Bytes in, frames out, at any chunk boundary.

One frame, all numbers big-endian:

    total length   4 bytes   the whole frame, both checksums included
    header length  4 bytes
    prelude CRC    4 bytes   CRC-32 of the eight bytes before it
    headers        ...       name length (1), name, value type (1), value; see `_HEADER_READERS`
    payload        ...       JSON, for Bedrock
    message CRC    4 bytes   CRC-32 of everything before it

The prelude's own checksum is verified before its lengths are believed, so a corrupt length cannot make us wait for ever.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID
from zlib import crc32

HeaderValue = bool | int | bytes | str | UUID
"""A timestamp is an int: milliseconds since the epoch."""

MAX_HEADER_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
"""What AWS's own clients accept. A frame that announces more is refused before it is buffered."""

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_OVERHEAD_BYTES = _PRELUDE.size + _CRC.size


class EventStreamError(ValueError):
    """The bytes are not an event stream, or were corrupted on the way."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the stream. Bedrock's headers are ":message-type" (event, exception or error), ":event-type" or
    ":exception-type", and ":content-type"."""

    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    payload: bytes = b""

    def text(self, name: str) -> str:
        """The header as text; empty when it is absent or not a string."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class EventStreamDecoder:
    """Incremental decoder. Not thread-safe; one a stream."""

    __slots__ = ("_broken", "_buffer", "_verified")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._verified = False
        self._broken: EventStreamError | None = None

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and not ended. Above zero at the end of the bytes, the stream was cut."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        A corrupt frame hides none before it: those are returned, and the next call, with whatever bytes or none, raises
        EventStreamError, as does every later one. Nothing behind a corrupt frame can be trusted.
        """
        if self._broken is not None:
            raise self._broken
        self._buffer += data
        frames: list[Frame] = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except EventStreamError as error:
            self._broken = error
            if not frames:
                raise
        return frames

    def _next(self) -> Frame | None:
        if len(self._buffer) < _PRELUDE.size:
            return None
        total, header_bytes, crc = _PRELUDE.unpack_from(self._buffer)
        if not self._verified:
            _check_prelude(bytes(self._buffer[:8]), total, header_bytes, crc)
            self._verified = True
        if len(self._buffer) < total:
            return None
        raw = bytes(self._buffer[:total])
        del self._buffer[:total]
        self._verified = False
        return _parse(raw, header_bytes)


def _check_prelude(lengths: bytes, total: int, header_bytes: int, crc: int) -> None:
    if crc32(lengths) != crc:
        raise EventStreamError(f"the checksum of a frame's prelude is {crc:08x}, its bytes give {crc32(lengths):08x}")
    if header_bytes > MAX_HEADER_BYTES:
        raise EventStreamError(f"a frame has {header_bytes} bytes of headers; at most {MAX_HEADER_BYTES} are accepted")
    payload_bytes = total - header_bytes - _OVERHEAD_BYTES
    if payload_bytes < 0:
        raise EventStreamError(f"a frame of {total} bytes cannot hold {header_bytes} bytes of headers")
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise EventStreamError(f"a frame has a payload of {payload_bytes} bytes; at most {MAX_PAYLOAD_BYTES} are accepted")


def _parse(raw: bytes, header_bytes: int) -> Frame:
    (crc,) = _CRC.unpack_from(raw, len(raw) - _CRC.size)
    actual = crc32(memoryview(raw)[: -_CRC.size])
    if crc != actual:
        raise EventStreamError(f"the checksum of a frame is {crc:08x}, its bytes give {actual:08x}")
    headers_end = _PRELUDE.size + header_bytes
    return Frame(_parse_headers(raw[_PRELUDE.size : headers_end]), raw[headers_end : -_CRC.size])


# --- Headers --------------------------------------------------------------------------------------------------------

_Reader = Callable[[bytes, int], tuple[HeaderValue, int]]
"""(all header bytes, position of the value) -> (value, position behind it)."""


def _number(code: str) -> _Reader:
    packed = struct.Struct(f">{code}")

    def read(data: bytes, at: int) -> tuple[HeaderValue, int]:
        (value,) = packed.unpack_from(data, at)
        return int(value), at + packed.size

    return read


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    start = at + _LENGTH.size
    return _slice(data, start, length), start + length


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    value, end = _read_bytes(data, at)
    return value.decode("utf-8"), end


def _read_uuid(data: bytes, at: int) -> tuple[UUID, int]:
    return UUID(bytes=_slice(data, at, 16)), at + 16


def _slice(data: bytes, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise EventStreamError("a header value reaches past the end of the headers")
    return data[start : start + length]


_HEADER_READERS: Mapping[int, _Reader] = {
    0: lambda data, at: (True, at),
    1: lambda data, at: (False, at),
    2: _number("b"),
    3: _number("h"),
    4: _number("i"),
    5: _number("q"),
    6: _read_bytes,
    7: _read_text,
    8: _number("q"),
    9: _read_uuid,
}


def _parse_headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(data):
            name = _slice(data, at + 1, data[at]).decode("utf-8")
            at += 1 + data[at]
            reader = _HEADER_READERS.get(data[at])
            if reader is None:
                raise EventStreamError(f"the header {name!r} has the unknown type {data[at]}")
            if name in headers:
                raise EventStreamError(f"the header {name!r} stands twice in one frame")
            headers[name], at = reader(data, at + 1)
    except (struct.error, IndexError):
        raise EventStreamError("the headers end in the middle of a value") from None
    except UnicodeDecodeError:
        raise EventStreamError("a header is not UTF-8") from None
    return headers


# --- Encoding -------------------------------------------------------------------------------------------------------


def encode(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """One frame. Integers take four bytes where they fit, else eight. Raises EventStreamError for what has no encoding."""
    packed = b"".join(_pack_header(name, value) for name, value in headers.items())
    if len(packed) > MAX_HEADER_BYTES or len(payload) > MAX_PAYLOAD_BYTES:
        raise EventStreamError(f"{len(packed)} bytes of headers and {len(payload)} of payload are too many for one frame")
    total = len(packed) + len(payload) + _OVERHEAD_BYTES
    lengths = struct.pack(">II", total, len(packed))
    body = lengths + _CRC.pack(crc32(lengths)) + packed + payload
    return body + _CRC.pack(crc32(body))


def event(name: str, payload: bytes) -> bytes:
    """A frame of kind event, as Bedrock sends them."""
    return encode({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """A frame that ends a stream with a modelled exception ("throttlingException")."""
    return encode({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload)


def _pack_header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode("utf-8")
    if not 0 < len(raw) < 256:
        raise EventStreamError(f"a header name has 1 to 255 bytes, not {len(raw)}")
    return bytes([len(raw)]) + raw + _pack_value(name, value)


def _pack_value(name: str, value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return b"\0" if value else b"\1"
    if isinstance(value, int):
        return _pack_int(name, value)
    if isinstance(value, UUID):
        return b"\x09" + value.bytes
    kind, raw = (b"\x07", value.encode("utf-8")) if isinstance(value, str) else (b"\x06", value)
    if len(raw) > 0xFFFF:
        raise EventStreamError(f"the header {name!r} has {len(raw)} bytes; at most 65535 fit")
    return kind + _LENGTH.pack(len(raw)) + raw


def _pack_int(name: str, value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"\x04" + struct.pack(">i", value)
    if -(2**63) <= value < 2**63:
        return b"\x05" + struct.pack(">q", value)
    raise EventStreamError(f"the header {name!r} is an integer of more than eight bytes")
