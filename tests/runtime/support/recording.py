"""A Runtime API that records what is posted to it, with h11 as the judge of HTTP/1.1."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import h11


@dataclass
class RecordedPost:
    """One POST as h11, the judge of HTTP/1.1, reads it."""

    target: str
    headers: dict[str, str]
    chunks: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def payload(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class RecordingRuntimeApi:
    """Takes responses like the Runtime API and keeps what it read. Its answer and its patience can be set."""

    address: str = ""
    posts: list[RecordedPost] = field(default_factory=list)
    connections: int = 0
    answer: bytes = b'HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{"status":"OK"}'
    hang_up_after_bytes: int | None = None
    completed: asyncio.Event = field(default_factory=asyncio.Event)
    _open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def close(self) -> None:
        """Hang up on everybody."""
        for writer in self._open.values():
            writer.close()
        await asyncio.gather(*self._open)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while await self._one_post(reader):
                writer.write(self.answer)
                await writer.drain()

    async def _one_post(self, reader: asyncio.StreamReader) -> bool:
        judge = h11.Connection(h11.SERVER)
        received = 0
        post: RecordedPost | None = None
        while True:
            event = judge.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                received += len(data)
                if not data or (self.hang_up_after_bytes is not None and received > self.hang_up_after_bytes):
                    return False
                judge.receive_data(data)
            elif isinstance(event, h11.Request):
                headers = {name.decode(): value.decode() for name, value in event.headers}
                post = RecordedPost(event.target.decode(), headers)
                self.posts.append(post)
            elif isinstance(event, h11.Data):
                assert post is not None
                if event.chunk_start:
                    post.chunks.append(b"")
                post.chunks[-1] += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert post is not None
                post.trailers = {name.decode(): value.decode() for name, value in event.headers}
                post.is_complete = True
                self.completed.set()
                return True
            else:
                return False


@contextlib.asynccontextmanager
async def recording_runtime_api() -> AsyncIterator[RecordingRuntimeApi]:
    """A running RecordingRuntimeApi."""
    api = RecordingRuntimeApi()
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield api
    finally:
        server.close()
        await api.close()
