"""Case 25: what Bedrock's errors mean."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.bedrock_converse.judge import operation

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.bedrock_converse import upstream


def error(status: int, kind: str = "", message: str = "no", **headers: str) -> GatewayError:
    named = {"x-amzn-errortype": kind} if kind else {}
    return upstream.error(status, {**named, **headers}, json.dumps({"message": message}).encode())


@pytest.mark.parametrize(
    ("status", "kind", "expected", "client_status"),
    [
        (403, "AccessDeniedException", ErrorKind.UPSTREAM_AUTH, 502),
        (403, "UnrecognizedClientException", ErrorKind.UPSTREAM_AUTH, 502),
        (403, "ExpiredTokenException:http://internal.amazon.com/coral/", ErrorKind.UPSTREAM_AUTH, 502),
        (403, "InvalidSignatureException", ErrorKind.UPSTREAM_AUTH, 502),
        (400, "IncompleteSignatureException", ErrorKind.UPSTREAM_AUTH, 502),
        (429, "ThrottlingException", ErrorKind.RATE_LIMITED, 429),
        (400, "ThrottlingException", ErrorKind.RATE_LIMITED, 429),
        (400, "ServiceQuotaExceededException", ErrorKind.RATE_LIMITED, 429),
        (429, "ModelNotReadyException", ErrorKind.UPSTREAM_OVERLOADED, 503),
        (503, "ServiceUnavailableException", ErrorKind.UPSTREAM_OVERLOADED, 503),
        (408, "ModelTimeoutException", ErrorKind.UPSTREAM_TIMEOUT, 504),
        (424, "ModelErrorException", ErrorKind.UPSTREAM_ERROR, 502),
        (500, "InternalServerException", ErrorKind.UPSTREAM_ERROR, 502),
        (404, "ResourceNotFoundException", ErrorKind.MODEL_NOT_FOUND, 404),
        (400, "ValidationException", ErrorKind.INVALID_REQUEST, 400),
        (401, "", ErrorKind.UPSTREAM_AUTH, 502),
        (403, "", ErrorKind.UPSTREAM_AUTH, 502),
        (413, "", ErrorKind.TOO_LARGE, 413),
        (418, "", ErrorKind.INVALID_REQUEST, 400),
        (429, "", ErrorKind.RATE_LIMITED, 429),
        (529, "", ErrorKind.UPSTREAM_OVERLOADED, 503),
        (502, "", ErrorKind.UPSTREAM_ERROR, 502),
        (302, "", ErrorKind.UPSTREAM_PROTOCOL, 502),
    ],
)
def test_case_25_each_error_is_distinct(status: int, kind: str, expected: ErrorKind, client_status: int) -> None:
    found = error(status, kind)
    assert (found.kind, found.status, found.upstream_status) == (expected, client_status, status)
    assert found.upstream_type == (kind.split(":")[0] or None)


def test_case_25_every_error_of_the_service_model_is_known() -> None:
    for shape in operation("Converse").error_shapes:
        found = error(shape.metadata["error"]["httpStatusCode"], shape.name)
        assert found.kind is not ErrorKind.UPSTREAM_PROTOCOL
        assert found.upstream_type == shape.name


@pytest.mark.parametrize(
    "message",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum",
        "The model returned the following errors: input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9001",
        "This model's maximum context length is 131072 tokens.",
    ],
)
def test_case_25_context_length_is_recognised_in_words(message: str) -> None:
    found = error(400, "ValidationException", message)
    assert (found.kind, found.status, found.message) == (ErrorKind.CONTEXT_LENGTH, 400, message)


def test_case_25_context_length_is_recognised_in_the_models_own_error_too() -> None:
    found = error(424, "ModelErrorException", "maximum context length is 8192 tokens")
    assert found.kind is ErrorKind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Output blocked by content filtering policy", ErrorKind.CONTENT_POLICY),
        ("The request was blocked by the guardrail", ErrorKind.CONTENT_POLICY),
        ("The provided model identifier is invalid.", ErrorKind.MODEL_NOT_FOUND),
        ("Malformed input request: extraneous key [safety_identifier] is not permitted", ErrorKind.INVALID_REQUEST),
        ("The maximum tokens you requested exceeds the model limit of 4096.", ErrorKind.INVALID_REQUEST),
    ],
)
def test_case_25_other_refusals_are_told_apart(message: str, kind: ErrorKind) -> None:
    assert error(400, "ValidationException", message).kind is kind


def test_case_25_throttling_about_tokens_is_a_rate_limit_and_not_the_context() -> None:
    found = error(429, "ThrottlingException", "Too many tokens, please wait before trying again.")
    assert found.kind is ErrorKind.RATE_LIMITED
    assert found.retryable


def test_case_25_retry_after_is_passed_on_in_seconds() -> None:
    headers = {"x-amzn-errortype": "ThrottlingException", "retry-after": "7"}
    assert upstream.error(429, headers, b"{}").retry_after_s == 7.0
    assert upstream.error(429, {**headers, "retry-after": "soon"}, b"{}").retry_after_s is None


@pytest.mark.parametrize("body", [{"__type": "com.amazon.coral#ThrottlingException"}, {"code": "ThrottlingException"}])
def test_case_25_the_type_may_stand_in_the_body(body: dict[str, str]) -> None:
    assert upstream.error(400, {}, json.dumps(body).encode()).kind is ErrorKind.RATE_LIMITED


def test_account_numbers_and_arns_do_not_reach_the_client() -> None:
    message = (
        "User: arn:aws:sts::123456789012:assumed-role/gateway/x is not authorized to perform: bedrock:InvokeModel on resource: "
        "arn:aws:bedrock:us-east-1::foundation-model/m (account 123456789012)"
    )
    shown = error(403, "AccessDeniedException", message).message
    assert shown == "User: *** is not authorized to perform: bedrock:InvokeModel on resource: *** (account ***)"


@settings(deadline=None, max_examples=60)
@given(
    st.integers(300, 599), st.one_of(st.binary(max_size=60), st.sampled_from([b"<html>503</html>", b"[]", b'{"message":3}']))
)
def test_any_body_is_survived(status: int, body: bytes) -> None:
    found = upstream.error(status, {}, body)
    assert found.message
    assert found.upstream_status == status
