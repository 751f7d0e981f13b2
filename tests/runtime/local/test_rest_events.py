import base64
import json
from typing import Any

import pytest
from tests.runtime.support.events import make_rest_event


def _event(target: str = "/", **request: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(make_rest_event(target, **request))
    return event


def test_an_event_has_the_fields_api_gateway_sends() -> None:
    event = _event("/v1/x%20y?a=1&b=&a=2", headers=(("Host", "h"), ("X-Many", "1"), ("X-Many", "2"), ("User-Agent", "agent/1")))
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/{proxy+}", "/v1/x%20y", "GET")
    assert event["pathParameters"] == {"proxy": "v1/x y"}
    assert event["multiValueHeaders"]["X-Many"] == ["1", "2"]
    assert event["headers"]["X-Many"] == "2"
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""]}
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    context = event["requestContext"]
    assert (context["stage"], context["path"], context["requestId"]) == ("test", "/test/v1/x%20y", "a-request-id")
    assert context["identity"] | {"sourceIp": "127.0.0.1", "userAgent": "agent/1"} == context["identity"]
    assert context["requestTimeEpoch"] > 1_700_000_000_000


def test_what_is_absent_is_null_as_in_the_cloud() -> None:
    event = _event("/")
    absent = ("queryStringParameters", "multiValueQueryStringParameters", "stageVariables", "body")
    assert [event[name] for name in absent] == [None] * 4
    assert event["isBase64Encoded"] is False


def test_the_gateways_own_headers_are_added_to_the_clients() -> None:
    headers = _event("/", headers=(("Host", "h"), ("x-forwarded-for", "203.0.113.1"), ("X-Forwarded-Proto", "gopher")))[
        "multiValueHeaders"
    ]
    assert headers["X-Forwarded-For"] == ["203.0.113.1, 127.0.0.1"]
    assert headers["X-Forwarded-Proto"] == ["http"]
    assert headers["X-Amzn-Trace-Id"][0].startswith("Root=1-")


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("application/json", '{"é": 1}'.encode(), False),
        ("application/octet-stream", b"text", True),
        ("Image/PNG", b"text", True),
        ("multipart/form-data; boundary=x", b"--x", True),
        ("application/json", b"\xff\xfe", True),
    ],
)
def test_bodies_are_text_unless_their_type_or_bytes_are_binary(content_type: str, body: bytes, is_base64: bool) -> None:
    event = _event("/", method="POST", headers=(("Host", "h"), ("content-type", content_type)), body=body)
    assert event["isBase64Encoded"] is is_base64
    assert (base64.b64decode(event["body"]) if is_base64 else event["body"].encode()) == body


def test_text_is_counted_as_it_was_sent_and_not_by_its_escapes() -> None:
    body = "ü漢😀".encode() * 1000
    assert len(make_rest_event("/", method="POST", body=body)) < len(body) + 3000


def test_a_request_line_that_is_not_utf_8_makes_an_event_all_the_same() -> None:
    assert _event("/m\udcf6dell")["path"] == "/m\udcf6dell"
