"""An upstream that does exactly what a script says, down to the byte: the way to be hurt on purpose.

A script is a list of steps: bytes are sent, `Hang` waits until the client goes away or the test releases it, `Cut` closes the
connection, `Reset` breaks it. One script answers one request; requests are kept for inspection.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any


@dataclass(frozen=True)
class Cut:
    """Close the connection here."""


@dataclass(frozen=True)
class Reset:
    """Break the connection here, by an RST. What the client had not taken from its socket is lost."""


@dataclass(frozen=True)
class Hang:
    """Say nothing until the client is gone, or until `released` is set."""

    released: asyncio.Event | None = None


Step = bytes | Cut | Reset | Hang


@dataclass
class Seen:
    """One request as it arrived. Header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Upstream:
    base_url: str = ""
    requests: list[Seen] = field(default_factory=list)
    scripts: list[Sequence[Step]] = field(default_factory=list)
    greeting: bytes = b""
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self, *steps: Step) -> None:
        """The next request is answered so. The last script stays for all that follow."""
        self.scripts.append(steps)

    def will_answer(self, body: Any, status: int = 200, **headers: str) -> None:
        self.will(whole(json.dumps(body).encode(), status, **{"content_type": "application/json", **headers}))

    def will_stream(self, *events: bytes, end: Sequence[Step] = (b"0\r\n\r\n",)) -> None:
        """SSE events, one HTTP chunk each; `end` is what follows (a clean end by default)."""
        self.will(STREAM_HEAD, *(chunk(event) for event in events), *end)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            writer.write(self.greeting)
            while (seen := await _read_request(reader)) is not None:
                self.requests.append(seen)
                self.asked.set()
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                for step in script:
                    if isinstance(step, Cut):
                        return
                    if isinstance(step, Reset):
                        _reset(writer)
                        return
                    if isinstance(step, Hang):
                        await self._hang(reader, step)
                        continue
                    writer.write(step)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()

    async def _hang(self, reader: asyncio.StreamReader, step: Hang) -> None:
        if step.released is not None:
            await step.released.wait()
            return
        if not await reader.read(1):
            self.hung_up.set()
            raise ConnectionResetError


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def whole(body: bytes, status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def event(value: Any) -> bytes:
    """An SSE event holding JSON, or raw text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}\n\n".encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body)


@asynccontextmanager
async def upstream(tls: SSLContext | None = None) -> AsyncIterator[Upstream]:
    state = Upstream()
    server = await asyncio.start_server(state._serve, "127.0.0.1", 0, ssl=tls)
    state.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
        await server.wait_closed()
