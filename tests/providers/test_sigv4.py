"""Our signatures against botocore's own signer: equal to the byte, or AWS refuses them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pllm.providers.sigv4 import AwsCredentials, Scope, sign

PROPERTY = settings(deadline=None, max_examples=120)
NOW_S = 1_800_000_000.25
CREDENTIALS = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
BEDROCK = Scope("us-east-1", "bedrock")
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"

# Steps of a path as they are sent: percent-encoded, with the dots and empty steps that canonical paths drop.
steps = st.one_of(st.text(max_size=8).map(lambda text: quote(text, safe="~!$&'()*+,;=:@")), st.sampled_from(["", ".", ".."]))
paths = st.lists(steps, max_size=5).map(lambda parts: "/" + "/".join(parts))
query_words = st.text(max_size=6).map(lambda text: quote(text, safe=""))
queries = st.lists(st.tuples(query_words, query_words), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
header_values = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)
header_names = st.sampled_from(
    ["content-type", "accept", "X-Custom", "user-agent", "x-amz-target", "traceparent", "connection", "X-Amzn-Trace-Id"]
)


def signed_by_botocore(
    method: str, url: str, headers: Mapping[str, str], body: bytes, credentials: AwsCredentials, scope: Scope
) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    keys = Credentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    with patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(NOW_S, UTC)):
        SigV4Auth(keys, scope.service, scope.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@PROPERTY
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "delete"]),
    host=st.sampled_from(["bedrock-runtime.us-east-1.amazonaws.com", "127.0.0.1:8080", "h:443", "h:80", "[::1]:9000"]),
    scheme=st.sampled_from(["https", "http"]),
    path=paths,
    query=queries,
    headers=st.dictionaries(header_names, header_values, max_size=4),
    body=st.binary(max_size=64),
    token=st.one_of(st.none(), st.text("abcXYZ019+/=", min_size=1, max_size=40)),
    scope=st.builds(Scope, st.sampled_from(["us-east-1", "cn-north-1"]), st.sampled_from(["bedrock", "secretsmanager"])),
)
@example(
    "POST",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "https",
    f"/model/{quote(ARN, safe='')}/converse",
    "",
    {},
    b"{}",
    "t",
    BEDROCK,
)
def test_every_request_is_signed_as_botocore_signs_it(
    method: str,
    host: str,
    scheme: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    token: str | None,
    scope: Scope,
) -> None:
    url = f"{scheme}://{host}{path}" + (f"?{query}" if query else "")
    credentials = AwsCredentials(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key, token)
    ours = sign(method, url, headers, body, credentials=credentials, scope=scope, now_s=NOW_S)
    assert ours == signed_by_botocore(method, url, headers, body, credentials, scope)


@PROPERTY
@given(path=paths, query=queries)
@example("/folder/../a//b%20c", "")
def test_a_path_of_s3_is_signed_as_it_is_sent(path: str, query: str) -> None:
    url = f"https://bucket.s3.us-east-1.amazonaws.com{path}" + (f"?{query}" if query else "")
    headers = {"x-amz-content-sha256": sha256(b"").hexdigest()}
    request = AWSRequest(method="GET", url=url, headers=dict(headers))
    with patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(NOW_S, UTC)):
        S3SigV4Auth(Credentials(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key), "s3", "us-east-1").add_auth(request)
    ours = sign("GET", url, headers, b"", credentials=CREDENTIALS, scope=Scope("us-east-1", "s3"), now_s=NOW_S)
    assert ours["authorization"] == request.headers["Authorization"]


def test_signing_again_replaces_the_first_signature() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse"
    stale = AwsCredentials("OLD", "old", "old-token")
    first = sign("POST", url, {"content-type": "application/json"}, b"{}", credentials=stale, scope=BEDROCK, now_s=NOW_S - 600)
    again = sign("POST", url, first, b"{}", credentials=CREDENTIALS, scope=BEDROCK, now_s=NOW_S)
    fresh = sign("POST", url, {"content-type": "application/json"}, b"{}", credentials=CREDENTIALS, scope=BEDROCK, now_s=NOW_S)
    assert again == fresh
    assert "x-amz-security-token" not in again


def test_a_payload_hash_that_the_caller_gives_is_signed_instead_of_the_body() -> None:
    headers = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    url = "https://example.com/"
    ours = sign("PUT", url, headers, b"body", credentials=CREDENTIALS, scope=BEDROCK, now_s=NOW_S)
    assert ours["authorization"] == signed_by_botocore("PUT", url, headers, b"body", CREDENTIALS, BEDROCK)["authorization"]


def test_secrets_do_not_print() -> None:
    shown = repr(AwsCredentials("AKID", "very-secret", "token-secret"))
    assert "AKID" in shown
    assert "secret" not in shown.replace("secret_access_key", "")


def test_a_url_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="no host"):
        sign("GET", "/relative", {}, b"", credentials=CREDENTIALS, scope=BEDROCK, now_s=NOW_S)
