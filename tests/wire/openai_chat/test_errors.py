"""What upstream errors mean, in every shape that OpenAI's relatives give them (case 25), and how clients are told."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.openai_chat.recordings import ERRORS, Recorded, named, needs_recordings

from pllm.core.errors import ErrorKind, GatewayError, invalid, unsupported
from pllm.core.jsontext import JsonObject
from pllm.wire.openai_chat.errors import error_body, error_in_answer, error_type, read_error


def read(status: int, body: Any, **headers: str) -> GatewayError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def openai(message: str = "m", **fields: Any) -> JsonObject:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown"),
    [
        # OpenAI, Azure and those who copy them faithfully
        (400, openai(type="invalid_request_error", param="messages"), ErrorKind.INVALID_REQUEST, 400),
        (400, openai(code="context_length_exceeded"), ErrorKind.CONTEXT_LENGTH, 400),
        (400, openai(code="unsupported_parameter", param="max_tokens"), ErrorKind.UNSUPPORTED_PARAMETER, 400),
        (
            400,
            openai(code="content_filter", innererror={"code": "x"}),
            ErrorKind.CONTENT_POLICY,
            400,
        ),
        (400, openai(code="x", innererror={"code": "ResponsibleAIPolicyViolation"}), ErrorKind.CONTENT_POLICY, 400),
        (400, openai(code="content_policy_violation"), ErrorKind.CONTENT_POLICY, 400),
        (401, openai(code="invalid_api_key"), ErrorKind.UPSTREAM_AUTH, 502),
        (403, openai("Country not supported"), ErrorKind.UPSTREAM_AUTH, 502),
        (404, openai(code="model_not_found"), ErrorKind.MODEL_NOT_FOUND, 404),
        (404, openai("The API deployment does not exist", code="DeploymentNotFound"), ErrorKind.MODEL_NOT_FOUND, 404),
        (404, openai("No such thing"), ErrorKind.NOT_FOUND, 404),
        (429, openai(type="requests", code="rate_limit_exceeded"), ErrorKind.RATE_LIMITED, 429),
        (429, openai(type="insufficient_quota", code="insufficient_quota"), ErrorKind.RATE_LIMITED, 429),
        (500, openai(type="server_error"), ErrorKind.UPSTREAM_ERROR, 500),
        (503, openai("The engine is overloaded"), ErrorKind.UPSTREAM_OVERLOADED, 503),
        (529, openai(type="overloaded_error"), ErrorKind.UPSTREAM_OVERLOADED, 529),
        (504, openai(), ErrorKind.UPSTREAM_TIMEOUT, 504),
        (408, openai(), ErrorKind.UPSTREAM_TIMEOUT, 504),
        (413, openai(), ErrorKind.TOO_LARGE, 413),
        (401, {"statusCode": 401, "message": "Access denied due to invalid subscription key"}, ErrorKind.UPSTREAM_AUTH, 502),
        # Groq: too many tokens for a minute's allowance is a rate limit, though it comes as 413
        (
            413,
            openai("Too large for TPM", type="tokens", code="rate_limit_exceeded"),
            ErrorKind.RATE_LIMITED,
            429,
        ),
        (498, openai(code="capacity_exceeded"), ErrorKind.UPSTREAM_OVERLOADED, 503),
        # Mistral
        (
            400,
            {
                "object": "error",
                "message": "Prompt contains 40000 tokens and is too large for model with 32768 maximum context length",
            },
            ErrorKind.CONTEXT_LENGTH,
            400,
        ),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "Input should be 1"}]}, ErrorKind.INVALID_REQUEST, 422),
        (422, {"object": "error", "message": {"detail": [{"loc": ["body"], "msg": "bad"}]}}, ErrorKind.INVALID_REQUEST, 422),
        (401, {"message": "Unauthorized", "request_id": "r"}, ErrorKind.UPSTREAM_AUTH, 502),
        # OpenRouter
        (429, openai("Provider returned error", code=429, metadata={"raw": "limited upstream"}), ErrorKind.RATE_LIMITED, 429),
        (403, openai("Flagged", code=403, metadata={"reasons": ["violence"]}), ErrorKind.CONTENT_POLICY, 400),
        (402, openai("Insufficient credits", code=402), ErrorKind.UPSTREAM_AUTH, 502),
        # DeepSeek, xAI, Together, Cerebras, Perplexity
        (402, openai("Insufficient Balance"), ErrorKind.UPSTREAM_AUTH, 502),
        (400, openai("This model's maximum context length is 65536 tokens"), ErrorKind.CONTEXT_LENGTH, 400),
        (
            400,
            {"code": "Client specified an invalid argument", "error": "maximum prompt length is 131072"},
            ErrorKind.CONTEXT_LENGTH,
            400,
        ),
        (403, {"code": "denied", "error": "Content violates usage guidelines."}, ErrorKind.CONTENT_POLICY, 400),
        (
            422,
            openai("`inputs` tokens + `max_new_tokens` must be <= 4097"),
            ErrorKind.CONTEXT_LENGTH,
            400,
        ),
        (400, {"message": "bad", "type": "invalid_request_error", "code": "wrong_api_format"}, ErrorKind.INVALID_REQUEST, 400),
        # llama.cpp, vLLM, Ollama, Hugging Face, NVIDIA, Gemini's compatible endpoint
        (400, openai("exceeds", code=400, type="exceed_context_size_error", n_ctx=512), ErrorKind.CONTEXT_LENGTH, 400),
        (400, {"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, ErrorKind.INVALID_REQUEST, 400),
        (404, {"error": "model 'x' not found"}, ErrorKind.MODEL_NOT_FOUND, 404),
        (503, {"error": "Model is loading", "error_type": "overloaded"}, ErrorKind.UPSTREAM_OVERLOADED, 503),
        (404, {"type": "about:blank", "status": 404, "title": "Not Found", "detail": "no"}, ErrorKind.NOT_FOUND, 404),
        (400, [{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], ErrorKind.INVALID_REQUEST, 400),
        # Not an API's answer at all
        (404, b"<html>nginx</html>", ErrorKind.UPSTREAM_ERROR, 502),
        (400, b"", ErrorKind.UPSTREAM_ERROR, 502),
        (502, b"<!DOCTYPE html>", ErrorKind.UPSTREAM_ERROR, 502),
        (500, b"\xff\xfe", ErrorKind.UPSTREAM_ERROR, 500),
        (503, b"upstream connect error", ErrorKind.UPSTREAM_OVERLOADED, 503),
        (302, b"", ErrorKind.UPSTREAM_ERROR, 502),
        (429, b"", ErrorKind.RATE_LIMITED, 429),
    ],
)
def test_case_25_errors_are_told_apart(status: int, body: Any, kind: ErrorKind, shown: int) -> None:
    error = read(status, body)
    assert (error.kind, error.status, error.upstream_status) == (kind, shown, status)
    assert error.message


def test_case_25_code_param_and_type_survive() -> None:
    error = read(400, openai("Bad 'x'", type="invalid_request_error", param="x", code="invalid_value"))
    assert (error.message, error.param, error.code, error.upstream_type) == (
        "Bad 'x'",
        "x",
        "invalid_value",
        "invalid_request_error",
    )
    assert read(429, openai(code="insufficient_quota")).code == "insufficient_quota"
    assert read(429, openai(code=429)).code == "rate_limit_exceeded"


def test_case_25_what_openrouter_heard_behind_it_is_told() -> None:
    assert "limited upstream" in read(429, openai("Provider returned error", metadata={"raw": "limited upstream"})).message


def test_case_25_auth_errors_never_show_what_the_provider_says_of_our_key() -> None:
    error = read(401, openai("Incorrect API key provided: sk-abc***xyz.", type="invalid_request_error", param="key"))
    assert "sk-" not in error_body(error).decode()
    assert (error.param, error.status) == (None, 502)
    assert error_type(error) == "upstream_error"
    assert error.retryable


def test_case_25_retry_after_is_passed_on_in_seconds() -> None:
    assert read(429, openai(), retry_after="7").retry_after_s == 7
    assert read(503, openai(), retry_after_ms="1500").retry_after_s == 1.5
    assert read(429, openai("Please try again in 1m2.5s.")).retry_after_s == 62.5
    assert read(400, openai(), retry_after="7").retry_after_s is None
    assert [read(status, openai(), retry_after="7").retry_after_s for status in (500, 502, 504)] == [7, 7, 7]


def test_long_messages_are_cut() -> None:
    assert len(read(400, openai("x" * 100_000)).message) <= 4000


@pytest.mark.parametrize(
    ("value", "kind", "status"),
    [
        ({"error": {"message": "m", "code": 429}}, ErrorKind.RATE_LIMITED, 429),
        ({"error": {"message": "m", "code": "503"}}, ErrorKind.UPSTREAM_OVERLOADED, 503),
        ({"error": {"message": "m", "type": "overloaded_error"}}, ErrorKind.UPSTREAM_OVERLOADED, 503),
        ({"error": {"message": "m", "type": "rate_limit_error"}}, ErrorKind.RATE_LIMITED, 429),
        ({"error": {"message": "m", "code": "content_filter", "status": 400}}, ErrorKind.CONTENT_POLICY, 400),
        ({"error": {"message": "m", "code": "context_length_exceeded"}}, ErrorKind.CONTEXT_LENGTH, 400),
        ({"error": {"message": "m", "type": "server_error"}}, ErrorKind.UPSTREAM_ERROR, 502),
        ({"error": "boom"}, ErrorKind.UPSTREAM_ERROR, 502),
        ({"error": {}}, ErrorKind.UPSTREAM_ERROR, 502),
        ({"error": True}, ErrorKind.UPSTREAM_ERROR, 502),
        ({"message": "m"}, ErrorKind.UPSTREAM_ERROR, 502),
    ],
)
def test_case_18_errors_inside_an_answer_or_a_stream(value: JsonObject, kind: ErrorKind, status: int) -> None:
    error = error_in_answer(value)
    assert (error.kind, error.status) == (kind, status)


@needs_recordings
@named(ERRORS)
def test_every_recorded_error_is_understood(recorded: Recorded) -> None:
    error = read_error(recorded.status, recorded.headers, recorded.body)
    told = json.loads(recorded.body)["error"]
    assert told["message"] in error.message
    assert error.upstream_status == error.status == recorded.status
    expected = {404: ErrorKind.MODEL_NOT_FOUND, 429: ErrorKind.RATE_LIMITED}
    kinds = {expected.get(recorded.status, ErrorKind.INVALID_REQUEST), ErrorKind.UNSUPPORTED_PARAMETER}
    assert error.kind in kinds


KEYS = st.sampled_from(["error", "message", "code", "type", "detail", "metadata", "innererror", "status"])
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@settings(max_examples=200, deadline=None)
@given(st.integers(300, 599), json_like | st.binary(max_size=20))
def test_any_body_at_all_is_survived(status: int, body: Any) -> None:
    error = read(status, body)
    assert error.message
    assert 400 <= error.status <= 599
    assert json.loads(error_body(error))["error"].keys() == {"message", "type", "param", "code"}


def test_clients_are_told_in_openais_shape() -> None:
    assert (
        json.loads(error_body(unsupported("seed", "m")))["error"].items()
        >= {
            "type": "invalid_request_error",
            "param": "seed",
            "code": "unsupported_parameter",
        }.items()
    )
    kinds = {
        ErrorKind.AUTHENTICATION: "authentication_error",
        ErrorKind.PERMISSION: "permission_error",
        ErrorKind.RATE_LIMITED: "rate_limit_error",
        ErrorKind.BUDGET_EXCEEDED: "insufficient_quota",
        ErrorKind.INTERNAL: "server_error",
        ErrorKind.UPSTREAM_TIMEOUT: "upstream_error",
        ErrorKind.MODEL_NOT_FOUND: "invalid_request_error",
    }
    assert {kind: error_type(GatewayError(kind, "m")) for kind in kinds} == kinds
    assert error_type(invalid("m")) == "invalid_request_error"
