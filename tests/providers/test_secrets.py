"""The provider-keys secret."""

import json
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pllm.core.clock import ManualClock
from pllm.core.errors import GatewayError
from pllm.providers.secrets import fetch_secret
from pllm.providers.sigv4 import AwsCredentials

CREDENTIALS = AwsCredentials("AKID", "secret", "token")


async def fetched(status: int, body: bytes) -> tuple[dict[str, str], list[Any]]:
    asked: list[Any] = []

    async def http(method: str, url: str, headers: Mapping[str, str], data: bytes) -> tuple[int, bytes]:
        asked.append((method, url, headers, data))
        return status, body

    return await fetch_secret("arn:x", "eu-west-1", CREDENTIALS, ManualClock(), http), asked


async def test_the_secrets_variables_are_read_with_a_signed_request() -> None:
    secret = json.dumps({"OPENAI_API_KEY": "sk", "EMPTY": "", "NUMBER": 5})
    found, asked = await fetched(200, json.dumps({"SecretString": secret}).encode())
    assert found == {"OPENAI_API_KEY": "sk"}
    method, url, headers, data = asked[0]
    assert (method, url) == ("POST", "https://secretsmanager.eu-west-1.amazonaws.com/")
    assert headers["x-amz-target"] == "secretsmanager.GetSecretValue"
    assert "eu-west-1/secretsmanager/aws4_request" in headers["authorization"]
    assert json.loads(data) == {"SecretId": "arn:x"}


async def test_motos_secrets_manager_answers_in_the_shape_we_read() -> None:
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        client.create_secret(Name="keys", SecretString='{"A": "b"}')
        answer = client.get_secret_value(SecretId="keys")
        found, _ = await fetched(200, json.dumps({"SecretString": answer["SecretString"]}).encode())
        assert found == {"A": "b"}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, b'{"__type": "ResourceNotFoundException"}', "ResourceNotFoundException"),
        (403, b"<html>", "403"),
        (200, b"{}", "not a JSON object"),
        (200, b'{"SecretString": "plain"}', "not a JSON object"),
        (200, b'{"SecretString": "[1]"}', "not a JSON object"),
    ],
)
async def test_an_unreadable_secret_is_an_error_that_does_not_quote_it(status: int, body: bytes, words: str) -> None:
    with pytest.raises(GatewayError) as failure:
        await fetched(status, body)
    assert words in failure.value.message
    assert "plain" not in failure.value.message
