"""The side channel between a test and the apps in worker processes: who goes on, and when, is the test's decision."""

import asyncio
from typing import Self


class GateServer:
    """The test's end of the side channel that served_app.Gate opens."""

    def __init__(self) -> None:
        self.port = 0
        self._accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.close()
        assert self._server is not None
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self._accepted.put((reader, writer))

    @property
    def headers(self) -> dict[str, str]:
        """What a request must carry for its app to find this gate."""
        return {"x-gate-port": str(self.port)}

    async def opened(self) -> "OpenGate":
        """The next gate an app opens."""
        return OpenGate(*await asyncio.wait_for(self._accepted.get(), 20))


class OpenGate:
    """One app waiting at its gate."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def let_pass(self) -> None:
        """Let the app take one more step."""
        self._writer.write(b".")

    async def hear(self) -> str:
        """The next line the app says; "" when it has closed its end."""
        return (await asyncio.wait_for(self._reader.readline(), 20)).decode().strip()
