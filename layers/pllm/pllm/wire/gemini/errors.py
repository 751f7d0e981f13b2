"""google.rpc.Status as a gateway error (translation case 25)."""

import re
from collections.abc import Mapping
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import Json, JsonError, JsonObject, loads

_BY_STATUS = {
    "INVALID_ARGUMENT": ErrorKind.INVALID_REQUEST,
    "OUT_OF_RANGE": ErrorKind.INVALID_REQUEST,
    "FAILED_PRECONDITION": ErrorKind.UPSTREAM_ERROR,
    "UNAUTHENTICATED": ErrorKind.UPSTREAM_AUTH,
    "PERMISSION_DENIED": ErrorKind.UPSTREAM_AUTH,
    "NOT_FOUND": ErrorKind.MODEL_NOT_FOUND,
    "RESOURCE_EXHAUSTED": ErrorKind.RATE_LIMITED,
    "ABORTED": ErrorKind.UPSTREAM_OVERLOADED,
    "UNAVAILABLE": ErrorKind.UPSTREAM_OVERLOADED,
    "DEADLINE_EXCEEDED": ErrorKind.UPSTREAM_TIMEOUT,
    "INTERNAL": ErrorKind.UPSTREAM_ERROR,
    "UNKNOWN": ErrorKind.UPSTREAM_ERROR,
    "DATA_LOSS": ErrorKind.UPSTREAM_ERROR,
    "CANCELLED": ErrorKind.UPSTREAM_ERROR,
    "UNIMPLEMENTED": ErrorKind.INVALID_REQUEST,
}
_BY_CODE = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.UPSTREAM_AUTH,
    403: ErrorKind.UPSTREAM_AUTH,
    404: ErrorKind.MODEL_NOT_FOUND,
    408: ErrorKind.UPSTREAM_TIMEOUT,
    413: ErrorKind.TOO_LARGE,
    429: ErrorKind.RATE_LIMITED,
    503: ErrorKind.UPSTREAM_OVERLOADED,
    504: ErrorKind.UPSTREAM_TIMEOUT,
}
_CONTEXT_LENGTH = re.compile(
    r"exceeds? the maximum number of (input )?tokens|(input|prompt) (token count|is too long)"
    r"|token limit|context (length|window)",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"payload size exceeds|request size exceeds|request entity too large", re.IGNORECASE)
_POLICY = re.compile(
    r"usage guidelines|responsible ai|prohibited use|safety (filter|polic)|was blocked|model armor", re.IGNORECASE
)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """What a non-2xx answer means. Any body is survived: JSON, a list of one (streams), HTML, nothing."""
    try:
        value = loads(body)
    except JsonError:
        value = None
    found = error_object(value)
    if found is None:
        text = body[:300].decode("utf-8", "replace").strip()
        said = f": {text}" if text and not text.startswith("<") else "."
        found = {"code": status, "message": f"The provider answered {status}{said}"}
    return from_status(found, status, _seconds(headers.get("retry-after")))


def error_object(value: Json) -> JsonObject | None:
    """The `error` of an answer or a stream chunk, if it is one."""
    if isinstance(value, list) and value:
        value = value[0]
    found = value.get("error") if isinstance(value, dict) else None
    if isinstance(found, str):
        return {"message": found}
    return found if isinstance(found, dict) else None


def from_status(error: Mapping[str, Any], http_status: int, retry_after_s: float | None = None) -> GatewayError:
    """A google.rpc.Status, from an answer or from inside a stream."""
    code = error.get("code") if isinstance(error.get("code"), int) else http_status
    name = error.get("status") if isinstance(error.get("status"), str) else None
    message = str(error.get("message") or f"The provider reported {name or code}.")
    listed = error.get("details")
    details = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    kind = _kind(code if isinstance(code, int) else http_status, name, message, details)
    return GatewayError(
        kind,
        message,
        param=_field(details) if kind is ErrorKind.INVALID_REQUEST else None,
        retry_after_s=_retry_delay(details) if retry_after_s is None else retry_after_s,
        upstream_status=http_status,
        upstream_type=name,
    )


def _kind(code: int, name: str | None, message: str, details: list[JsonObject]) -> ErrorKind:
    kind = (
        _BY_STATUS.get(name or "")
        or _BY_CODE.get(code)
        or (ErrorKind.UPSTREAM_ERROR if code >= 500 else ErrorKind.INVALID_REQUEST)
    )
    if kind is not ErrorKind.INVALID_REQUEST:
        return kind
    if any(str(entry.get("reason")).startswith("API_KEY") for entry in details) or "API key" in message:
        return ErrorKind.UPSTREAM_AUTH  # a wrong key is INVALID_ARGUMENT at Google
    if _TOO_LARGE.search(message):
        return ErrorKind.TOO_LARGE
    if _CONTEXT_LENGTH.search(message):
        return ErrorKind.CONTEXT_LENGTH
    return ErrorKind.CONTENT_POLICY if _POLICY.search(message) else kind


def _retry_delay(details: list[JsonObject]) -> float | None:
    return next((wait for entry in details if (wait := _seconds(entry.get("retryDelay"))) is not None), None)


def _seconds(value: Json) -> float | None:
    if not isinstance(value, str):
        return None
    found = _SECONDS.fullmatch(value if value.endswith("s") else f"{value}s")
    return float(found[1]) if found else None


def _field(details: list[JsonObject]) -> str | None:
    for entry in details:
        violations = entry.get("fieldViolations")
        for violation in violations if isinstance(violations, list) else []:
            if isinstance(violation, dict) and isinstance(violation.get("field"), str):
                return str(violation["field"])
    return None
