"""aimock, the third-party mock of the providers, as a process (npm @copilotkit/aimock, installed in .tools/node)."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import ROOT, require

_SCRIPT = ROOT / ".tools/node/node_modules/@copilotkit/aimock/dist/cli.js"


@contextmanager
def aimock(fixtures: Path, *options: str) -> Iterator[str]:
    """A mock that answers by `fixtures` (a file or a folder); gives its address. Skips loudly without Node."""
    node = shutil.which("node")
    require(node is not None and _SCRIPT.is_file(), "aimock (Node 20 and `make node`)")
    assert node is not None
    port = free_port()
    command = [node, str(_SCRIPT), "-p", str(port), "-f", str(fixtures), "--validate-on-load", "--log-level", "warn", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("aimock did not start")
