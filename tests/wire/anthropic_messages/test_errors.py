"""Errors in Anthropic's words, both ways: cases 17 and 25."""

import json

import pytest
from anthropic.types.shared import ErrorResponse

from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.wire.anthropic_messages import client, upstream


def read(status: int, error_type: str = "", message: str = "oops", **headers: str) -> GatewayError:
    body = {"type": "error", "error": {"type": error_type, "message": message}}
    return upstream.error(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "error_type", "message", "kind", "answered"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", ErrorKind.INVALID_REQUEST, 400),
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", ErrorKind.CONTEXT_LENGTH, 400),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 199 + 20 > 200",
            ErrorKind.CONTEXT_LENGTH,
            400,
        ),
        (400, "invalid_request_error", "Output blocked by content filtering policy", ErrorKind.CONTENT_POLICY, 400),
        (400, "invalid_request_error", "Your credit balance is too low to access", ErrorKind.UPSTREAM_AUTH, 502),
        (401, "authentication_error", "invalid x-api-key", ErrorKind.UPSTREAM_AUTH, 502),
        (402, "billing_error", "pay", ErrorKind.UPSTREAM_AUTH, 502),
        (403, "permission_error", "no", ErrorKind.UPSTREAM_AUTH, 502),
        (404, "not_found_error", "model: claude-none", ErrorKind.MODEL_NOT_FOUND, 404),
        (404, "not_found_error", "no such file", ErrorKind.NOT_FOUND, 404),
        (413, "request_too_large", "big", ErrorKind.TOO_LARGE, 413),
        (429, "rate_limit_error", "slow down", ErrorKind.RATE_LIMITED, 429),
        (500, "api_error", "Internal server error", ErrorKind.UPSTREAM_ERROR, 502),
        (504, "timeout_error", "late", ErrorKind.UPSTREAM_TIMEOUT, 504),
        (529, "overloaded_error", "Overloaded", ErrorKind.UPSTREAM_OVERLOADED, 503),
        (418, "", "teapot", ErrorKind.INVALID_REQUEST, 400),
        (599, "", "odd", ErrorKind.UPSTREAM_ERROR, 502),
    ],
)
def test_case_25_each_error_has_its_own_class(
    status: int, error_type: str, message: str, kind: ErrorKind, answered: int
) -> None:
    error = read(status, error_type, message)
    assert (error.kind, error.status, error.upstream_status) == (kind, answered, status)
    assert error.upstream_type == (error_type or error.upstream_type)
    assert message in error.message


def test_case_25_retry_after_is_passed_on_in_seconds() -> None:
    assert read(429, "rate_limit_error", retry_after="12").retry_after_s == 12
    assert read(529, "overloaded_error", retry_after_ms="1500").retry_after_s == 1.5
    dated = {"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert read(429, "rate_limit_error", **dated).retry_after_s == 30
    for nonsense in ("soon", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:30 GMT"):
        assert read(429, "rate_limit_error", retry_after=nonsense).retry_after_s is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown"),
    [
        (503, b"<html><body>Bad gateway</body></html>", ErrorKind.UPSTREAM_OVERLOADED, "status 503"),
        (500, b"", ErrorKind.UPSTREAM_ERROR, "status 500"),
        (500, b"\xff\xfe", ErrorKind.UPSTREAM_ERROR, ""),
        (400, b'"just text"', ErrorKind.INVALID_REQUEST, "status 400"),
        (429, b'[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]', ErrorKind.RATE_LIMITED, "Quota"),
        (400, b'{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT"}}', ErrorKind.INVALID_REQUEST, "Bad"),
        (429, b'{"message":"Too many requests"}', ErrorKind.RATE_LIMITED, "Too many requests"),
        (400, b'{"error":"plain"}', ErrorKind.INVALID_REQUEST, "plain"),
        (502, b"upstream connect error", ErrorKind.UPSTREAM_ERROR, "upstream connect error"),
    ],
)
def test_case_25_any_body_is_survived(status: int, body: bytes, kind: ErrorKind, shown: str) -> None:
    error = upstream.error(status, {}, body)
    assert error.kind is kind and shown in error.message


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        (ErrorKind.INVALID_REQUEST, "invalid_request_error"),
        (ErrorKind.UNSUPPORTED_PARAMETER, "invalid_request_error"),
        (ErrorKind.CONTEXT_LENGTH, "invalid_request_error"),
        (ErrorKind.AUTHENTICATION, "authentication_error"),
        (ErrorKind.PERMISSION, "permission_error"),
        (ErrorKind.MODEL_NOT_FOUND, "not_found_error"),
        (ErrorKind.TOO_LARGE, "request_too_large"),
        (ErrorKind.RATE_LIMITED, "rate_limit_error"),
        (ErrorKind.BUDGET_EXCEEDED, "rate_limit_error"),
        (ErrorKind.UPSTREAM_OVERLOADED, "overloaded_error"),
        (ErrorKind.UNAVAILABLE, "overloaded_error"),
        (ErrorKind.UPSTREAM_TIMEOUT, "timeout_error"),
        (ErrorKind.UPSTREAM_AUTH, "api_error"),
        (ErrorKind.STREAM_BROKEN, "api_error"),
        (ErrorKind.NOT_IMPLEMENTED, "api_error"),
    ],
)
def test_case_17_the_client_gets_anthropics_error_object(kind: ErrorKind, error_type: str) -> None:
    body = client.error(GatewayError(kind, "what happened"))
    assert json.loads(body) == {"type": "error", "error": {"type": error_type, "message": "what happened"}}
    if error_type != "request_too_large":  # documented by Anthropic, not typed by its SDK
        assert ErrorResponse.model_validate_json(body).error.type == error_type


def test_every_kind_of_error_can_be_said() -> None:
    assert all(json.loads(client.error(GatewayError(kind, "x")))["error"]["type"] for kind in ErrorKind)
    assert json.loads(client.error(invalid("x")))["error"]["type"] == "invalid_request_error"
