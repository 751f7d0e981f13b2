"""Address, signature and key of Bedrock requests; botocore judges the addresses and the signatures."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import botocore.session
import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pllm.core.clock import ManualClock
from pllm.core.deployment import AwsKeys, Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.secret import Secret
from pllm.providers.base import HttpRequest, Timeouts
from pllm.providers.bedrock import BedrockProvider, endpoint, region_of
from pllm.providers.sigv4 import AwsCredentials
from pllm.providers.transport import AiohttpTransport
from pllm.wire.bedrock_converse import upstream
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Message, Request, Text

ARN = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3d4e5f6"
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
KEYS = AwsCredentials("AKIDEXAMPLE", "secret/key+", "session/token==")


class Keys:
    def __init__(self) -> None:
        self.asked = 0
        self.keys = KEYS

    async def get(self) -> AwsCredentials:
        self.asked += 1
        return self.keys


def deployment(model: str = MODEL, **fields: Any) -> Deployment:
    return Deployment("d1", "claude", "bedrock", model, ("converse",), **fields)


def call_of(model: str, *, stream: bool = False) -> WireRequest:
    request = Request("claude", (Message("user", (Text("hi"),)),), max_tokens=5, stream=stream)
    return upstream.encode(request, Target(model, "claude", "bedrock")).request


async def prepared(
    to: Deployment, *, stream: bool = False, environment: Mapping[str, str] | None = None, keys: Keys | None = None
) -> HttpRequest:
    provider = BedrockProvider(
        keys or Keys(), ManualClock(), {"AWS_REGION": "us-east-1"} if environment is None else environment
    )
    return await provider.prepare(to, call_of(to.model, stream=stream), "converse")


def signature_by_botocore(sent: HttpRequest, region: str) -> str:
    unsigned = {name: value for name, value in sent.headers.items() if name != "authorization"}
    request = AWSRequest(method=sent.method, url=sent.url, headers=unsigned, data=sent.body)
    keys = Credentials(KEYS.access_key_id, KEYS.secret_access_key, KEYS.session_token)
    with patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(ManualClock().wall_s(), UTC)):
        SigV4Auth(keys, "bedrock", region).add_auth(request)
    return str(request.headers["Authorization"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [MODEL, ARN, "meta.llama3-70b-instruct-v1:0"])
async def test_requests_are_signed_as_botocore_signs_them(model: str, stream: bool) -> None:
    sent = await prepared(deployment(model), stream=stream)
    region = "eu-west-1" if model == ARN else "us-east-1"
    assert sent.url.startswith(f"https://bedrock-runtime.{region}.amazonaws.com/model/")
    assert sent.headers["authorization"] == signature_by_botocore(sent, region)
    assert sent.headers["x-amz-security-token"] == KEYS.session_token
    assert sent.headers["accept"] == ("application/vnd.amazon.eventstream" if stream else "application/json")


async def test_an_inference_profile_arn_is_one_step_of_the_path() -> None:
    sent = await prepared(deployment(ARN))
    assert sent.url.endswith(
        "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2c3d4e5f6/converse"
    )


async def test_credentials_are_asked_for_at_each_request_because_roles_rotate() -> None:
    keys = Keys()
    provider = BedrockProvider(keys, ManualClock(), {"AWS_REGION": "us-east-1"})
    await provider.prepare(deployment(), call_of(MODEL), "converse")
    keys.keys = AwsCredentials("AKIDNEXT", "s")
    sent = await provider.prepare(deployment(), call_of(MODEL), "converse")
    assert "Credential=AKIDNEXT/" in sent.headers["authorization"]
    assert "x-amz-security-token" not in sent.headers


async def test_a_bedrock_api_key_is_sent_instead_of_a_signature() -> None:
    keys = Keys()
    sent = await prepared(deployment(api_key=Secret("ABSK-key")), keys=keys)
    assert sent.headers["authorization"] == "Bearer ABSK-key"
    assert "x-amz-date" not in sent.headers
    assert keys.asked == 0


@pytest.mark.parametrize(
    ("api_base", "region"),
    [
        ("https://vpce-0ab-xyz.bedrock-runtime.eu-central-1.vpce.amazonaws.com", "eu-central-1"),
        ("https://bedrock-runtime-fips.us-west-2.amazonaws.com/", "us-west-2"),
        ("http://127.0.0.1:8080/bedrock", "us-east-1"),
    ],
)
async def test_an_api_base_takes_the_place_of_the_address_and_may_name_the_region(api_base: str, region: str) -> None:
    sent = await prepared(deployment(api_base=api_base))
    assert sent.url == f"{api_base.rstrip('/')}/{call_of(MODEL).path}"
    assert sent.headers["authorization"] == signature_by_botocore(sent, region)


async def test_configured_headers_are_sent_and_signed() -> None:
    sent = await prepared(deployment(headers={"X-Team": "search"}))
    assert sent.headers["x-team"] == "search"
    assert "x-team" in sent.headers["authorization"]
    assert sent.headers["authorization"] == signature_by_botocore(sent, "us-east-1")


@pytest.mark.parametrize(
    ("fields", "environment", "region"),
    [
        ({"region": "ap-south-1", "model": ARN}, {"AWS_REGION": "us-east-1"}, "ap-south-1"),
        ({"model": ARN}, {"AWS_REGION": "us-east-1"}, "eu-west-1"),
        ({}, {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-1"}, "us-west-2"),
        ({}, {"AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"),
        ({}, {}, None),
    ],
)
def test_the_region_is_the_nearest_one_named(fields: dict[str, Any], environment: dict[str, str], region: str | None) -> None:
    assert region_of(deployment(**fields), environment) == region


@pytest.mark.parametrize("api_base", [None, "http://127.0.0.1:1"])
async def test_without_a_region_the_error_says_where_to_set_one(api_base: str | None) -> None:
    with pytest.raises(GatewayError, match="AWS_REGION") as caught:
        await prepared(deployment(api_base=api_base), environment={})
    assert caught.value.kind is ErrorKind.UPSTREAM_UNREACHABLE


async def test_a_key_needs_no_region_where_the_address_is_given() -> None:
    sent = await prepared(deployment(api_base="http://127.0.0.1:1", api_key=Secret("k")), environment={})
    assert sent.url.startswith("http://127.0.0.1:1/model/")


def test_a_region_that_is_none_never_becomes_part_of_an_address() -> None:
    with pytest.raises(GatewayError, match="not the name"):
        region_of(deployment(region="us-east-1.evil.example/"), {})


@pytest.mark.parametrize(
    "region",
    [
        "us-east-1",
        "ap-southeast-7",
        "cn-north-1",
        "us-gov-west-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "us-isof-south-1",
        "eu-isoe-west-1",
        "eusc-de-east-1",
    ],
)
def test_every_partition_has_the_address_that_botocore_gives_it(region: str) -> None:
    client = botocore.session.get_session().create_client(
        "bedrock-runtime", region_name=region, aws_access_key_id="a", aws_secret_access_key="b"
    )
    assert endpoint(region) == client.meta.endpoint_url


async def test_the_transport_sends_the_very_path_that_was_signed() -> None:
    """A client that decodes %3A on the way breaks every signature over a model id with a colon."""
    seen: list[tuple[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append((request.raw_path, request.headers["Authorization"]))
        return web.json_response({})

    server = web.Server(answer)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport = AiohttpTransport(ManualClock())
    try:
        sent = await prepared(deployment(ARN, api_base=f"http://127.0.0.1:{port}"))
        response = await transport.send(sent, Timeouts())
        await response.read()
        await response.close()
    finally:
        await transport.close()
        listening.close()
        await server.shutdown()
    assert seen == [("/" + call_of(ARN).path, sent.headers["authorization"])]


async def test_a_deployments_own_keys_sign_in_place_of_the_role() -> None:
    own = AwsKeys("AKIDOWN", Secret("own-secret"), Secret("own-token"))
    keys = Keys()
    request = await prepared(deployment(aws=own, region="us-east-1"), keys=keys)
    assert "Credential=AKIDOWN/" in request.headers["authorization"]
    assert request.headers["x-amz-security-token"] == "own-token"
    assert keys.asked == 0
    assert await prepared(deployment(aws=AwsKeys("AKIDOWN", Secret("x")), region="us-east-1")) != request
