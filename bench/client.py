"""The client of every measurement: one kept-alive connection, as few cycles of its own as asyncio allows."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

PROMPT = "The quick brown fox jumps over the lazy dog. " * 42
"""About 2 KB."""

UNMARKED = "bench-00000000"


@dataclass(frozen=True, slots=True)
class Reply:
    """Times in seconds from the first byte of the request. `first_event_s`: until the first byte of the answer's body came."""

    status: int
    body: bytes
    first_event_s: float
    total_s: float


class BrokenAnswerError(Exception):
    """An answer that is not whole, not ours, or not what was asked for."""


def chat_body(model: str, *, stream: bool, token: str = UNMARKED) -> bytes:
    """A Chat request with a 2 KB prompt; `token` comes back in the answer."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{PROMPT} {token}"}]
    return _json({"model": model, "messages": messages, "temperature": 0.5, "stream": stream})


def messages_body(model: str, *, stream: bool) -> bytes:
    """The same in Anthropic's dialect."""
    messages = [{"role": "user", "content": f"{PROMPT} bench-00000000"}]
    return _json({"model": model, "system": "Be brief.", "messages": messages, "max_tokens": 900, "stream": stream})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._done: asyncio.Future[None] | None = None
        self._first_event_s = 0.0
        self._body_at = -1
        self._length: int | None = None
        self._host = ""

    @classmethod
    async def connect(cls, url: str) -> Self:
        parts = urlsplit(url)
        _, client = await asyncio.get_running_loop().create_connection(cls, parts.hostname or "", parts.port or 0)
        client._host = parts.netloc
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(BrokenAnswerError(f"the connection closed after {len(self._received)} bytes"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._body_at < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._body_at = end + 4
            length = re.search(rb"content-length: *(\d+)", self._received[:end], re.IGNORECASE)
            self._length = int(length[1]) if length else None
        if not self._first_event_s and len(self._received) > self._body_at:
            self._first_event_s = time.perf_counter()
        if self._is_whole() and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _is_whole(self) -> bool:
        if self._length is not None:
            return len(self._received) - self._body_at >= self._length
        return self._received.endswith(b"\r\n0\r\n\r\n")

    async def post(self, path: str, body: bytes, key: str) -> Reply:
        """Raises BrokenAnswerError unless a whole answer with status 200 comes."""
        assert self._transport is not None
        head = f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\nauthorization: Bearer {key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._received.clear()
        self._body_at, self._length, self._first_event_s = -1, None, 0.0
        self._done = asyncio.get_running_loop().create_future()
        started_s = time.perf_counter()
        self._transport.write(head.encode() + body)
        await asyncio.wait_for(self._done, 30)
        ended_s = time.perf_counter()
        status = int(self._received[9:12])
        content = bytes(self._received[self._body_at :])
        content = content if self._length is not None else _unchunked(content)
        if status != 200:
            raise BrokenAnswerError(f"status {status}: {content[:300]!r}")
        return Reply(status, content, self._first_event_s - started_s, ended_s - started_s)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _unchunked(data: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while True:
        line = data.index(b"\r\n", at)
        size = int(data[at:line], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(data[line + 2 : line + 2 + size])
        if data[line + 2 + size : line + 4 + size] != b"\r\n":
            raise BrokenAnswerError("a chunk is not as long as it says")
        at = line + 4 + size
