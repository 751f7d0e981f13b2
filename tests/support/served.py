"""An application of this process on a real port: for clients that block, and for those who want real HTTP."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

import uvicorn

T = TypeVar("T")


class Served(Generic[T]):
    """`url` is where it listens; `made` what the context manager gave. `call` runs something on its loop."""

    def __init__(self, url: str, made: T, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.made = made
        self._loop = loop

    def call(self, step: Callable[[], None]) -> None:
        """Runs `step` on the server's loop and waits for it."""

        async def run() -> None:
            step()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)


@contextmanager
def served(make: Callable[[], AbstractAsyncContextManager[T]], app_of: Callable[[T], Any]) -> Iterator[Served[T]]:
    """Enters `make()` on a loop in a thread of its own and serves `app_of(made)` until the block ends."""
    ready: list[Served[T] | BaseException] = []
    started, ending = threading.Event(), threading.Event()

    async def main() -> None:
        async with make() as made, _listening(app_of(made)) as url:
            ready.append(Served(url, made, asyncio.get_running_loop()))
            started.set()
            await asyncio.to_thread(ending.wait)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            ready.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(30)
    if isinstance(ready[0], BaseException):
        raise ready[0]
    try:
        yield ready[0]
    finally:
        ending.set()
        thread.join(30)


class _Server(uvicorn.Server):
    """uvicorn, which says when it listens. In a thread it leaves the signals alone."""

    def __init__(self, app: Any) -> None:
        # A connection that a pool has kept is not closed in the moment of its next use.
        quiet = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_keep_alive=120, timeout_graceful_shutdown=1)
        super().__init__(quiet)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def _listening(app: Any) -> AsyncIterator[str]:
    server = _Server(app)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        await server.listening.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
