"""A configuration published from the command line, and what the gateway's workers answer afterwards, without a restart."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.processes import LOCAL_KEY, Running, pllm_local

BEARER = {"authorization": f"Bearer {LOCAL_KEY}"}
WORKERS = 2
# Five seconds are promised; what a machine under load adds is not the gateway's.
DEADLINE_S = 20.0

pytestmark = pytest.mark.slow


def text(name: str) -> str:
    return f"model_list: [{{model_name: {name}, params: {{model: compatible/x, api_base: 'http://127.0.0.1:9/v1'}}}}]\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = tmp_path_factory.mktemp("deployed") / "config.yaml"
    config.write_text(text("deployed"))
    with pllm_local("--workers", str(WORKERS), "--config", str(config)) as running:
        yield running


def pllm(served: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pllm.cli", "config", *arguments, "--url", f"{served.url}/v1", "--key", LOCAL_KEY]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def models(http: httpx.Client) -> list[str]:
    return [model["id"] for model in http.get("/v1/models").json()["data"]]


def until(holds: Callable[[], bool], what: str) -> float:
    """Seconds until it held; asked again and again, as clients do."""
    started_s = time.monotonic()
    while not holds():
        assert time.monotonic() - started_s < DEADLINE_S, what
    return time.monotonic() - started_s


def test_a_published_version_answers_without_a_restart_and_can_be_gone_back_from(served: Running, tmp_path: Path) -> None:
    new, bad = tmp_path / "new.yaml", tmp_path / "bad.yaml"
    new.write_text(text("fresh"))
    bad.write_text("modle_list: []\n")
    with httpx.Client(base_url=served.url, headers=BEARER, timeout=30) as http:
        assert models(http) == ["deployed"]

        done = pllm(served, "diff", str(new))
        assert (done.returncode, '+      "model_name": "fresh"' in done.stdout) == (0, True), done.stderr
        done = pllm(served, "publish", str(new), "--note", "first")
        assert (done.returncode, done.stdout) == (0, "version 1 is in use, everywhere within 5 seconds\n"), done.stderr
        until(lambda: models(http) == ["fresh"], "the new version is not in use")

        refused = pllm(served, "publish", str(bad))
        assert refused.returncode == 1
        assert "config.yaml:1:1: error: unknown key 'modle_list'" in refused.stderr
        late = pllm(served, "publish", str(new), "--expect", "0")
        assert (late.returncode, "Version 1 is in use, not 0" in late.stderr) == (1, True)
        assert models(http) == ["fresh"]

        listed = pllm(served, "versions").stdout.splitlines()
        assert [line.split()[:2] for line in listed] == [["*", "1"], ["0", "as"]]
        assert listed[0].endswith("first")

        assert pllm(served, "rollback", "0").returncode == 0
        until(lambda: models(http) == ["deployed"], "the deployed configuration is not in use again")
