"""From an environment to a gateway."""

import ast
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.upstream_thread import UpstreamThread

from pllm import bootstrap
from pllm.bootstrap import gateway
from pllm.core.catalogue import CatalogueError
from pllm.core.clock import Clock
from pllm.core.config import ConfigError, compile_config
from pllm.core.config.loader import load
from pllm.core.errors import GatewayError
from pllm.live import App
from pllm.providers.transport import AiohttpTransport
from pllm.startup import Settings, read_config

ONE = "model_list: [{model_name: m, params: {model: gpt-4}}]\n"


def written(folder: Path, text: str = ONE) -> str:
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


def client(app: App) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway")


async def test_a_gateway_comes_up_from_its_environment(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    environment = {"PLLM_CONFIG": written(tmp_path), "PLLM_MASTER_KEY": "k", "OPENAI_API_KEY": "sk"}
    async with client(gateway(environment, lines.append)) as http:
        assert (await http.get("/ready")).status_code == 200
        listing = await http.get("/v1/models", headers={"authorization": "Bearer k"})
        assert [m["id"] for m in listing.json()["data"]] == ["m"]
    assert not [line for line in lines if line.get("message") == "configuration"]


async def test_the_configuration_says_how_large_a_body_may_be(tmp_path: Path) -> None:
    environment = {
        "PLLM_CONFIG": written(tmp_path, ONE + "limits: {max_body: 1KB}\n"),
        "PLLM_MASTER_KEY": "k",
        "OPENAI_API_KEY": "sk",
    }
    async with client(gateway(environment, lambda line: None)) as http:
        answer = await http.post("/v1/chat/completions", headers={"authorization": "Bearer k"}, content=b"x" * 1001)
        assert answer.status_code == 413
        assert "is 1001 bytes, larger than the 1000 bytes" in answer.json()["error"]["message"]


async def test_ready_names_what_is_missing_and_the_log_says_why(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    async with client(gateway({"PLLM_CONFIG": written(tmp_path)}, lines.append)) as http:
        answer = await http.get("/ready")
        assert answer.status_code == 503
        assert len(answer.json()["missing"]) == 2
        refused = await http.get("/v1/models", headers={"authorization": "Bearer "})
        assert refused.status_code == 401
    assert any("OPENAI_API_KEY" in str(line.get("warning")) for line in lines)


def test_a_compiled_configuration_is_the_same_as_its_yaml(tmp_path: Path) -> None:
    loaded = load(ONE, "config.yaml")
    compiled = tmp_path / "config.json"
    compiled.write_bytes(compile_config(loaded.config, loaded.warnings, "config.yaml"))
    assert read_config(str(compiled)).etag == read_config(written(tmp_path)).etag


def test_a_bad_configuration_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        gateway({"PLLM_CONFIG": written(tmp_path, "modle_list: []")}, lambda line: None)


async def listed(environment: dict[str, str]) -> dict[str, Any]:
    async with client(gateway(environment, lambda line: None)) as http:
        answer = await http.get("/v1/models/m", headers={"authorization": "Bearer k"})
        found: dict[str, Any] = answer.json()
        return found


async def test_models_are_known_from_the_packaged_catalogue_and_an_operators_goes_before_it(tmp_path: Path) -> None:
    environment = {"PLLM_CONFIG": written(tmp_path), "PLLM_MASTER_KEY": "k", "OPENAI_API_KEY": "sk"}
    packaged = await listed(environment)
    assert (packaged["max_input_tokens"], packaged["pricing"]["input"]) == (8192, 30.0)
    mine = tmp_path / "models.json"
    row = {"prices": {"input": 1_000_000, "output": 2_000_000}, "source": "our contract", "as_of": "2026-12-24"}
    mine.write_text(json.dumps({"schema": 1, "version": "2026-12-24", "models": {"openai": {"gpt-4": row}}}))
    own = await listed({**environment, "PLLM_CATALOGUE": str(mine)})
    assert own["max_input_tokens"] == 8192
    assert own["pricing"] == {"currency": "USD", "version": "2026-12-24", "input": 1.0, "output": 2.0}


def test_a_bad_catalogue_stops_the_start(tmp_path: Path) -> None:
    bad = tmp_path / "models.json"
    bad.write_text('{"schema": 1}')
    with pytest.raises(CatalogueError, match="'version' must be"):
        gateway({"PLLM_CONFIG": written(tmp_path), "PLLM_CATALOGUE": str(bad)}, lambda line: None)


def test_settings_have_defaults_and_blank_means_unset() -> None:
    settings = Settings.of({"PLLM_SECRET_ARN": "", "PLLM_TABLE": "", "AWS_REGION": ""})
    assert settings == Settings()
    named = Settings.of({"AWS_LAMBDA_FUNCTION_NAME": "stack-Gateway", "AWS_REGION": "eu-west-1", "PLLM_TABLE": "t"})
    assert (named.function, named.region, named.table) == ("stack-Gateway", "eu-west-1", "t")


NOT_FOR_THE_START = (
    *("yaml", "pydantic", "boto3", "starlette", "fastapi", "openai"),
    *("pllm.core.request_trace", "pllm.telemetry.otlp", "pllm.telemetry.spans"),
    *("pllm.core.probing", "pllm.probing", "pllm.edge.usage", "pllm.core.usage_report"),
    *("pllm.asked", "pllm.wire.neutral", "pllm.wire.translator", "pllm.wire.translated", "pllm.providers.media"),
    *("pllm.wire.anthropic_messages", "pllm.wire.openai_responses", "pllm.wire.bedrock_converse", "pllm.wire.gemini"),
    *("pllm.holding", "pllm.state.gate", "pllm.state.gate_exact", "pllm.core.limit_answers"),
)
"""Modules that a gateway does not load for a configuration of Chat models, limits none."""


def loaded_by(code: str, config: str, folder: Path) -> list[str]:
    """Which of them a fresh process has loaded after `code`, in which CONFIG is the compiled configuration's path."""
    loaded = load(config, "config.yaml")
    compiled = folder / "config.json"
    compiled.write_bytes(compile_config(loaded.config, loaded.warnings, "config.yaml"))
    whole = f"CONFIG = {str(compiled)!r}\n{code}\nimport sys\nprint([one for one in {NOT_FOR_THE_START} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=60, check=True)
    found: list[str] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found


WITH_A_TABLE = """
from pllm.bootstrap import gateway
gateway({'PLLM_CONFIG': CONFIG, 'OPENAI_API_KEY': 'k', 'PLLM_TABLE': 't'}, lambda line: None)
"""

ONE_REQUEST = """
import asyncio, json
from pllm.bootstrap import gateway

async def main():
    app = gateway({'PLLM_CONFIG': CONFIG, 'PLLM_MASTER_KEY': 'k'}, lambda line: None)
    body = json.dumps({'model': 'm', 'stream': True, 'messages': [{'role': 'user', 'content': 'hi'}]}).encode()
    sent = []
    async def receive():
        return {'type': 'http.request', 'body': body, 'more_body': False}
    async def send(message):
        sent.append(message)
    headers = [(b'authorization', b'Bearer k'), (b'content-type', b'application/json')]
    scope = {'type': 'http', 'method': 'POST', 'path': '/v1/chat/completions', 'headers': headers}
    await app(scope, receive, send)
    assert sent[0]['status'] == 200 and b''.join(one['body'] for one in sent[1:]).endswith(b'[DONE]\\n\\n'), sent

asyncio.run(main())
"""


def test_a_cold_start_loads_what_requests_of_its_configuration_need(tmp_path: Path) -> None:
    assert loaded_by(WITH_A_TABLE, ONE, tmp_path) == []


def test_a_configuration_that_limits_something_has_its_gates_loaded_at_the_start(tmp_path: Path) -> None:
    limited = f"{ONE}\nlimits: {{models: {{m: {{rpm: 1}}}}}}\n"
    assert loaded_by(WITH_A_TABLE, limited, tmp_path) == ["pllm.state.gate", "pllm.core.limit_answers"]


def test_a_first_request_that_needs_no_translation_loads_no_more_than_the_start(tmp_path: Path) -> None:
    event = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    over = threading.Event()
    over.set()
    with UpstreamThread() as provider:
        provider.stream_then_wait(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode(), over)
        assert loaded_by(ONE_REQUEST, provider.config("m").read_text(), tmp_path) == []


TRACED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793"}


@pytest.fixture
async def closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """An environment keeps its connections for life; a test must not."""
    made: list[AiohttpTransport] = []

    def kept(clock: Clock) -> AiohttpTransport:
        made.append(AiohttpTransport(clock))
        return made[-1]

    monkeypatch.setattr(bootstrap, "AiohttpTransport", kept)
    yield
    for transport in made:
        await transport.close()


@pytest.mark.usefixtures("closed")
async def test_a_collector_is_named_by_a_variable_and_one_that_is_away_disturbs_nobody(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    environment = {"PLLM_CONFIG": written(tmp_path), "PLLM_MASTER_KEY": "k", "OPENAI_API_KEY": "sk", **TRACED}
    async with client(gateway(environment, lines.append)) as http:
        assert (await http.get("/v1/models", headers={"authorization": "Bearer k"})).status_code == 200
    (request,) = [line for line in lines if line.get("message") == "request"]
    assert request["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert [line["warning"] for line in lines if line.get("message") == "tracing"]


@pytest.mark.usefixtures("closed")
async def test_the_configurations_collector_goes_before_the_variables(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    text = ONE + "telemetry: {otlp_endpoint: 'http://127.0.0.1:2'}\n"
    environment = {"PLLM_CONFIG": written(tmp_path, text), "PLLM_MASTER_KEY": "k", "OPENAI_API_KEY": "sk", **TRACED}
    environment["OTEL_TRACES_SAMPLER"] = "jaeger_remote"
    async with client(gateway(environment, lines.append)) as http:
        await http.get("/health")
    assert any("OTEL_TRACES_SAMPLER" in str(line.get("warning")) for line in lines)
    assert any("127.0.0.1:2" in str(line.get("warning")) for line in lines)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e9"])
def test_what_is_no_length_of_time_is_refused_by_the_variables_name(text: str) -> None:
    with pytest.raises(GatewayError, match="PLLM_FLUSH_SECONDS"):
        Settings.of({"PLLM_FLUSH_SECONDS": text})


def test_counts_may_be_written_after_each_request() -> None:
    assert Settings.of({"PLLM_FLUSH_SECONDS": "0"}).flush_s == 0


async def asked(folder: Path, text: str, **variables: str) -> list[dict[str, Any]]:
    """The lines of a request that went well and one that did not."""
    lines: list[dict[str, Any]] = []
    environment = {"PLLM_CONFIG": written(folder, ONE + text), "PLLM_MASTER_KEY": "k", "OPENAI_API_KEY": "sk", **variables}
    async with client(gateway(environment, lines.append)) as http:
        await http.get("/v1/models", headers={"authorization": "Bearer k"})
        await http.get("/v1/models")
    return lines


@pytest.mark.parametrize(
    ("level", "written_lines"),
    [("debug", ["INFO", "WARN"]), ("info", ["INFO", "WARN"]), ("warning", ["WARN"]), ("error", [])],
)
async def test_the_log_has_what_is_severe_enough_and_every_metric(tmp_path: Path, level: str, written_lines: list[str]) -> None:
    lines = await asked(tmp_path, f"logging: {{level: {level}}}\n")
    assert [line["level"] for line in lines if line.get("message") == "request"] == written_lines
    assert len([line for line in lines if "_aws" in line]) == 2


async def test_metrics_go_under_the_namespace_of_the_deployment(tmp_path: Path) -> None:
    lines = await asked(tmp_path, "", PLLM_METRICS_NAMESPACE="Staging/LLM")
    directives = [directive for line in lines if "_aws" in line for directive in line["_aws"]["CloudWatchMetrics"]]
    assert {directive["Namespace"] for directive in directives} == {"Staging/LLM"}
    assert len(directives) == 4


def test_a_namespace_in_the_configuration_is_answered_with_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MetricsNamespace"):
        gateway({"PLLM_CONFIG": written(tmp_path, ONE + "telemetry: {namespace: X}\n")}, lambda line: None)
