"""Where credentials come from; botocore judges what the files and the container's endpoint mean."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from botocore.credentials import ContainerProvider, SharedCredentialProvider

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.aws_credentials import (
    RENEW_BEFORE_S,
    RETRY_AFTER_S,
    AwsCredentialSource,
    container_authorization,
    container_url,
    from_shared_files,
)
from pllm.providers.sigv4 import AwsCredentials

KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}


async def offline(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    raise AssertionError(f"{method} {url}: no request was expected")


async def over_http(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    try:
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
            return response.status, await response.read()
    except aiohttp.ClientError as error:
        raise GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, "connection refused") from error


class Endpoint:
    """A container's credentials endpoint on loopback: it rotates the keys at each answer and knows one token."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.token: str | None = None
        self.lifetime_s: float | None = 3600.0
        self.status = 200
        self.body: bytes | None = None
        self.served = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        if self.token is not None and request.headers.get("authorization") != self.token:
            return web.Response(status=401)
        self.served += 1
        if self.status != 200 or self.body is not None:
            return web.Response(status=self.status, body=self.body or b"")
        keys = {"AccessKeyId": f"AKID{self.served}", "SecretAccessKey": f"secret{self.served}", "Token": f"token{self.served}"}
        if self.lifetime_s is not None:
            expires = datetime.fromtimestamp(self.clock.wall_s() + self.lifetime_s, UTC)
            keys["Expiration"] = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
        return web.json_response(keys)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def endpoint(clock: ManualClock) -> AsyncIterator[Endpoint]:
    served = Endpoint(clock)
    app = web.Application()
    app.router.add_get("/creds", served.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    served.url = f"http://{host}:{port}/creds"
    yield served
    await runner.cleanup()


def container_source(endpoint: Endpoint, tmp_path: Path, more: Mapping[str, str] = {}) -> AwsCredentialSource:
    environment = {"HOME": str(tmp_path), "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.url, **more}
    return AwsCredentialSource(environment, endpoint.clock, over_http)


# --- Environment ---


async def test_the_function_role_is_read_anew_at_each_use(clock: ManualClock) -> None:
    environment = {**KEYS, "AWS_SESSION_TOKEN": "t1"}
    source = AwsCredentialSource(environment, clock, offline)
    assert await source.get() == AwsCredentials("AKID", "secret", "t1")
    environment.update(AWS_ACCESS_KEY_ID="AKID2", AWS_SECRET_ACCESS_KEY="secret2", AWS_SESSION_TOKEN="t2")
    assert await source.get() == AwsCredentials("AKID2", "secret2", "t2")


async def test_an_empty_session_token_is_none_at_all(clock: ManualClock) -> None:
    source = AwsCredentialSource({**KEYS, "AWS_SESSION_TOKEN": ""}, clock, offline)
    assert (await source.get()).session_token is None


@pytest.mark.parametrize("missing", sorted(KEYS))
async def test_half_a_pair_in_the_environment_is_an_error_that_names_the_other_half(missing: str, clock: ManualClock) -> None:
    environment = {name: value for name, value in KEYS.items() if name != missing}
    with pytest.raises(GatewayError, match=missing) as caught:
        await AwsCredentialSource(environment, clock, offline).get()
    assert caught.value.kind is ErrorKind.UPSTREAM_AUTH


async def test_no_source_at_all_says_what_could_be_set(clock: ManualClock, tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="AWS_ACCESS_KEY_ID") as caught:
        await AwsCredentialSource({"HOME": str(tmp_path)}, clock, offline).get()
    assert (caught.value.kind, caught.value.status) == (ErrorKind.UPSTREAM_AUTH, 502)


# --- Shared files ---

FILE = """
[default]
aws_access_key_id = AKDEFAULT
aws_secret_access_key = s/default+%(x)
[work]
aws_access_key_id=AKWORK
aws_secret_access_key=swork
aws_session_token=twork
"""


@pytest.mark.parametrize("profile", ["default", "work"])
def test_a_profile_means_to_us_what_it_means_to_botocore(profile: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(FILE)
    found = from_shared_files({"AWS_PROFILE": profile, "AWS_SHARED_CREDENTIALS_FILE": str(path), "HOME": str(tmp_path)})
    judged = SharedCredentialProvider(str(path), profile).load()
    assert found == AwsCredentials(judged.access_key, judged.secret_key, judged.token)


def test_the_default_profile_serves_when_none_is_named(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(FILE)
    assert from_shared_files({"HOME": str(tmp_path)}) == AwsCredentials("AKDEFAULT", "s/default+%(x)")


def test_the_config_file_serves_profiles_with_static_keys(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("[profile lab]\naws_access_key_id = A\naws_secret_access_key = S\n")
    environment = {"HOME": str(tmp_path), "AWS_PROFILE": "lab", "AWS_CONFIG_FILE": str(path)}
    assert from_shared_files(environment) == AwsCredentials("A", "S")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[other]\n", "static keys"),
        ("no section\n", "not a credentials file"),
        ("[work]\naws_access_key_id=A\n", "aws_secret_access_key"),
    ],
)
def test_a_named_profile_without_keys_is_an_error(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(content)
    environment = {"HOME": str(tmp_path), "AWS_PROFILE": "work", "AWS_SHARED_CREDENTIALS_FILE": str(path)}
    with pytest.raises(GatewayError, match=reason):
        from_shared_files(environment)


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GatewayError, match="cannot be read"):
        from_shared_files({"HOME": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": str(path)})


def test_no_file_and_no_profile_is_no_credentials(tmp_path: Path) -> None:
    assert from_shared_files({"HOME": str(tmp_path)}) is None


# --- Container ---


async def test_container_credentials_are_kept_until_they_near_their_end(endpoint: Endpoint, tmp_path: Path) -> None:
    source = container_source(endpoint, tmp_path)
    assert await source.get() == AwsCredentials("AKID1", "secret1", "token1")
    endpoint.clock.advance(3600 - RENEW_BEFORE_S - 1)
    assert (await source.get()).access_key_id == "AKID1"
    endpoint.clock.advance(2)
    assert await source.get() == AwsCredentials("AKID2", "secret2", "token2")
    assert endpoint.served == 2


async def test_many_requests_at_once_renew_once(endpoint: Endpoint, tmp_path: Path) -> None:
    source = container_source(endpoint, tmp_path)
    found = await asyncio.gather(*(source.get() for _ in range(20)))
    assert {credentials.access_key_id for credentials in found} == {"AKID1"}
    assert endpoint.served == 1


async def test_the_rotating_token_file_is_read_for_each_renewal(endpoint: Endpoint, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first\n")
    endpoint.token = "first"
    source = container_source(endpoint, tmp_path, {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file)})
    await source.get()
    token_file.write_text("second")
    endpoint.token = "second"
    endpoint.clock.advance(3600)
    assert (await source.get()).access_key_id == "AKID2"


async def test_botocore_finds_the_same_credentials_at_the_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.token = "tok"
    environment = {
        "HOME": str(tmp_path),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "tok",
    }
    ours = await AwsCredentialSource(environment, endpoint.clock, over_http).get()
    endpoint.served = 0
    judged = await asyncio.to_thread(lambda: ContainerProvider(environment).load().get_frozen_credentials())
    assert (ours.access_key_id, ours.secret_access_key, ours.session_token) == tuple(judged)[:3]


async def test_credentials_that_still_hold_outlive_a_failed_renewal(endpoint: Endpoint, tmp_path: Path) -> None:
    source = container_source(endpoint, tmp_path)
    await source.get()
    endpoint.status = 500
    endpoint.clock.advance(3600 - RENEW_BEFORE_S + 1)
    assert (await source.get()).access_key_id == "AKID1"
    assert (await source.get()).access_key_id == "AKID1"
    assert endpoint.served == 2  # the failure is not repeated at every request
    endpoint.clock.advance(RETRY_AFTER_S)
    endpoint.status = 200
    assert (await source.get()).access_key_id == "AKID3"


async def test_expired_credentials_are_never_used(endpoint: Endpoint, tmp_path: Path) -> None:
    source = container_source(endpoint, tmp_path)
    await source.get()
    endpoint.status = 500
    endpoint.clock.advance(3601)
    with pytest.raises(GatewayError, match="answered 500"):
        await source.get()


async def test_credentials_without_an_end_are_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.lifetime_s = None
    source = container_source(endpoint, tmp_path)
    await source.get()
    endpoint.clock.advance(10**6)
    await source.get()
    assert endpoint.served == 1


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"{}", json.dumps({"AccessKeyId": "A", "SecretAccessKey": "S", "Expiration": "soon"}).encode()],
)
async def test_an_answer_that_is_not_credentials_is_an_error(body: bytes, endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.body = body
    with pytest.raises(GatewayError, match="something else than credentials"):
        await container_source(endpoint, tmp_path).get()


async def test_credentials_that_come_expired_are_an_error(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.lifetime_s = -1
    with pytest.raises(GatewayError, match="already expired"):
        await container_source(endpoint, tmp_path).get()


async def test_an_endpoint_that_is_gone_is_an_error_of_authentication(clock: ManualClock, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/creds"}
    with pytest.raises(GatewayError, match="could not be asked") as caught:
        await AwsCredentialSource(environment, clock, over_http).get()
    assert caught.value.kind is ErrorKind.UPSTREAM_AUTH


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, "http://169.254.170.2/v2/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:1/x"}, "http://localhost:1/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/x"}, "http://[fd00:ec2::23]/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://anywhere.example/x"}, "https://anywhere.example/x"),
    ],
)
def test_the_endpoint_is_found_in_the_environment(environment: dict[str, str], url: str | None) -> None:
    assert container_url(environment) == url


@pytest.mark.parametrize("url", ["http://evil.example/x", "http://10.0.0.1/x", "ftp://localhost/x"])
def test_secrets_are_not_asked_for_in_the_clear_from_strangers(url: str) -> None:
    with pytest.raises(GatewayError, match="https"):
        container_url({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})


def test_a_token_with_a_line_break_never_becomes_a_header() -> None:
    with pytest.raises(GatewayError, match="line break"):
        container_authorization({"AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nx: y"})


def test_a_missing_token_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "none"
    with pytest.raises(GatewayError, match="none cannot be read"):
        container_authorization({"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(path)})
