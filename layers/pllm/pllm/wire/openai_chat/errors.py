"""Errors in OpenAI's shape and its relatives: read from upstreams (translation case 25), written for clients."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import Json, JsonError, dumps, loads
from pllm.wire.openai_chat.retry_after import retry_after_s

_MAX_MESSAGE_CHARS = 4000

_CONTEXT_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded", "max_tokens_exceeded"}
)
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context length|context window|available context size|maximum prompt length|prompt is too long"
    r"|input is too long|too large for model with|reduce the length of the (messages|input|prompt)|`?inputs`? tokens \+",
    re.IGNORECASE,
)
_POLICY_CODES = frozenset(
    {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked", "content_moderation"}
)
_POLICY_WORDS = re.compile(
    r"content management policy|content policy|violates (our |the )?usage (guidelines|policies)|flagged (by|as)"
    r"|data_inspection_failed|rejected as a result of our safety system",
    re.IGNORECASE,
)
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "credits_exhausted"})
_RATE_CODES = frozenset({"rate_limit_exceeded", "rate_limit_error", "rate_limited", "requests", "tokens", "too_many_requests"})
_OVERLOAD_CODES = frozenset({"overloaded_error", "overloaded", "engine_overloaded", "capacity_exceeded", "service_unavailable"})
_MODEL_CODES = frozenset({"model_not_found", "deploymentnotfound", "model_not_available", "invalid_model"})
# Of what passes by itself a provider may know when.
_PASSES = frozenset(
    {ErrorKind.RATE_LIMITED, ErrorKind.UPSTREAM_OVERLOADED, ErrorKind.UPSTREAM_ERROR, ErrorKind.UPSTREAM_TIMEOUT}
)
_PARAMETER_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})


@dataclass(frozen=True, slots=True)
class _Report:
    """What an error body says, whatever its shape."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    inner: str | None = None
    flagged: bool = False

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(label.lower() for label in (self.type, self.code, self.inner) if label)


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """What a non-2xx answer means. `headers` has lower-case names; any body is survived, HTML and nothing included."""
    try:
        report = _report(loads(body)) if body.strip() else None
    except JsonError:
        report = None
    shown = report or _Report(_describe(status, body))
    return _classify(status, shown, retry_after_s(headers, shown.message), structured=report is not None)


def error_in_answer(value: Mapping[str, Any]) -> GatewayError:
    """The error that a 2xx body or a stream event carries. A numeric code or status in it is read as HTTP's."""
    report = _report(value) or _Report("The provider reported an error without saying which.")
    stated = value.get("error") if isinstance(value.get("error"), Mapping) else value
    status = _stated_status(stated) or _status_of_labels(report.labels)
    return _classify(status, report, retry_after_s({}, report.message), structured=True)


def error_body(error: GatewayError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`: the body of an error answer and the data of an error event."""
    return dumps({"error": {"message": error.message, "type": error_type(error), "param": error.param, "code": error.code}})


def error_type(error: GatewayError) -> str:
    """OpenAI's word for the class of an error; the provider's own survives where it is not about our credential."""
    if error.upstream_type and error.kind is not ErrorKind.UPSTREAM_AUTH:
        return error.upstream_type
    if error.kind in (ErrorKind.RATE_LIMITED, ErrorKind.BUDGET_EXCEEDED):
        return "rate_limit_error" if error.kind is ErrorKind.RATE_LIMITED else "insufficient_quota"
    if error.kind is ErrorKind.AUTHENTICATION:
        return "authentication_error"
    if error.kind is ErrorKind.PERMISSION:
        return "permission_error"
    if error.kind in (ErrorKind.INTERNAL, ErrorKind.UNAVAILABLE, ErrorKind.NOT_IMPLEMENTED):
        return "server_error"
    return "invalid_request_error" if error.status < 500 else "upstream_error"


def _report(value: Json) -> _Report | None:
    """The report inside any known shape: OpenAI's, bare (Cerebras, Mistral), text (xAI, Ollama), FastAPI's, a list (Gemini)."""
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, Mapping):
        return None
    error = value.get("error")
    if isinstance(error, str) and error.strip():
        return _Report(error[:_MAX_MESSAGE_CHARS], _text(value.get("error_type")), _text(value.get("code")))
    body = error if isinstance(error, Mapping) else value
    message = _message(body)
    if message is None:
        return None
    metadata = body.get("metadata") if isinstance(body.get("metadata"), Mapping) else {}
    inner = body.get("innererror")
    return _Report(
        message[:_MAX_MESSAGE_CHARS],
        _text(body.get("type")) or _text(body.get("status")),
        _text(body.get("code")),
        _text(body.get("param")),
        _text(inner.get("code")) if isinstance(inner, Mapping) else None,
        isinstance(metadata, Mapping) and bool(metadata.get("reasons") or metadata.get("flagged_input")),
    )


def _message(body: Mapping[str, Any]) -> str | None:
    """The human sentence of an error object. OpenRouter's own is empty talk, the raw one beside it is not."""
    metadata = body.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    for value in (body.get("message"), body.get("detail"), body.get("title")):
        if isinstance(value, Mapping):
            value = value.get("detail") or value.get("message")
        if isinstance(value, list):
            value = "; ".join(_validation_line(item) for item in value)
        if isinstance(value, str) and value:
            return f"{value}: {raw}" if isinstance(raw, str) and raw else value
    return None


def _validation_line(item: Json) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    place = ".".join(str(step) for step in item.get("loc") or ())
    return f"{place}: {item.get('msg')}" if place else str(item.get("msg"))


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _describe(status: int, body: bytes) -> str:
    head = body[:400].lstrip().lower()
    what = (
        "an empty body" if not head else "an HTML page" if head.startswith((b"<!doctype", b"<html")) else "an unreadable body"
    )
    return f"The provider answered HTTP {status} with {what}."


def _stated_status(error: object) -> int:
    if not isinstance(error, Mapping):
        return 0
    for key in ("status", "code", "status_code", "http_status"):
        value = error.get(key)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return 0


def _status_of_labels(labels: frozenset[str]) -> int:
    if labels & (_RATE_CODES | _QUOTA_CODES):
        return 429
    if labels & _OVERLOAD_CODES:
        return 503
    if labels & (_CONTEXT_CODES | _POLICY_CODES | {"invalid_request_error"}):
        return 400
    return 502


def _classify(status: int, report: _Report, retry_s: float | None, *, structured: bool) -> GatewayError:
    kind, shown_status = _kind(status, report, structured)
    message, code, param = report.message, report.code, report.param
    if kind is ErrorKind.UPSTREAM_AUTH:
        # The provider's sentence quotes parts of the credential; and it is the gateway's trouble, not the client's.
        message, param = f"The provider refused the gateway's own credential or account (HTTP {status}).", None
    if code is not None and code.isdigit():
        code = None
    return GatewayError(
        kind,
        message,
        status=shown_status,
        param=param,
        code=code,
        retry_after_s=retry_s if kind in _PASSES else None,
        upstream_status=status,
        upstream_type=report.type,
    )


def _kind(status: int, report: _Report, structured: bool) -> tuple[ErrorKind, int]:
    """The class of an error and the status shown for it. What the provider says outranks the number it says it with."""
    labels = report.labels
    if status in (401, 402) or (status == 403 and not _is_policy(report)):
        return ErrorKind.UPSTREAM_AUTH, 502
    if status == 429 or labels & (_RATE_CODES | _QUOTA_CODES):
        return ErrorKind.RATE_LIMITED, 429
    if status < 500 and _is_policy(report):
        return ErrorKind.CONTENT_POLICY, 400
    if labels & _CONTEXT_CODES or (status in (400, 413, 422) and _CONTEXT_WORDS.search(report.message)):
        return ErrorKind.CONTEXT_LENGTH, 400
    if status >= 500 or status == 498 or labels & _OVERLOAD_CODES:
        return _server_kind(status), status if status >= 500 else 503
    return _client_kind(status, report, structured)


def _is_policy(report: _Report) -> bool:
    return bool(report.flagged or report.labels & _POLICY_CODES or _POLICY_WORDS.search(report.message))


def _server_kind(status: int) -> ErrorKind:
    if status in (498, 503, 529) or status < 500:
        return ErrorKind.UPSTREAM_OVERLOADED
    return ErrorKind.UPSTREAM_TIMEOUT if status in (504, 524) else ErrorKind.UPSTREAM_ERROR


def _client_kind(status: int, report: _Report, structured: bool) -> tuple[ErrorKind, int]:
    if report.labels & _MODEL_CODES:
        return ErrorKind.MODEL_NOT_FOUND, 404
    if not structured or status < 400:
        # A page instead of an API's answer, or a redirect: the address is wrong, which no client can mend.
        return ErrorKind.UPSTREAM_ERROR, 502
    if status == 404:
        named = "model" in report.message.lower()
        return (ErrorKind.MODEL_NOT_FOUND if named else ErrorKind.NOT_FOUND), 404
    if status == 408:
        return ErrorKind.UPSTREAM_TIMEOUT, 504
    if status == 413:
        return ErrorKind.TOO_LARGE, 413
    if report.labels & _PARAMETER_CODES:
        return ErrorKind.UNSUPPORTED_PARAMETER, status
    return ErrorKind.INVALID_REQUEST, status
