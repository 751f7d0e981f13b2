"""Whole gateways that are quick to start, to be killed: one process imports everything once and forks a worker when it is told.

Run as a process of its own, `python -m tests.support.forked_gateways`, because who forks must have no threads. Each line on
its standard input is the environment of a worker as JSON; each line on its standard output is `pid port` of one that listens.
A worker is the application that Lambda runs, behind uvicorn. Its warnings go to standard error.

The time of day is the controller's: every worker adds the seconds that stand in the file `CLOCK` to the machine's clock.
"""

import asyncio
import gc
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from pllm import bootstrap
from pllm.edge.http import Receive, Scope, Send
from pllm.live import App
from pllm.state.table import connect

CLOCK = "DRILL_CLOCK"
_OFFSET = struct.Struct("d")
_PATIENCE_S = 10.0
_EXPECTED = ("request", "budget nearly spent")


class SharedOffset:
    """Seconds in a file of eight bytes, which many processes read at the price of a memory access."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size)

    def get(self) -> float:
        offset: float = _OFFSET.unpack(self._map[:])[0]
        return offset

    def set(self, seconds: float) -> None:
        self._map[:] = _OFFSET.pack(seconds)


class ShiftedClock:
    """The machine's clocks, with the time of day moved by a shared offset."""

    def __init__(self, offset: SharedOffset) -> None:
        self._offset = offset

    def wall_s(self) -> float:
        return time.time() + self._offset.get()

    def monotonic_s(self) -> float:
        return time.monotonic()


def _complain(line: Mapping[str, Any]) -> None:
    if line.get("level", "INFO") != "INFO" and line.get("message") not in _EXPECTED:
        os.write(2, json.dumps(line).encode() + b"\n")


class OneByOne:
    """What Lambda promises of an environment, for each connection: the next request is taken when the one before is over, and
    that is when it is settled. (uvicorn goes on with the last byte.)"""

    def __init__(self, app: App) -> None:
        self._app = app
        self._turn: defaultdict[Any, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._turn[scope["client"]]:
            await self._app(scope, receive, send)


def _work(environment: dict[str, str], listening: socket.socket) -> None:
    os.environ.clear()
    os.environ.update(environment)
    # A busy machine must not turn an answer of the table into a lost one: what that costs is another test's matter.
    vars(bootstrap)["connect"] = partial(connect, read_timeout_s=_PATIENCE_S)
    clock = ShiftedClock(SharedOffset(Path(environment[CLOCK])))
    app = bootstrap.gateway(environment, _complain, clock)
    uvicorn.Server(uvicorn.Config(OneByOne(app), log_level="error", lifespan="off", access_log=False)).run(sockets=[listening])


def _start(environment: dict[str, str]) -> tuple[int, int]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    port: int = listening.getsockname()[1]
    pid = os.fork()
    if pid == 0:
        sys.stdin.close()
        os.close(1)
        _work(environment, listening)
        os._exit(0)
    listening.close()
    return pid, port


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they are reaped by themselves
    connect("us-east-1", "http://127.0.0.1:1")  # imports boto3
    gc.freeze()
    for line in sys.stdin:
        pid, port = _start(json.loads(line))
        print(pid, port, flush=True)


if __name__ == "__main__":
    main()
