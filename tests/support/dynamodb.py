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


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """A fresh in-memory DynamoDB Local; gives its endpoint."""
    folder = emulator()
    require(folder is not None, "DynamoDB Local (Java 17 and `make node`)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["java", "-Xmx512m", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    process = subprocess.Popen([*command, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
        time.sleep(0.1)
    raise AssertionError("DynamoDB Local did not start")
