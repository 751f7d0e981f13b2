"""Google's errors as gateway errors (translation case 25)."""

import json

import pytest

from pllm.core.errors import ErrorKind
from pllm.wire.gemini import upstream

RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}
WRONG_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
FIELD = {
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    "fieldViolations": [{"field": "generation_config.temperature", "description": "too hot"}],
}


def body(code: int, status: str, message: str = "m", *details: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": list(details)}}).encode()


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "shown"),
    [
        (400, "INVALID_ARGUMENT", "Bad temperature.", ErrorKind.INVALID_REQUEST, 400),
        (400, "FAILED_PRECONDITION", "User location is not supported.", ErrorKind.UPSTREAM_ERROR, 502),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", ErrorKind.UPSTREAM_AUTH, 502),
        (401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", ErrorKind.UPSTREAM_AUTH, 502),
        (403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.predict' denied", ErrorKind.UPSTREAM_AUTH, 502),
        (404, "NOT_FOUND", "models/x is not found", ErrorKind.MODEL_NOT_FOUND, 404),
        (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.", ErrorKind.TOO_LARGE, 413),
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", ErrorKind.RATE_LIMITED, 429),
        (500, "INTERNAL", "An internal error has occurred.", ErrorKind.UPSTREAM_ERROR, 502),
        (503, "UNAVAILABLE", "The model is overloaded.", ErrorKind.UPSTREAM_OVERLOADED, 503),
        (504, "DEADLINE_EXCEEDED", "The request timed out.", ErrorKind.UPSTREAM_TIMEOUT, 504),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576).",
            ErrorKind.CONTEXT_LENGTH,
            400,
        ),
        (400, "INVALID_ARGUMENT", "The prompt violates our usage guidelines.", ErrorKind.CONTENT_POLICY, 400),
    ],
)
def test_case_25_error_classes_are_told_apart(code: int, status: str, message: str, kind: ErrorKind, shown: int) -> None:
    error = upstream.error(code, {}, body(code, status, message))
    assert (error.kind, error.status) == (kind, shown)
    assert error.message == message
    assert (error.upstream_status, error.upstream_type) == (code, status)


def test_case_25_the_wished_delay_is_passed_on_in_seconds() -> None:
    assert upstream.error(429, {}, body(429, "RESOURCE_EXHAUSTED", "q", RETRY)).retry_after_s == 34.074824224
    assert upstream.error(429, {"retry-after": "7"}, body(429, "RESOURCE_EXHAUSTED", "q", RETRY)).retry_after_s == 7
    assert upstream.error(429, {"retry-after": "soon"}, body(429, "RESOURCE_EXHAUSTED")).retry_after_s is None


def test_case_25_a_wrong_key_is_ours_to_mend_whatever_the_sentence() -> None:
    assert upstream.error(400, {}, body(400, "INVALID_ARGUMENT", "no", WRONG_KEY)).kind is ErrorKind.UPSTREAM_AUTH


def test_case_25_the_offending_field_is_named() -> None:
    assert upstream.error(400, {}, body(400, "INVALID_ARGUMENT", "no", FIELD)).param == "generation_config.temperature"


def test_case_25_a_stream_answers_its_error_in_a_list() -> None:
    listed = b"[" + body(429, "RESOURCE_EXHAUSTED", "slow", RETRY) + b"]"
    error = upstream.error(429, {}, listed)
    assert error.message == "slow" and error.retry_after_s == 34.074824224


STRANGE = [b"", b"<html>Bad Gateway</html>", b"\xff\xfe", b"[]", b"7", b'{"error": 3}', b'{"error":{"details":7}}']


@pytest.mark.parametrize("raw", STRANGE)
def test_case_25_any_body_is_survived(raw: bytes) -> None:
    error = upstream.error(502, {}, raw)
    assert error.kind is ErrorKind.UPSTREAM_ERROR and error.upstream_status == 502 and error.message


def test_case_25_a_bare_sentence_is_quoted() -> None:
    assert "no healthy upstream" in upstream.error(503, {}, b"no healthy upstream").message
    assert upstream.error(400, {}, b'{"error": "just text"}').message == "just text"
