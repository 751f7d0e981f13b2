"""Server-sent events: framing only. Bytes in, events out, at any chunk boundary.

Follows the WHATWG event-stream grammar: lines end in LF, CRLF or CR; several `data` lines join with LF; comments are kept
apart so that a relay can pass them on. An event larger than `MAX_EVENT_BYTES` is refused rather than buffered for ever.
"""

from dataclasses import dataclass

MAX_EVENT_BYTES = 16 * 1024 * 1024

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

KEEP_ALIVE = b": keep-alive\n\n"


class SseError(ValueError):
    """The bytes are not an event stream."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched block. `data` is None for a block without any data line (comments, bare ids).
    `raw` is the block with LF line ends, its closing blank line included: forwarding it is lossless."""

    data: bytes | None
    event: str = ""
    raw: bytes = b""


class SseDecoder:
    """Incremental decoder. Not thread-safe; one a stream."""

    __slots__ = ("_buffer", "_head", "_skip_lf")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip_lf = False
        self._head: bytes | None = b""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes. Raises SseError when one grows past MAX_EVENT_BYTES."""
        seen = max(len(self._buffer) - 1, 0)
        self._buffer += self._normalise(data)
        end = self._buffer.rfind(b"\n\n", seen)
        if end < 0:
            if len(self._buffer) > MAX_EVENT_BYTES:
                raise SseError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
            return []
        whole = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return [event for block in whole.split(b"\n\n") if (event := _parse(block)) is not None]

    def close(self) -> list[SseEvent]:
        """The end of the bytes. A last block that lacks its blank line is still given: its content decides what it is."""
        rest = (self._head or b"") + bytes(self._buffer)
        self._head = None
        self._buffer.clear()
        event = _parse(rest)
        return [event] if event else []

    def _normalise(self, data: bytes) -> bytes:
        if self._head is not None:
            data = self._without_mark(self._head + data)
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _without_mark(self, start: bytes) -> bytes:
        """The stream's first bytes without a byte order mark, which may arrive in pieces."""
        if len(start) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(start):
            self._head = start
            return b""
        self._head = None
        return start.removeprefix(_BYTE_ORDER_MARK)


def _parse(block: bytes) -> SseEvent | None:
    block = block.strip(b"\n")
    if not block:
        return None
    raw = block + b"\n\n"
    if block.startswith(b"data:") and b"\n" not in block:
        return SseEvent(block[6:] if block[5:6] == b" " else block[5:], "", raw)
    data: list[bytes] = []
    name = ""
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return SseEvent(b"\n".join(data) if data else None, name, raw)


def comment(*lines: str) -> bytes:
    """A block that is no event, nothing for no lines. Parsers of events skip it."""
    return "".join(f": {line}\n" for line in lines).encode() + b"\n" if lines else b""


def encode(data: bytes, event: str = "") -> bytes:
    """One event with single-line `data` (JSON is)."""
    if event:
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
