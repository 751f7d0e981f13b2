"""One execution environment: a worker process, its Runtime API, and the invocation it is busy with."""

import asyncio
import enum
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO

import lambda_stream
from lambda_stream.local.invocation import Invocation
from lambda_stream.local.runtime_api import RuntimeApiConnection
from lambda_stream.local.specs import FunctionSpec, Limits

logger = logging.getLogger(__name__)

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_REGION = "us-east-1"
_STOP_TIMEOUT_S = 2.0
CLOSED = "the local Lambda was closed"

Output = IO[bytes] | int | None


class State(enum.Enum):
    """Where an environment is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DEAD = "dead"


class Environment:
    """Starts cold; calls `on_idle` whenever it can take an invocation, and `on_dead` once, with the reason, at its end."""

    def __init__(
        self,
        spec: FunctionSpec,
        limits: Limits,
        output: Output,
        on_idle: Callable[["Environment"], None],
        on_dead: Callable[["Environment", str], None],
    ) -> None:
        self.state = State.STARTING
        self.was_ready = False
        self._spec = spec
        self._limits = limits
        self._output = output
        self._on_idle = on_idle
        self._on_dead = on_dead
        self._server: asyncio.Server | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._connection: RuntimeApiConnection | None = None
        self._invocation: Invocation | None = None
        self._is_answered = False
        self._death_reason: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, once it is started."""
        return self._process.pid if self._process is not None else None

    async def live(self) -> None:
        """Start the worker and stay with it until it ends."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: RuntimeApiConnection(self), "127.0.0.1", 0)
            port = self._server.sockets[0].getsockname()[1]
            self._process = await asyncio.create_subprocess_exec(
                self._spec.python,
                "-m",
                "lambda_stream",
                self._spec.handler,
                env=worker_environment(self._spec, port),
                cwd=self._spec.code_paths[0] if self._spec.code_paths else None,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                # Ctrl-C in the terminal is for the parent, which then ends its workers in order.
                start_new_session=True,
            )
            self._limit(self._limits.init_timeout_s, "its init phase")
            code = await self._process.wait()
            self._die(self._death_reason or f"the runtime exited with status {code}")
        except OSError as error:
            self._die(f"the worker could not be started: {error}")
        finally:
            await self._clean_up()

    def dispatch(self, invocation: Invocation) -> None:
        """Hand `invocation` to the waiting worker."""
        assert self.state is State.IDLE
        assert self._connection is not None
        connection, self._connection = self._connection, None
        self.state = State.BUSY
        self._invocation = invocation
        self._is_answered = False
        self._limit(self._spec.timeout_s, f"Task timed out after {self._spec.timeout_s:.2f} seconds")
        deadline_ms = int((time.time() + self._spec.timeout_s) * 1000)
        headers = (
            f"Lambda-Runtime-Aws-Request-Id: {invocation.id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:{_REGION}:000000000000:function:{self._spec.name}\r\n"
            f"Lambda-Runtime-Trace-Id: Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0\r\n"
            f"Lambda-Runtime-Invocation-Id: {invocation.invocation_id}\r\n"
        )
        connection.send(200, invocation.event, headers)

    def kill(self, reason: str) -> None:
        """End the worker at once, as Lambda ends an environment that broke a rule."""
        self._death_reason = self._death_reason or reason
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    # What the Runtime API calls.

    def next_requested(self, connection: RuntimeApiConnection) -> None:
        """The worker is ready; an invocation it has not answered has failed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._invocation is not None:
            self._invocation.fail("the runtime asked for the next event without an answer to this one")
            self._invocation = None
        self._connection = connection
        self.state = State.IDLE
        self.was_ready = True
        self._on_idle(self)

    def take_answer(self, invoke_id: str) -> Invocation | None:
        """The current invocation, when it is `invoke_id` and nobody has answered it."""
        if self._invocation is None or self._invocation.id != invoke_id or self._is_answered:
            return None
        self._is_answered = True
        return self._invocation

    def init_failed(self, reason: str) -> None:
        """The function's module did not load, or a restore hook failed."""
        self.kill(reason)

    # Its end.

    def _limit(self, seconds: float, what: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self.kill, what)

    def _die(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        invocation, self._invocation = self._invocation, None
        was, self.state = self.state, State.DEAD
        if invocation is not None:
            invocation.fail(reason)
        if was is not State.DEAD:
            self._on_dead(self, reason)

    async def _clean_up(self) -> None:
        self._die(CLOSED)
        if self._process is not None and self._process.returncode is None:
            await _end_process(self._process)
        if self._server is not None:
            self._server.close()


async def _end_process(process: asyncio.subprocess.Process) -> None:
    """SIGTERM first: a worker that measures its coverage writes it then."""
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def worker_environment(spec: FunctionSpec, runtime_api_port: int) -> dict[str, str]:
    """The environment variables of a worker: Lambda's own, the function's, and the few a process needs to run at all."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    here = str(Path(lambda_stream.__file__).parent.parent)
    path = os.pathsep.join((*spec.code_paths, here))
    own = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime_api_port}",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"local/[$LATEST]{uuid.uuid4().hex}",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "LAMBDA_STREAM_MODE": spec.mode,
        "LAMBDA_TASK_ROOT": spec.code_paths[0] if spec.code_paths else str(Path.cwd()),
        "PYTHONUNBUFFERED": "1",
        "TZ": ":UTC",
        "_HANDLER": spec.handler,
    }
    given = dict(spec.env)
    extra_path = given.pop("PYTHONPATH", "")
    return inherited | own | given | {"PYTHONPATH": os.pathsep.join(filter(None, (path, extra_path)))}
