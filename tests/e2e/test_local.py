"""`pllm local` as a process: what it says, what it survives, and the real model."""

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import httpx
import openai
import pytest
from tests.support.processes import COLD_S, LOCAL_KEY, Running, pllm_local, require
from tests.support.upstream_thread import UpstreamThread

from pllm.local import model

BEARER = {"authorization": f"Bearer {LOCAL_KEY}"}


def test_the_banner_gives_what_is_needed_to_start(local: Running) -> None:
    for part in (local.url, LOCAL_KEY, "DEMO upstream", "curl -N", "from openai import OpenAI"):
        assert part in local.banner


def test_the_banners_curl_and_python_lines_work(local: Running) -> None:
    lines = local.banner.splitlines()
    start = next(n for n, line in enumerate(lines) if line.strip().startswith("curl"))
    curl = "\n".join(lines[start : start + 2])
    answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=60, check=True).stdout
    assert answer.endswith("data: [DONE]\n\n")
    first = next(n for n, line in enumerate(lines) if "from openai" in line)
    code = "\n".join(line[2:] for line in lines[first : first + 5])
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.endswith("You said: Hello!")


def test_paths_reach_their_function(local: Running) -> None:
    assert httpx.get(f"{local.url}/health", timeout=COLD_S).json() == {"status": "ok"}
    assert httpx.get(f"{local.url}/api/v1/models", headers=BEARER, timeout=COLD_S).status_code == 200
    assert httpx.get(f"{local.url}/metrics", timeout=COLD_S).status_code == 401


def _workers(parent: int) -> list[int]:
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()[1:]]
    return [int(pid) for pid, ppid, args in rows if int(ppid) == parent and "lambda_stream" in args]


def test_a_worker_killed_in_mid_stream_breaks_that_stream_and_nothing_else() -> None:
    with UpstreamThread() as upstream:
        first = b'data: {"choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}]}\n\n'
        held = threading.Event()
        upstream.stream_then_wait(first, held)
        config = upstream.config("m")
        with pllm_local("--workers", "1", "--config", str(config)) as running:
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
            with (
                pytest.raises(httpx.RemoteProtocolError),
                httpx.stream("POST", f"{running.url}/v1/chat/completions", json=body, headers=BEARER, timeout=30) as stream,
            ):
                pieces = stream.iter_bytes()
                assert b"one" in next(pieces)
                (worker,) = _workers(running.process.pid)
                os.kill(worker, signal.SIGKILL)
                list(pieces)
            held.set()
            assert httpx.get(f"{running.url}/v1/models", headers=BEARER, timeout=30).status_code == 200
            assert _workers(running.process.pid) != [worker]


def test_a_bad_configuration_is_refused_with_every_mistake(tmp_path: Any) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("modle_list: []\nrouter:\n  retries: many\n")
    done = subprocess.run(
        [sys.executable, "-m", "pllm.cli", "local", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"{config}:1:1: error: unknown key 'modle_list'" in done.stderr
    assert f"{config}:3:" in done.stderr


def test_a_taken_port_is_said_plainly(local: Running) -> None:
    port = local.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "pllm.cli", "local", "--model", "demo", "--port", port],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr


@pytest.mark.needs_model
@pytest.mark.slow
def test_the_real_models_tokens_arrive_one_by_one() -> None:
    require(model.installed(), "the embedded model (make run installs it)")
    with pllm_local("--model", "real") as running, openai.OpenAI(base_url=f"{running.url}/v1", api_key=LOCAL_KEY) as sdk:
        assert "real model" in running.banner
        chunks = list(
            sdk.chat.completions.create(
                model="local",
                messages=[{"role": "user", "content": "Count from one to five."}],
                stream=True,
                max_tokens=24,
                temperature=0,
            )
        )
        words = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
        assert len(words) > 5
        assert chunks[-1].choices[0].finish_reason in ("stop", "length")
