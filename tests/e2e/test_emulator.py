"""The deployed data plane under AWS's own Lambda Runtime Interface Emulator: every event of events/ is served."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.runtime.support.emulator import Emulated, emulated, find_emulator
from tests.support.processes import LOCAL_KEY, ROOT, require

EVENTS = ROOT / "events"

# What each event must be answered with. An event without a row here fails the test below.
STATUS = {
    "api-v1-mirror": 200,
    "bad-json": 400,
    "base64-body": 200,
    "chat": 200,
    "chat-azure-key": 200,
    "chat-stream": 200,
    "chat-unicode": 200,
    "chat-x-api-key": 200,
    "empty-body": 400,
    "health": 200,
    "key-in-query": 401,
    "model": 200,
    "model-unknown": 404,
    "models": 200,
    "no-messages": 400,
    "query": 200,
    "ready": 200,
    "structured-output": 200,
    "tools": 200,
    "tools-stream": 200,
    "unauthorized": 401,
    "unknown-model": 404,
    "unknown-path": 404,
    "wrong-key": 401,
    "wrong-method": 405,
    "wrong-type": 400,
}


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """The demo upstream as a process of its own; gives its base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pllm.local.demo", "--port", "0", "--delay", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module", params=["stream", "buffered"])
def function(request: pytest.FixtureRequest, demo: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    found = find_emulator()
    require(found is not None, "the Lambda Runtime Interface Emulator (the aws-sam-cli wheel in .tools/sam)")
    assert found is not None
    folder = tmp_path_factory.mktemp("gateway")
    config = folder / "config.yaml"
    config.write_text(f"model_list: [{{model_name: demo, params: {{model: compatible/demo, api_base: '{demo}'}}}}]\n")
    paths = (ROOT / "functions" / "gateway", ROOT / "layers" / "pllm", ROOT / "layers" / "runtime")
    variables = {
        "PLLM_CONFIG": str(config),
        "PLLM_MASTER_KEY": LOCAL_KEY,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    with emulated(found, folder / "log", "handler.handler", request.param, variables) as running:
        yield running


def answer(function: Emulated, event: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower-case) and body, in either mode."""
    _, payload = function.invoke(event)
    head, nuls, body = payload.partition(b"\0" * 8)
    told = json.loads(head)
    if not nuls:
        text = told["body"].encode()
        body = base64.b64decode(text) if told.get("isBase64Encoded") else text
    headers = {name.lower(): value for name, value in told.get("headers", {}).items()}
    headers |= {name.lower(): values[0] for name, values in told.get("multiValueHeaders", {}).items()}
    return told["statusCode"], headers, body


def test_every_event_has_an_expected_answer() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == STATUS.keys()


@pytest.mark.parametrize("name", sorted(STATUS))
def test_an_event_is_answered(function: Emulated, name: str) -> None:
    status, headers, body = answer(function, (EVENTS / f"{name}.json").read_bytes())
    assert status == STATUS[name], body
    assert headers["x-request-id"]
    if status >= 400:
        assert json.loads(body)["error"]["message"]
    elif name.endswith("-stream"):
        assert headers["content-type"].startswith("text/event-stream")
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(body)


def test_the_same_conversation_as_over_http(function: Emulated) -> None:
    _, _, body = answer(function, (EVENTS / "chat-unicode.json").read_bytes())
    sent = json.loads(json.loads((EVENTS / "chat-unicode.json").read_text())["body"])
    said: dict[str, Any] = json.loads(body)
    assert sent["messages"][-1]["content"] in said["choices"][0]["message"]["content"]


def test_each_request_leaves_one_metric_line_and_no_words(function: Emulated) -> None:
    ids = [answer(function, (EVENTS / f"{name}.json").read_bytes())[1]["x-request-id"] for name in ("chat", "health")]
    # A metric line and a log line for each request, after its last byte.
    log = [function.wait_for(f'"request_id":"{one}"', 2) for one in ids][-1]
    lines = [line for line in log.splitlines() if '"CloudWatchMetrics"' in line]
    assert [sum(one in line for line in lines) for one in ids] == [1, 1]
    assert "rivers" not in log
    assert LOCAL_KEY not in log
