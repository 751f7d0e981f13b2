"""DynamoDB Local (the real thing's own stand-in, a Java program) and the table's shape."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, require

_EMULATOR = ROOT / ".tools" / "dynamodb"


def create_table(client: Any, name: str) -> None:
    """As infra/template.yaml makes it, less what only AWS has."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("PK", "SK")],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    )


def emulator() -> Path | None:
    """Where DynamoDB Local lies, None where it or Java is absent."""
    found = Path(os.environ.get("PLLM_DYNAMODB_LOCAL", _EMULATOR))
    return found if (found / "DynamoDBLocal.jar").is_file() and shutil.which("java") else None


class Emulator:
    """A DynamoDB Local that can be killed and started again at the same address; what it held is gone then."""

    def __init__(self) -> None:
        folder = emulator()
        require(folder is not None, "DynamoDB Local (Java 17 and `make node`)")
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = ["java", "-Xmx512m", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
        options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(self._port)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([*command, *options], cwd=self._folder, stdout=quiet, stderr=quiet)
        _wait_for(self._port, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """A fresh in-memory DynamoDB Local; gives its endpoint."""
    local = Emulator()
    try:
        local.start()
        yield local.endpoint
    finally:
        local.stop()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("DynamoDB Local did not start")
