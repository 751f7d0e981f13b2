"""DynamoDB Local (the real thing's own stand-in, a Java program) and the table's shape."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.ports import free_port
from tests.support.processes import ROOT, require

if TYPE_CHECKING:
    from pllm.state.table import DynamoStore

_EMULATOR = ROOT / ".tools" / "dynamodb"
# It lives for seconds: compiling its code well costs more than it brings, and starting takes half as long without.
_JVM = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
_PATIENCE_S = 60
_TRIES = 3


@cache
def _session() -> Any:
    """One for all: a session reads a megabyte of descriptions before its first client."""
    import boto3

    return boto3.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1")


def client_of(endpoint: str | None = None) -> Any:
    """boto3's client for a DynamoDB Local, which takes any credentials; without an endpoint for AWS, in whose place moto
    answers."""
    return _session().client("dynamodb", endpoint_url=endpoint)


@contextmanager
def table_of(client: Any, name: str) -> Iterator["DynamoStore"]:
    """A store over a table of that name, which is gone when the block ends: many modules share one DynamoDB Local."""
    from pllm.state.table import DynamoStore

    create_table(client, name)
    store = DynamoStore(lambda: client, name)
    try:
        yield store
    finally:
        store.close()
        client.delete_table(TableName=name)
        client.close()  # its connections; it makes new ones if it is used again


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
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Somebody else may take a port between its being found free and being used: then another one is tried, unless
        the address is known already."""
        for _ in range(1 if self._port else _TRIES):
            port = self._port or free_port()
            self._process = self._run(port)
            if _answers(port, self._process):
                self._port = port
                return
            self.stop()
        raise AssertionError("DynamoDB Local did not start")

    def _run(self, port: int) -> "subprocess.Popen[bytes]":
        command = ["java", *_JVM, "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
        options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
        quiet = subprocess.DEVNULL
        return subprocess.Popen([*command, *options], cwd=self._folder, stdout=quiet, stderr=quiet)

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


def _answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Waits until DynamoDB answers there, by its own words. Whoever else listens there would keep a test waiting for ever."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if "dynamodb" in _said(port):
            return process.poll() is None
        time.sleep(0.1)
    return False


def _said(port: int) -> str:
    """The server's answer to a request without a signature; nothing while there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode("utf-8", "replace").lower()
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
