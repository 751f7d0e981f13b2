"""The loopback connection on which answers are posted to the Runtime API.

A plain non-blocking socket: a write is one system call on the path of every token, and the loop is only asked when the
socket's buffer is full. The connection is kept between invocations and opened anew when the other side has closed it.
"""

import asyncio
import socket

from lambda_stream import protocol

_RECEIVE_BYTES = 4096


class StreamClosedError(OSError):
    """The Runtime API stopped reading this response; nothing more can be written to it."""


class ResponseConnection:
    """Posts one streamed response at a time: `open`, any number of `write`, then `finish` or `fail`, then `acknowledged`.

    `address` is host:port, the value of AWS_LAMBDA_RUNTIME_API. Every method raises StreamClosedError when nobody reads.
    """

    def __init__(self, address: str, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self._loop = loop
        self._socket: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def open(self, head: bytes, first_chunks: bytes) -> None:
        """Begin a response. `first_chunks` are framed already, so that a short answer leaves in one packet."""
        if self._socket is None or _is_closed(self._socket):
            self.close()
            self._socket = self._connect()
        await self._send(head + first_chunks)

    async def write(self, data: bytes) -> None:
        """Send `data` at once as one chunk; returns when the kernel has taken it. Empty data is skipped."""
        if data:
            await self._send(b"%x\r\n%b\r\n" % (len(data), data))

    async def finish(self) -> None:
        """End the response well."""
        await self._send(protocol.LAST_CHUNK)

    async def fail(self, error: BaseException, invoke_id: str) -> None:
        """End the response with `error` in its trailers."""
        await self._send(protocol.last_chunk_with_error(error, invoke_id))

    async def acknowledged(self) -> int:
        """Wait for the Runtime API's answer to the POST; its status code (202 is good)."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += await self._receive()
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
        await self._skip_body(fields, rest)
        return int(lines[0].split(b" ", 2)[1])

    async def _skip_body(self, fields: dict[bytes, bytes], rest: bytes) -> None:
        length = fields.get(b"content-length")
        if length is None or fields.get(b"connection", b"").strip() == b"close":
            self.close()
            return
        missing = int(length) - len(rest)
        if missing < 0:
            self.close()
        while missing > 0:
            missing -= len(await self._receive())

    def _connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        try:
            connected = socket.create_connection((host, int(port)))
        except OSError as error:
            raise StreamClosedError(f"cannot connect to the Runtime API at {self.address}: {error}") from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        return connected

    async def _send(self, data: bytes) -> None:
        if self._socket is None:
            raise StreamClosedError("the Runtime API has closed this response")
        try:
            sent = 0 if self._waiting else _send_now(self._socket, data)
        except OSError as error:
            raise self._broken(error) from error
        if sent != len(data):
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, data: memoryview) -> None:
        """One writer after the other: apps may send from several tasks, and what one of them sends must stay in one piece.
        Those that wait are counted: between two turns the lock is free, and whoever came then would begin before them."""
        self._waiting += 1
        try:
            async with self._turn:
                await self._send_alone(data)
        finally:
            self._waiting -= 1

    async def _send_alone(self, data: memoryview) -> None:
        if self._socket is None:
            raise StreamClosedError("the Runtime API has closed this response")
        try:
            await self._loop.sock_sendall(self._socket, data)
        except OSError as error:
            raise self._broken(error) from error
        except BaseException:
            self.close()  # in the middle of a chunk: whatever followed would be read as the rest of it
            raise

    def _broken(self, error: OSError) -> StreamClosedError:
        self.close()
        return StreamClosedError(f"the Runtime API has closed this response: {error}")

    async def _receive(self) -> bytes:
        if self._socket is None:
            raise StreamClosedError("the Runtime API has closed this response")
        try:
            received = await self._loop.sock_recv(self._socket, _RECEIVE_BYTES)
        except OSError as error:
            self.close()
            raise StreamClosedError(f"the Runtime API did not acknowledge the response: {error}") from error
        if not received:
            self.close()
            raise StreamClosedError("the Runtime API did not acknowledge the response: connection closed")
        return received

    def close(self) -> None:
        """Drop the connection; a response in flight is broken off. The next `open` connects anew."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _send_now(connected: socket.socket, data: bytes) -> int:
    try:
        return connected.send(data)
    except BlockingIOError:
        return 0


def _is_closed(connected: socket.socket) -> bool:
    """Whether an idle kept connection is unusable: closed, or holding bytes that answer nothing we asked."""
    try:
        connected.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
