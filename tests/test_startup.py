"""What an environment reads before it comes up: one moto server plays all of AWS."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from tests.support.dynamodb import create_table
from tests.support.versions import history_of

from pllm.bootstrap import SystemClock, _lasting, application, gateway
from pllm.core.clock import ManualClock
from pllm.core.config import ConfigError, compile_config
from pllm.core.config.loader import load
from pllm.core.errors import GatewayError
from pllm.live import LiveGateway
from pllm.startup import Settings, begin, read_config, variables_of
from pllm.state.config_version import Pointer
from pllm.state.table import DynamoStore
from pllm.telemetry.emf import NAMESPACE
from pllm.telemetry.log import Log

KEYS = {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret"}
BEARER = {"authorization": "Bearer k"}


def text(name: str) -> str:
    return f"model_list: [{{model_name: {name}, params: {{model: gpt-4}}}}]\n"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def environment(aws: str) -> dict[str, str]:
    credentials = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": aws}
    return {**credentials, "PLLM_MASTER_KEY": "k", "OPENAI_API_KEY": "sk"}


def client(service: str, endpoint: str) -> Any:
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", **KEYS)


def table(endpoint: str, name: str) -> DynamoStore:
    dynamodb = client("dynamodb", endpoint)
    create_table(dynamodb, name)
    return DynamoStore(lambda: dynamodb, name)


async def published(store: DynamoStore, *texts: str) -> None:
    for number, one in enumerate(texts):
        await history_of(store).publish(one, expected=number, by="test")


async def models(app: Any) -> list[str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway", headers=BEARER) as http:
        return [model["id"] for model in (await http.get("/v1/models")).json()["data"]]


@pytest.mark.parametrize("form", ["yaml", "compiled"])
async def test_a_gateway_comes_up_from_a_configuration_in_s3(aws: str, environment: dict[str, str], form: str) -> None:
    body = text("from-s3").encode() if form == "yaml" else compile_config(load(text("from-s3")).config)
    s3 = client("s3", aws)
    s3.create_bucket(Bucket="configs")
    s3.put_object(Bucket="configs", Key=f"config.{form}", Body=body)
    app = await _started(environment | {"PLLM_CONFIG": f"s3://configs/config.{form}"})
    assert await models(app) == ["from-s3"]


async def _started(environment: dict[str, str], lines: list[dict[str, Any]] | None = None) -> Any:
    """The gateway starts outside an event loop, as functions do."""
    return await asyncio.to_thread(gateway, environment, (lines if lines is not None else []).append)


async def test_a_gateway_comes_up_from_an_encrypted_parameter(aws: str, environment: dict[str, str]) -> None:
    client("ssm", aws).put_parameter(Name="/pllm/config", Value=text("from-ssm"), Type="SecureString")
    assert await models(await _started(environment | {"PLLM_CONFIG": "ssm:///pllm/config"})) == ["from-ssm"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("s3://absent/config.yaml", "S3 answered 404 NoSuchBucket"),
        ("ssm://absent", "ParameterNotFound"),
        ("https://example.com/config.yaml", "neither a file nor one of"),
    ],
)
def test_a_configuration_that_cannot_be_had_stops_the_start(environment: dict[str, str], name: str, words: str) -> None:
    with pytest.raises(GatewayError, match=words):
        gateway(environment | {"PLLM_CONFIG": name}, lambda line: None)


def test_what_is_no_text_and_no_configuration_stops_the_start_in_plain_words(tmp_path: Path) -> None:
    binary = tmp_path / "config.yaml"
    binary.write_bytes(b"model_list: \xff")
    with pytest.raises(GatewayError, match=r"config\.yaml could not be read: not UTF-8 text: byte 0xff at position 12"):
        gateway({"PLLM_CONFIG": str(binary)}, lambda line: None)
    binary.write_text("modle_list: []")
    with pytest.raises(ConfigError, match="did you mean"):
        gateway({"PLLM_CONFIG": str(binary)}, lambda line: None)
    with pytest.raises(OSError, match="absent"):
        gateway({"PLLM_CONFIG": str(tmp_path / "absent.yaml")}, lambda line: None)


async def test_a_cold_start_begins_with_the_published_version(aws: str, environment: dict[str, str], tmp_path: Path) -> None:
    store = table(aws, "published")
    await published(store, text("first"), text("second"))
    config = tmp_path / "config.yaml"
    config.write_text(text("deployed"))
    lines: list[dict[str, Any]] = []
    app = await _started(environment | {"PLLM_CONFIG": str(config), "PLLM_TABLE": "published"}, lines)
    assert isinstance(app, LiveGateway)
    assert app.version == 2
    assert await models(app) == ["second"]
    assert [line["note"] for line in lines if line.get("version")] == ["configuration version 2 is in use"]
    store.close()


async def test_a_change_of_the_configuration_is_no_second_cold_start(
    aws: str, environment: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text("deployed"))
    lines: list[dict[str, Any]] = []
    named = environment | {"PLLM_CONFIG": str(config)}
    lasting = _lasting(named, Settings.of(named), SystemClock(), Log(lines.append, NAMESPACE))
    first, second = (application(lasting, read_config(str(config)), named, pointer) for pointer in (Pointer(), Pointer(1)))
    for app in (first, second):
        assert await models(app) == ["deployed"]
    assert sum(line.get("ColdStart", 0) for line in lines) == 1


async def test_without_a_version_a_cold_start_begins_with_what_was_deployed(
    aws: str, environment: dict[str, str], tmp_path: Path
) -> None:
    table(aws, "empty").close()
    config = tmp_path / "config.yaml"
    config.write_text(text("deployed"))
    lines: list[dict[str, Any]] = []
    app = await _started(environment | {"PLLM_CONFIG": str(config), "PLLM_TABLE": "empty"}, lines)
    assert await models(app) == ["deployed"]
    assert [line for line in lines if line.get("message") == "configuration"] == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PLLM_TABLE": "no-such-table"}, "ResourceNotFoundException"),
        ({"PLLM_TABLE": "t", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"}, "upstream_unreachable"),
        (
            {"PLLM_TABLE": "t", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nowhere"},
            "upstream_authentication",
        ),
    ],
)
async def test_a_table_that_is_down_does_not_keep_the_gateway_down(
    environment: dict[str, str], tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text("deployed"))
    lines: list[dict[str, Any]] = []
    app = await _started(environment | {"PLLM_CONFIG": str(config)} | changes, lines)
    assert app.version == 0
    [warning] = [line["warning"] for line in lines if line.get("message") == "configuration"]
    assert warning == f"the table cannot be asked which version holds ({reason}); the configuration of the deployment stays"


def test_a_laptops_table_needs_no_account(tmp_path: Path, aws: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text("m"))
    table(aws, "laptop").close()
    environment = {"PLLM_CONFIG": str(config), "PLLM_TABLE": "laptop", "PLLM_DYNAMODB_ENDPOINT": aws, "HOME": "/nowhere"}
    start = begin(environment, Settings.of(environment), ManualClock())
    assert start.first.pointer is not None
    assert start.first.pointer.version == 0


def test_the_environment_wins_over_the_secret(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def secret(*_: Any) -> dict[str, str]:
        return {"OPENAI_API_KEY": "from the secret", "OTHER": "from the secret"}

    monkeypatch.setattr("pllm.startup.fetch_secret", secret)
    variables = variables_of(environment, Settings(secret_arn="arn"), ManualClock())
    assert (variables["OPENAI_API_KEY"], variables["OTHER"]) == ("sk", "from the secret")
    assert json.dumps(variables_of(environment, Settings(), ManualClock())) == json.dumps(environment)
