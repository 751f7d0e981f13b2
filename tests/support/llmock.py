"""llmock, somebody else's mock provider that breaks on demand and judges its client, as a process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from tests.support.ports import free_port


class Llmock:
    """A running llmock, by its control API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._http.close()

    def will(self, *behaviors: dict[str, Any]) -> None:
        self._http.post("/_llmock/reset").raise_for_status()
        self._http.post("/_llmock/scenario", json={"behaviors": behaviors}).raise_for_status()

    def relent(self) -> None:
        """What it was told to do is over; what it has seen stays."""
        self._http.delete("/_llmock/scenario").raise_for_status()

    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get("/_llmock/verdict").raise_for_status().json()
        return found

    def findings(self) -> list[str]:
        return [finding["code"] for finding in self.verdict()["findings"]]

    def seen(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._http.get("/_llmock/requests").raise_for_status().json()["requests"]
        return found


@contextmanager
def running_llmock(*options: str) -> Iterator[Llmock]:
    port = free_port()
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "warning", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        server = Llmock(f"http://127.0.0.1:{port}")
        _wait_until_it_answers(server.url, process)
        yield server
        server.close()
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            httpx.get(f"{url}/health")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("llmock did not start")
