"""Whole processes under test: started as a user starts them, stopped without leaving anything behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread, Timer

ROOT = Path(__file__).resolve().parents[2]
LOCAL_KEY = "sk-pllm-local"
COLD_S = 60.0
"""How long a client waits for a worker that may have to be started first, on a machine that has other things to do."""


@dataclass(frozen=True)
class Running:
    """A `pllm local` that listens. `banner` is what it said, `log` the lines that it and its workers wrote since."""

    url: str
    banner: str
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)


@contextmanager
def pllm_local(*arguments: str, environment: Mapping[str, str] | None = None, start_s: float = 90.0) -> Iterator[Running]:
    """`pllm local --port 0 ...` in a process group of its own, without the caller's provider keys."""
    clean = {name: value for name, value in os.environ.items() if "_API_KEY" not in name and not name.startswith("PLLM_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pllm.cli", "local", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**clean, "PYTHONUNBUFFERED": "1", **(environment or {})},
        start_new_session=True,
    )
    try:
        running = _ready(process, start_s)
        reader = Thread(target=_read_on, args=(process, running.log))
        reader.start()
    except BaseException:
        _stop(process)
        raise
    try:
        yield running
    finally:
        _stop(process)
        reader.join()


def _ready(process: subprocess.Popen[str], start_s: float) -> Running:
    assert process.stdout is not None
    timer = Timer(start_s, process.kill)
    timer.start()
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                banner = "".join(said)
                found = re.search(r"listening on (http://\S+)", banner)
                assert found, banner
                return Running(found[1], banner, process)
    finally:
        timer.cancel()
    raise AssertionError("pllm local ended before it listened:\n" + "".join(said))


def _read_on(process: subprocess.Popen[str], log: list[str]) -> None:
    """A full pipe would stop the process at its next log line."""
    assert process.stdout is not None
    with process.stdout as output:
        log.extend(output)


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def require(present: bool, what: str) -> None:
    """Skips loudly where an optional tool is absent; fails where CI promised it."""
    import pytest

    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs {what}")
    pytest.skip(f"*** {what} is not here ***")
