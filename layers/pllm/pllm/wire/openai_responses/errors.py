"""Errors in the words of the Responses API. The OpenAI error object itself is the same in all of OpenAI's dialects."""

from collections.abc import Mapping
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.openai_chat.errors import error_body, error_in_answer, error_type, read_error

__all__ = ["error_body", "error_event", "failed_error", "read_error", "reported_error"]

_POLICY_CODES = frozenset({"invalid_prompt", "bio_policy", "misalignment_policy_violation", "image_content_policy_violation"})

_CLIENT_FAULTS = frozenset(
    {
        ErrorKind.INVALID_REQUEST,
        ErrorKind.UNSUPPORTED_PARAMETER,
        ErrorKind.CONTEXT_LENGTH,
        ErrorKind.CONTENT_POLICY,
        ErrorKind.TOO_LARGE,
    }
)


def reported_error(value: Mapping[str, Any]) -> GatewayError:
    """The error of a failed Response object or an `error` event, flat or nested."""
    nested = value.get("error")
    stated = nested if isinstance(nested, Mapping) else {key: item for key, item in value.items() if key != "type"}
    code, message = stated.get("code"), stated.get("message")
    if isinstance(code, str) and isinstance(message, str):
        if code in _POLICY_CODES:
            return GatewayError(ErrorKind.CONTENT_POLICY, message, code=code)
        if "image" in code:
            return GatewayError(ErrorKind.INVALID_REQUEST, message, code=code, param="input")
    return error_in_answer({"error": stated})


def error_event(error: GatewayError) -> JsonObject:
    """The payload of an `error` event. The documented form is flat; what OpenAI sends, and what makes its SDKs raise, has
    the error object. This has both."""
    shown = {"type": error_type(error), "code": error.code, "message": error.message, "param": error.param}
    return {"type": "error", "code": error.code, "message": error.message, "param": error.param, "error": shown}


def failed_error(error: GatewayError) -> JsonObject:
    """`error` of a failed Response object. Its codes are a closed list; the exact one stands in the `error` event."""
    code = "server_error"
    if error.kind in (ErrorKind.RATE_LIMITED, ErrorKind.BUDGET_EXCEEDED):
        code = "rate_limit_exceeded"
    elif error.kind in _CLIENT_FAULTS:
        code = "invalid_prompt"
    return {"code": code, "message": error.message}
