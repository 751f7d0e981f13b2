"""The processes that are measured, and what the operating system knows of them."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-bench"

_CODE = (ROOT / "functions" / "gateway", ROOT / "layers" / "pllm", ROOT / "layers" / "runtime", ROOT)
_START_S = 90.0
_CPU_CLOCK = 2


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers like an OpenAI endpoint. `prefix` goes before /v1 when the model is to be named by the path (the
    upstream itself). `pids` are the processes whose CPU counts as the gateway's; `relay` is what stands before it."""

    name: str
    url: str
    prefix: bool
    pids: tuple[int, ...] = ()
    relay: int | None = None

    def path(self, model: str, endpoint: str = "chat/completions") -> str:
        return f"/{model}/v1/{endpoint}" if self.prefix else f"/v1/{endpoint}"


def cpu_s(pid: int) -> float:
    """User and system time of a process and all its threads, to the nanosecond (Linux: the clock of another process)."""
    return time.clock_gettime((~pid) << 3 | _CPU_CLOCK)


def rss_mb(pid: int) -> float:
    """Resident memory, MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found, f"no memory figure for process {pid}"
    return int(found[1]) / 1000


def children(pid: int, argument: str) -> list[int]:
    """Child processes with `argument` on their command line."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()[1:]]
    return [int(child) for child, parent, command in rows if int(parent) == pid and argument in command]


def configuration(upstream_port: int) -> str:
    """A model for each way the upstream answers, and one behind Bedrock's dialect."""
    address = f"http://127.0.0.1:{upstream_port}"
    names = ("json", "burst-1", "burst-20", "burst-500", "paced-500")
    models = [
        f"  - {{model_name: {name}, params: {{model: compatible/bench, api_base: '{address}/{name}/v1'}}}}" for name in names
    ]
    models += [
        f"  - {{model_name: converse-{name}, params: {{model: bedrock/bench, api_base: '{address}/{name}'}}}}"
        for name in ("burst-1", "burst-500", "paced-500")
    ]
    return "model_list:\n" + "\n".join(models) + "\n"


class Bench:
    """Starts what is measured; everything ends with the `with` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.upstream_port = int(self._stack.enter_context(_process(["-m", "bench.upstream"]))[1])
        self.config = self.folder / "config.yaml"
        self.config.write_text(configuration(self.upstream_port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def variables(self) -> dict[str, str]:
        """The function's environment. The AWS keys are made up: signing with them costs what real ones cost."""
        aws = {"AWS_ACCESS_KEY_ID": "AKIDBENCH", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-east-1"}
        return aws | {"PLLM_CONFIG": str(self.compiled_config()), "PLLM_MASTER_KEY": KEY}

    def compiled_config(self) -> Path:
        """As the build compiles it."""
        target = self.folder / "config.json"
        if not target.exists():
            command = [sys.executable, "-m", "pllm.cli", "config", "compile", str(self.config), "-o", str(target)]
            subprocess.run(command, check=True, env=_environment({}))
        return target

    @property
    def direct(self) -> Target:
        return Target("direct", f"http://127.0.0.1:{self.upstream_port}", prefix=True)

    @cached_property
    def server(self) -> Target:
        """The gateway's application as an ordinary server, as the gateways it is compared with are."""
        port = free_port()
        command = ["-m", "uvicorn", "handler:handler", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--no-access-log", "--log-level", "warning", "--lifespan", "off"]
        process, _ = self._stack.enter_context(_process(command, self.variables, port))
        return Target("gateway as a server", f"http://127.0.0.1:{port}", prefix=False, pids=(process.pid,))

    def local(self, workers: int) -> Target:
        """`pllm local`. Its workers start with the first requests: `workers_of` knows them after these."""
        port = free_port()
        command = ["-m", "pllm.cli", "local", "--port", str(port), "--workers", str(workers), "--config", str(self.config)]
        # Counts are written as seldom as in the cloud: on a laptop it is after each request.
        variables = self.variables | {"PLLM_MASTER_KEY": KEY, "PLLM_FLUSH_SECONDS": "10"}
        process, _ = self._stack.enter_context(_process(command, variables, port))
        return Target(f"pllm local, {workers} workers", f"http://127.0.0.1:{port}", prefix=False, relay=process.pid)

    def relay(self) -> Target:
        """The local relay and a worker, with a trivial application in place of the gateway."""
        port = free_port()
        command = ["-m", "lambda_stream.local", "trivial.app", "--code", str(ROOT / "bench" / "apps")]
        command += ["--port", str(port), "--environments", "1", "--env", f"PYTHONPATH={ROOT}"]
        process, _ = self._stack.enter_context(_process(command, {}, port))
        return Target("local relay alone", f"http://127.0.0.1:{port}", prefix=True, relay=process.pid)


def workers_of(target: Target) -> tuple[int, ...]:
    """The gateway's processes behind a target, once they are up."""
    return target.pids or tuple(children(target.relay, "lambda_stream") if target.relay else ())


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, _CODE)), **variables}


@contextmanager
def _process(
    arguments: list[str], variables: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A Python process that is ready: it listens on `port`, or has printed its first line, which is given."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE if port is None else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(variables or {}),
        text=True,
        start_new_session=True,
    )
    try:
        if port is None:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        else:
            _wait_for(port, process)
            yield process, ""
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()


def _wait_for(port: int, process: "subprocess.Popen[str]") -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"{' '.join(map(str, process.args if isinstance(process.args, list) else []))} did not start")
