"""Compressed HTTP bodies, undone piece by piece, with the judgement whether one ended whole."""

import zlib
from collections.abc import Iterator

from pllm.core.errors import broken_stream, malformed_upstream

ACCEPTED = "gzip, deflate"
"""What `Decoding` can undo, as the header `accept-encoding` says it."""

_PIECE_BYTES = 256 * 1024
_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS + 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "identity": "", "": ""}


class Decoding:
    """One body. `coding`: its header `content-encoding`, "" for none. Pieces given are at most 256 KiB where it is compressed,
    so that a few bytes that stand for gigabytes stay few in memory."""

    __slots__ = ("_coding", "_inflating", "_named", "_started")

    def __init__(self, coding: str) -> None:
        self._named = coding.strip().lower()
        self._coding = _NAMES.get(self._named)
        self._inflating: zlib._Decompress | None = None
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises GatewayError (UPSTREAM_PROTOCOL) for bytes that are not what the header says, or a coding unknown here."""
        if self._coding is None:
            raise malformed_upstream(f"its content-encoding is {self._named[:40]!r}, and only {ACCEPTED} was asked for")
        if not self._coding:
            if data:
                yield data
            return
        try:
            yield from self._inflated(data)
        except zlib.error:
            raise malformed_upstream(f"it is not the {self._coding} that its content-encoding says") from None

    def end(self) -> None:
        """The body is over. Raises STREAM_BROKEN where the compressed data is not: somebody on the way cut it."""
        if self._inflating is not None:
            raise broken_stream(f"its {self._coding} data ended early")

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        while data:
            inflating = self._inflating = self._inflating or self._next(data)
            piece = inflating.decompress(data, _PIECE_BYTES)
            while piece:
                yield piece
                # What did not fit stays inside, even if all of the input was taken.
                full = len(piece) == _PIECE_BYTES
                piece = inflating.decompress(inflating.unconsumed_tail, _PIECE_BYTES) if full else b""
            data = inflating.unconsumed_tail
            if inflating.eof:
                self._inflating, data = None, inflating.unused_data

    def _next(self, data: bytes) -> "zlib._Decompress":
        """gzip may follow gzip. Of deflate there is one, and some send it bare of zlib's header."""
        if self._coding == "gzip":
            return zlib.decompressobj(_GZIP)
        if self._started:
            raise zlib.error
        self._started = True
        return zlib.decompressobj(_ZLIB if data[0] & 0x0F == 8 else _RAW)
