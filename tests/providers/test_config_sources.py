"""Configurations in AWS: botocore says what to ask, moto answers, and what goes wrong is said in AWS's words."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
import pytest
from aiohttp import web
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.config_sources import Aws, fetch_config, is_remote
from pllm.providers.sigv4 import AwsCredentials
from pllm.providers.transport import AiohttpTransport

NOW_S = 1_800_000_000.0
KEYS = AwsCredentials("AKID", "secret", "token")
BOTO = {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret", "aws_session_token": "token"}
YAML = "model_list: [{model_name: m, params: {model: gpt-4}}]  # größe\n"
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "s3://my-bucket/some folder/configuräti%on.yaml": (
        "s3",
        "get_object",
        {"Bucket": "my-bucket", "Key": "some folder/configuräti%on.yaml"},
    ),
    "s3://my.bucket/k": ("s3", "get_object", {"Bucket": "my.bucket", "Key": "k"}),
    "ssm://pllm": ("ssm", "get_parameter", {"Name": "pllm", "WithDecryption": True}),
    "ssm:///pllm/config:3": ("ssm", "get_parameter", {"Name": "/pllm/config:3", "WithDecryption": True}),
}
APPCONFIG = {"ApplicationIdentifier": "app", "EnvironmentIdentifier": "prod", "ConfigurationProfileIdentifier": "main profile"}


class Asked(list[tuple[str, str, dict[str, str], bytes]]):
    """An `http` that notes what it is asked and gives prepared answers."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        super().__init__()
        self._answers = list(answers)

    async def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.append((method, url, dict(headers), body))
        return self._answers.pop(0)


def aws(http: Any, environment: Mapping[str, str] | None = None, region: str = "eu-west-1") -> Aws:
    return Aws(region, environment or {}, KEYS, ManualClock(NOW_S), http)


def sent_by_botocore(service: str, operation: str, arguments: Mapping[str, Any], now_s: float) -> Any:
    """What botocore would put on the wire, signed as of `now_s`."""
    client = boto3.client(service, region_name="eu-west-1", **BOTO)
    seen: list[Any] = []

    def stop(request: Any, **_: Any) -> AWSResponse:
        seen.append(request)
        return AWSResponse(request.url, 500, {}, None)

    client.meta.events.register_first("before-send", stop)
    at = datetime.fromtimestamp(now_s, UTC)
    with (
        patch("botocore.auth.get_current_datetime", return_value=at),
        patch("botocore.awsrequest.AWSResponse.content", b""),
        pytest.raises(ClientError),
    ):
        getattr(client, operation)(**arguments)
    return seen[0]


@pytest.mark.parametrize("name", CASES)
async def test_the_request_is_the_one_botocore_sends(name: str) -> None:
    service, operation, arguments = CASES[name]
    body = json.dumps({"Parameter": {"Value": YAML}}).encode() if service == "ssm" else YAML.encode()
    http = Asked((200, body))
    assert await fetch_config(name, aws(http)) == YAML.encode()
    [(method, url, headers, data)] = http
    theirs = sent_by_botocore(service, operation, arguments, NOW_S)
    assert (method, url) == (theirs.method, theirs.url)
    assert json.loads(data or b"{}") == json.loads(theirs.body or b"{}")
    for wanted in ("X-Amz-Target", "Content-Type", "X-Amz-Content-SHA256"):
        if wanted in theirs.headers:
            assert headers[wanted.lower()] == _text(theirs.headers[wanted])
    scope = _text(theirs.headers["Authorization"]).partition("Credential=")[2].partition(",")[0]
    assert f"Credential={scope}," in headers["authorization"]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


async def test_appconfig_is_asked_as_botocore_asks_it() -> None:
    http = Asked((201, b'{"InitialConfigurationToken": "t/+ ="}'), (200, YAML.encode()))
    assert await fetch_config("appconfig://app/prod/main profile", aws(http)) == YAML.encode()
    session = sent_by_botocore("appconfigdata", "start_configuration_session", APPCONFIG, NOW_S)
    latest = sent_by_botocore("appconfigdata", "get_latest_configuration", {"ConfigurationToken": "t/+ ="}, NOW_S)
    for (method, url, headers, data), theirs in zip(http, (session, latest), strict=True):
        assert (method, url) == (theirs.method, theirs.url)
        assert json.loads(data or b"{}") == json.loads(theirs.body or b"{}")
        assert headers["authorization"].partition("/eu-west-1/")[2].partition("/")[0] == "appconfig"
    assert http[1][2]["authorization"] == _text(latest.headers["Authorization"])


@pytest.mark.parametrize(("region", "host"), [("eu-west-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")])
async def test_each_partition_has_its_own_hosts(region: str, host: str) -> None:
    http = Asked((200, YAML.encode()))
    await fetch_config("s3://bucket/key", aws(http, region=region))
    assert http[0][1] == f"https://bucket.s3.{region}.{host}/key"


async def test_a_services_own_endpoint_variable_wins_over_the_general_one() -> None:
    http = Asked((200, YAML.encode()), (200, YAML.encode()))
    both = {"AWS_ENDPOINT_URL_S3": "http://s3.local:9000/", "AWS_ENDPOINT_URL": "http://all.local"}
    await fetch_config("s3://bucket/key", aws(http, both))
    await fetch_config("s3://bucket/key", aws(http, {"AWS_ENDPOINT_URL": "http://all.local"}))
    assert [url for _, url, _, _ in http] == ["http://s3.local:9000/bucket/key", "http://all.local/bucket/key"]


@pytest.mark.parametrize(("name", "remote"), [("/opt/config/config.json", False), ("s3:/x", False), ("s3://b/k", True)])
def test_a_file_is_told_from_an_address(name: str, remote: bool) -> None:
    assert is_remote(name) is remote


@pytest.mark.parametrize("name", ["http://example.com/config.yaml", "file:///etc/config.yaml", "S3://bucket/key"])
def test_an_address_of_an_unknown_kind_is_refused_with_the_kinds_there_are(name: str) -> None:
    with pytest.raises(GatewayError, match="ssm://name"):
        is_remote(name)


@pytest.mark.parametrize("name", ["s3://bucket", "s3:///key", "s3://bucket/", "ssm://", "appconfig://a/b", "appconfig://a//c"])
async def test_half_an_address_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(GatewayError, match="write ") as failure:
        await fetch_config(name, aws(Asked()))
    assert failure.value.kind is ErrorKind.UNAVAILABLE
    assert name in failure.value.message


SESSION = (201, b'{"InitialConfigurationToken": "t"}')
REGION = b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>Wrong.</Message><Region>eu-north-1</Region></Error>"
REDIRECT = b"<Error><Code>PermanentRedirect</Code><Endpoint>bucket.s3-eu-north-1.amazonaws.com</Endpoint></Error>"


@pytest.mark.parametrize(
    ("name", "answers", "words"),
    [
        (
            "s3://b/k",
            [(404, b"<Error><Code>NoSuchKey</Code><Message>Gone.</Message></Error>")],
            "S3 answered 404 NoSuchKey: Gone.",
        ),
        ("s3://b/k", [(400, REGION)], "Wrong; the bucket is in eu-north-1"),
        ("s3://b/k", [(301, REDIRECT)], "301 PermanentRedirect; the bucket is at bucket.s3-eu-north-1"),
        ("s3://b/k", [(503, b"")], "S3 answered 503."),
        ("s3://b/k", [(200, b" \n")], "it is empty"),
        ("ssm://p", [(400, b'{"__type": "com.amazonaws.ssm#ParameterNotFound"}')], "400 ParameterNotFound"),
        ("ssm://p", [(400, b'{"__type":"AccessDeniedException","Message":"not authorized"}')], "Exception: not authorized"),
        ("ssm://p", [(200, b"[]")], "without a value"),
        ("ssm://p", [(500, b"<html>")], "Systems Manager answered 500."),
        (
            "appconfig://a/b/c",
            [(404, b'{"Message": "Application not found"}')],
            "AppConfig answered 404: Application not found",
        ),
        ("appconfig://a/b/c", [(201, b"{}")], "a session without a token"),
        ("appconfig://a/b/c", [SESSION, (400, b'{"Message": "bad token"}')], "AppConfig answered 400: bad token"),
        ("appconfig://a/b/c", [SESSION, (200, b"")], "nothing has been deployed"),
        ("appconfig://a/b/c", [SESSION, (204, b"")], "nothing has been deployed"),
    ],
)
async def test_what_aws_answers_is_said(name: str, answers: list[tuple[int, bytes]], words: str) -> None:
    with pytest.raises(GatewayError) as failure:
        await fetch_config(name, aws(Asked(*answers)))
    assert words in failure.value.message
    assert name in failure.value.message
    assert failure.value.kind is ErrorKind.UNAVAILABLE


async def test_a_network_that_is_not_there_is_said_as_well() -> None:
    async def broken(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        raise GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, "the host could not be reached")

    with pytest.raises(GatewayError, match=r"ssm://p could not be read: the host could not be reached") as failure:
        await fetch_config("ssm://p", aws(broken))
    assert failure.value.kind is ErrorKind.UNAVAILABLE


# --- Against servers ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(ManualClock())
    yield transport
    await transport.close()


@pytest.mark.parametrize("key", ["config.yaml", "a b/ü+%2F~(1).json", "a/../b//c"])
async def test_an_object_is_read_from_motos_s3(moto: str, transport: AiohttpTransport, key: str) -> None:
    client = boto3.client("s3", endpoint_url=moto, region_name="us-east-1", **BOTO)
    client.create_bucket(Bucket="configs")
    client.put_object(Bucket="configs", Key=key, Body=YAML.encode())
    here = aws(transport.simple, {"AWS_ENDPOINT_URL_S3": moto}, "us-east-1")
    assert await fetch_config(f"s3://configs/{key}", here) == YAML.encode()
    with pytest.raises(GatewayError, match="404 NoSuchKey"):
        await fetch_config("s3://configs/absent", here)
    with pytest.raises(GatewayError, match="404 NoSuchBucket"):
        await fetch_config("s3://nowhere/at-all", here)


async def test_a_parameter_is_read_from_motos_parameter_store_encrypted_or_not(moto: str, transport: AiohttpTransport) -> None:
    client = boto3.client("ssm", endpoint_url=moto, region_name="us-east-1", **BOTO)
    client.put_parameter(Name="plain", Value=YAML, Type="String")
    client.put_parameter(Name="/pllm/prod/config", Value=YAML, Type="SecureString")
    here = aws(transport.simple, {"AWS_ENDPOINT_URL_SSM": moto}, "us-east-1")
    for name in ("ssm://plain", "ssm:///pllm/prod/config", "ssm://pllm/prod/config"):
        assert await fetch_config(name, here) == YAML.encode()
    with pytest.raises(GatewayError, match="400 ParameterNotFound"):
        await fetch_config("ssm://absent", here)


async def test_a_profile_is_read_from_a_server_that_botocore_reads_as_well(transport: AiohttpTransport) -> None:
    """moto has no AppConfigData: a server in its shapes, which botocore's own client is held against first."""
    app = web.Application()
    app.router.add_post("/configurationsessions", _open_session)
    app.router.add_get("/configuration", _latest)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    endpoint = f"http://{host}:{port}"
    try:
        assert await _read_by_botocore(endpoint) == YAML.encode()
        here = aws(transport.simple, {"AWS_ENDPOINT_URL_APPCONFIGDATA": endpoint})
        assert await fetch_config("appconfig://app/prod/main profile", here) == YAML.encode()
        with pytest.raises(GatewayError, match="404 ResourceNotFoundException: no such profile"):
            await fetch_config("appconfig://app/prod/other", here)
    finally:
        await runner.cleanup()


async def _read_by_botocore(endpoint: str) -> bytes:
    import asyncio

    def read() -> bytes:
        client = boto3.client("appconfigdata", endpoint_url=endpoint, region_name="eu-west-1", **BOTO)
        token = client.start_configuration_session(**APPCONFIG)["InitialConfigurationToken"]
        body: bytes = client.get_latest_configuration(ConfigurationToken=token)["Configuration"].read()
        return body

    return await asyncio.to_thread(read)


async def _open_session(request: web.Request) -> web.Response:
    if await request.json() != APPCONFIG:
        words = {"Message": "no such profile", "__type": "ResourceNotFoundException"}
        return web.json_response(words, status=404, headers={"x-amzn-ErrorType": "ResourceNotFoundException"})
    return web.json_response({"InitialConfigurationToken": "token/+=1"}, status=201)


async def _latest(request: web.Request) -> web.Response:
    if request.query.get("configuration_token") != "token/+=1":
        return web.json_response({"Message": "bad token"}, status=400)
    headers = {"Next-Poll-Configuration-Token": "next", "Next-Poll-Interval-In-Seconds": "60", "Version-Label": "1"}
    return web.Response(body=YAML.encode(), content_type="application/x-yaml", headers=headers)


def test_the_session_request_is_sent_to_the_regions_host() -> None:
    assert urlsplit(aws(Asked()).endpoint("APPCONFIGDATA", "appconfigdata")).netloc == "appconfigdata.eu-west-1.amazonaws.com"
