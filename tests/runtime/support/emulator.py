"""The real Lambda Runtime Interface Emulator, and functions running under it."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.runtime.support.coverage import coverage_variables
from tests.runtime.support.events import make_rest_event
from tests.runtime.support.folders import APPS, ROOT, RUNTIME
from tests.support.ports import free_port

_PATIENCE_S = 30.0


def find_emulator() -> Path | None:
    """The Lambda Runtime Interface Emulator: from the SAM tool environment, or where PLLM_RIE says."""
    tools = ROOT / ".tools" / "sam"
    found = sorted(tools.glob("lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"))
    if found:
        return found[0]
    named = os.environ.get("PLLM_RIE")
    return Path(named) if named and Path(named).exists() else None


class Emulated:
    """A function running under the emulator."""

    def __init__(self, port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """Everything the emulator and the function printed so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, words: str, times: int = 1) -> str:
        """The log once it has `words` so often. The emulator passes on what a function prints, which may take longer than
        the answer."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while (log := self.log).count(words) < times:
            assert time.monotonic() < deadline_s, f"{words!r} is not in the log {times} times:\n{log}"
            time.sleep(0.01)
        return log

    def invoke(self, event: bytes) -> tuple[int, bytes]:
        """Status and body of the emulator's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("POST", "/2015-03-31/functions/function/invocations", body=event)
            response = connection.getresponse()
            return response.status, response.read()

    def get(self, target: str) -> tuple[dict[str, Any], bytes]:
        """Prelude and body of the streamed answer to GET `target`."""
        _, payload = self.invoke(make_rest_event(target))
        prelude, nuls, body = payload.partition(b"\0" * 8)
        assert nuls, payload[:300]
        return json.loads(prelude), body


@contextlib.contextmanager
def emulated(
    emulator: Path,
    log: Path,
    handler: str = "served_app.app",
    mode: str = "stream",
    variables: Mapping[str, str] | None = None,
) -> Iterator[Emulated]:
    """Start `handler` under the emulator, through the layer's own exec wrapper, as the managed runtime would be.
    `variables` are set over the function's environment."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": os.pathsep.join((str(RUNTIME), str(APPS))),
        "LAMBDA_STREAM_MODE": mode,
        "PYTHONUNBUFFERED": "1",
        **coverage_variables(),
        **(variables or {}),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(emulator),
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{port}",
                "--runtime-api-address",
                f"127.0.0.1:{free_port()}",
                shutil.which("sh") or "/bin/sh",
                str(RUNTIME / "bootstrap-wrapper"),
                sys.executable,
                handler,
            ],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=log.parent,
        )
    try:
        _wait_until_it_listens(port)
        yield Emulated(port, log, process)
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE_S)


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise TimeoutError(f"the emulator does not listen on port {port}")
