import importlib
import json
from typing import Any

import pytest
from mangum import Mangum
from tests.runtime.support.events import make_rest_event

from lambda_stream import protocol
from lambda_stream.events import UnsupportedEventError, read_request, require_http_event


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("only its events are read")


def _context() -> Any:
    return importlib.import_module("awslambdaric.lambda_context").LambdaContext("an-id", None, None, 1_700_000_000_123)


def _read(event: dict[str, Any]) -> Any:
    # Mangum asks for the current loop, so the tests that come here are coroutines.
    return read_request(Mangum(_app, lifespan="off"), event, _context())


def _rest(target: str, **request: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(make_rest_event(target, **request))
    return event


async def test_a_rest_event_becomes_a_scope_with_event_context_and_deadline() -> None:
    event = _rest("/v1/models?limit=3")
    request = _read(event)
    assert request.scope["aws.event"] is event
    assert request.scope["aws.context"].aws_request_id == "an-id"
    assert request.scope["aws.deadline_ms"] == 1_700_000_000_123
    assert request.scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (request.scope["type"], request.scope["method"]) == ("http", "GET")
    assert request.encode_prelude is protocol.prelude_multi_value


async def test_repeated_request_headers_stay_apart() -> None:
    event = _rest("/", headers=(("Host", "h"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X-Latin", "caf\u00e9")))
    headers = _read(event).scope["headers"]
    assert [value for name, value in headers if name == b"cookie"] == [b"a=1", b"b=2"]
    assert (b"x-latin", b"caf\xe9") in headers


async def test_unicode_paths_and_queries_are_decoded_once() -> None:
    request = _read(_rest("/caf%C3%A9/%25?q=%E2%82%AC&q=a+b&empty="))
    assert request.scope["path"] == "/café/%"
    assert request.scope["query_string"] == b"q=%E2%82%AC&q=a+b&empty="


async def test_a_base64_body_is_decoded_and_a_text_body_encoded() -> None:
    octets = _read(_rest("/", method="POST", body=b"\xff\xfe"))
    text = _read(_rest("/", method="POST", body="é".encode()))
    assert (octets.body, text.body) == (b"\xff\xfe", "é".encode())


async def test_a_body_that_is_not_the_base64_it_claims_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"base64|padding|multiple of 4"):
        _read(_rest("/") | {"body": "a", "isBase64Encoded": True})


async def test_an_event_of_a_function_url_is_read_too_and_its_prelude_joins_headers() -> None:
    event = {
        "version": "2.0",
        "rawPath": "/p",
        "rawQueryString": "a=1&a=2",
        "cookies": ["c=1", "d=2"],
        "headers": {"host": "abc.lambda-url.us-east-1.on.aws", "x-one": "1"},
        "requestContext": {"http": {"method": "POST", "path": "/p", "sourceIp": "127.0.0.1"}},
        "body": "eyJ9",
        "isBase64Encoded": True,
    }
    request = _read(event)
    assert (request.scope["method"], request.scope["path"], request.scope["query_string"]) == ("POST", "/p", b"a=1&a=2")
    assert [b"cookie", b"c=1; d=2"] in [list(header) for header in request.scope["headers"]]
    assert request.body == b'{"}'
    assert request.encode_prelude is protocol.prelude_joined


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (None, "JSON NoneType"),
        ("text", "JSON str"),
        ({"Records": [{"EventSource": "aws:sns"}]}, "aws:sns"),
        ({"Records": []}, "keys"),
        ({"resource": "/", "httpMethod": "GET"}, "keys"),
        ({"requestContext": {"elb": {}}, "resource": "/", "httpMethod": "GET"}, "Load Balancer"),
    ],
)
def test_what_is_no_http_request_is_named_in_the_error(event: object, named: str) -> None:
    with pytest.raises(UnsupportedEventError, match=named):
        require_http_event(event)
