"""Errors in Anthropic's words: reading a provider's, writing the client's (cases 17 and 25)."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire import sse

_BY_TYPE = {
    "invalid_request_error": ErrorKind.INVALID_REQUEST,
    "authentication_error": ErrorKind.UPSTREAM_AUTH,
    "permission_error": ErrorKind.UPSTREAM_AUTH,
    "billing_error": ErrorKind.UPSTREAM_AUTH,
    "not_found_error": ErrorKind.NOT_FOUND,
    "request_too_large": ErrorKind.TOO_LARGE,
    "rate_limit_error": ErrorKind.RATE_LIMITED,
    "api_error": ErrorKind.UPSTREAM_ERROR,
    "timeout_error": ErrorKind.UPSTREAM_TIMEOUT,
    "overloaded_error": ErrorKind.UPSTREAM_OVERLOADED,
}

_BY_STATUS = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.UPSTREAM_AUTH,
    402: ErrorKind.UPSTREAM_AUTH,
    403: ErrorKind.UPSTREAM_AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.UPSTREAM_TIMEOUT,
    409: ErrorKind.CONFLICT,
    413: ErrorKind.TOO_LARGE,
    422: ErrorKind.INVALID_REQUEST,
    429: ErrorKind.RATE_LIMITED,
    503: ErrorKind.UPSTREAM_OVERLOADED,
    504: ErrorKind.UPSTREAM_TIMEOUT,
    529: ErrorKind.UPSTREAM_OVERLOADED,
}

_CONTEXT_LENGTH = (
    "prompt is too long",
    "exceed context limit",
    "exceeds the context",
    "maximum context length",
    "context window",
    "input is too long",
)
_CONTENT_POLICY = ("content filtering policy", "usage policy", "safety filter", "harmful content")
_NO_CREDIT = ("credit balance is too low", "usage limits", "spend limit")
_BY_WORDS = (
    (_NO_CREDIT, ErrorKind.UPSTREAM_AUTH),
    (_CONTEXT_LENGTH, ErrorKind.CONTEXT_LENGTH),
    (_CONTENT_POLICY, ErrorKind.CONTENT_POLICY),
)

_SHOWN_CHARACTERS = 2000


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """What a non-2xx answer means. Understands Anthropic's body, Vertex's and Bedrock's, and survives any other."""
    error_type, message = _said(body)
    if not message:
        message = f"The provider answered with status {status} and no readable message."
    kind = _kind(status, error_type, message)
    return _error(kind, message, error_type, status, _retry_after_s(headers))


def read_event_error(payload: Mapping[str, Any]) -> GatewayError:
    """The error that an `error` event inside a stream reports."""
    said = payload.get("error")
    fields = said if isinstance(said, dict) else {}
    error_type = fields.get("type") if isinstance(fields.get("type"), str) else None
    message = str(fields.get("message") or "The provider reported an error inside the stream.")
    kind = _kind(0, error_type, message)
    return _error(kind, message, error_type, None, None)


def _kind(status: int, error_type: str | None, message: str) -> ErrorKind:
    kind = _BY_TYPE.get(error_type or "") or _BY_STATUS.get(status)
    if kind is None:
        return ErrorKind.INVALID_REQUEST if 400 <= status < 500 else ErrorKind.UPSTREAM_ERROR
    lowered = message.lower()
    if kind in (ErrorKind.INVALID_REQUEST, ErrorKind.TOO_LARGE):
        return next((meaning for texts, meaning in _BY_WORDS if any(text in lowered for text in texts)), kind)
    if kind is ErrorKind.NOT_FOUND and "model" in lowered:
        return ErrorKind.MODEL_NOT_FOUND
    return kind


def _error(
    kind: ErrorKind, message: str, error_type: str | None, status: int | None, retry_after_s: float | None
) -> GatewayError:
    if kind is ErrorKind.UPSTREAM_AUTH:
        # The client's own key is fine: what the provider says of ours is for the operator.
        message = f"The provider refused the gateway's credentials or account: {message}"
    return GatewayError(kind, message, retry_after_s=retry_after_s, upstream_status=status, upstream_type=error_type)


def _said(body: bytes) -> tuple[str | None, str]:
    try:
        parsed = loads(body)
    except JsonError:
        text = body.decode("utf-8", "replace").strip()
        return None, "" if text.startswith("<") else text[:_SHOWN_CHARACTERS]
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return None, ""
    said = parsed.get("error", parsed)
    if not isinstance(said, dict):
        return None, str(said)[:_SHOWN_CHARACTERS]
    error_type, message = said.get("type") or said.get("status"), said.get("message") or parsed.get("Message")
    return (error_type if isinstance(error_type, str) else None), str(message or "")[:_SHOWN_CHARACTERS]


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    seconds = _seconds(said)
    return seconds if seconds is not None else _until(said, headers.get("date"))


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(moment: str | None, now: str | None) -> float | None:
    """Seconds to a date, counted from the answer's own Date header: no clock is read here."""
    try:
        then, since = (_as_utc(parsedate_to_datetime(text or "")) for text in (moment, now))
    except (TypeError, ValueError):
        return None
    return max((then - since).total_seconds(), 0.0)


def _as_utc(date: datetime) -> datetime:
    return date if date.tzinfo else date.replace(tzinfo=UTC)


# --- Towards the client -------------------------------------------------------------------------------------------

_TYPE = {
    ErrorKind.AUTHENTICATION: "authentication_error",
    ErrorKind.PERMISSION: "permission_error",
    ErrorKind.NOT_FOUND: "not_found_error",
    ErrorKind.MODEL_NOT_FOUND: "not_found_error",
    ErrorKind.TOO_LARGE: "request_too_large",
    ErrorKind.RATE_LIMITED: "rate_limit_error",
    ErrorKind.BUDGET_EXCEEDED: "rate_limit_error",
    ErrorKind.UNAVAILABLE: "overloaded_error",
    ErrorKind.UPSTREAM_OVERLOADED: "overloaded_error",
    ErrorKind.UPSTREAM_TIMEOUT: "timeout_error",
}


def error_object(error: GatewayError) -> JsonObject:
    """Anthropic's error object. The kind decides the type; a 4xx without a type of its own is the request's fault."""
    fallback = "invalid_request_error" if 400 <= error.status < 500 else "api_error"
    return {"type": "error", "error": {"type": _TYPE.get(error.kind, fallback), "message": error.message}}


def write_error(error: GatewayError) -> bytes:
    return dumps(error_object(error))


def error_event(error: GatewayError) -> bytes:
    """The explicit end of a stream that broke: nothing follows it."""
    return sse.encode(write_error(error), "error")
