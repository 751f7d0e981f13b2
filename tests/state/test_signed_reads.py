"""The one look at the table without boto3, against the store that uses it."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from tests.support.dynamodb import client_of, table_of

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import SimpleHttp
from pllm.providers.sigv4 import AwsCredentials
from pllm.providers.transport import AiohttpTransport
from pllm.state.signed_reads import SignedReads
from pllm.state.store import StateError, Update

KEYS = {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret"}


async def credentials() -> AwsCredentials:
    return AwsCredentials("AKID", "secret")


def reads(http: SimpleHttp, endpoint: str = "http://table", name: str = "t") -> SignedReads:
    return SignedReads(name, endpoint, "us-east-1", credentials, ManualClock(), http)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["moto", pytest.param("local_endpoint", marks=pytest.mark.needs_java, id="local")])
def endpoint(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(ManualClock())
    yield transport
    await transport.close()


async def test_items_are_read_as_the_store_reads_them(endpoint: str, transport: AiohttpTransport) -> None:
    values: dict[str, Any] = {"n": -7, "s": "größe", "b": b"\x00\xff", "yes": True, "none": None, "list": ("a", "b")}
    with table_of(client_of(endpoint), "signed-reads") as store:
        await store.update(Update("C", "V", set=values))
        over_http = reads(transport.simple, endpoint, "signed-reads")
        assert await over_http.get("C", "V", consistent=True) == await store.get("C", "V")
        assert await over_http.get("C", "absent") is None
    with pytest.raises(StateError, match="ResourceNotFoundException"):
        await reads(transport.simple, endpoint, "other").get("C", "V")


async def test_the_request_is_signed_for_the_table_and_consistent_when_asked() -> None:
    asked: list[Any] = []

    async def http(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        asked.append((method, url, headers, json.loads(body)))
        return 200, b"{}"

    assert await reads(http).get("C", "V", consistent=True) is None
    [(method, url, headers, body)] = asked
    assert (method, url, headers["x-amz-target"]) == ("POST", "http://table/", "DynamoDB_20120810.GetItem")
    assert "us-east-1/dynamodb/aws4_request" in headers["authorization"]
    assert body == {"TableName": "t", "Key": {"PK": {"S": "C"}, "SK": {"S": "V"}}, "ConsistentRead": True}


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b'{"__type": "com.amazon.coral.service#AccessDeniedException"}', "AccessDeniedException"),
        (500, b"<html>", "answered 500"),
        (200, b"[]", "answered 200"),
        (200, b'{"Item": {"n": {"N": "x"}}}', "answered 200"),
        (200, b'{"Item": {"n": {"M": {}}}}', "answered 200"),
    ],
)
async def test_anything_else_is_trouble_with_the_table(status: int, body: bytes, reason: str) -> None:
    async def http(method: str, url: str, headers: Mapping[str, str], data: bytes) -> tuple[int, bytes]:
        return status, body

    with pytest.raises(StateError) as failure:
        await reads(http).get("C", "V")
    assert failure.value.reason == reason


async def test_a_network_that_is_not_there_is_trouble_with_the_table() -> None:
    async def http(method: str, url: str, headers: Mapping[str, str], data: bytes) -> tuple[int, bytes]:
        raise GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, "no")

    with pytest.raises(StateError) as failure:
        await reads(http).get("C", "V")
    assert (failure.value.reason, failure.value.sent) == ("upstream_unreachable", False)
