"""The official openai SDK for Node, unchanged."""

import json
import shutil
import subprocess

import pytest
from tests.support.processes import LOCAL_KEY, ROOT, Running, require

SDK = ROOT / ".tools" / "node" / "node_modules" / "openai"
SCRIPT = ROOT / "tests" / "node" / "chat.mjs"


@pytest.mark.needs_node
def test_the_node_sdk_gets_answers_streams_tools_and_errors(local: Running) -> None:
    require(shutil.which("node") is not None and SDK.is_dir(), "Node with the openai package (npm)")
    done = subprocess.run(
        ["node", str(SCRIPT), str(SDK), f"{local.url}/v1", LOCAL_KEY], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["content"] == "[demo upstream, no model] You said: hello"
    assert told["streamed"] == told["content"]
    assert told["chunks"] > 3
    assert told["usage"] > 0
    assert told["tools"] == ["get_weather"]
    assert told["parsed"] == {"city": "demo"}
    assert told["deployment"].startswith("demo@")
    assert told["error"] == {"status": 404, "code": "model_not_found"}
