"""What Bedrock's errors mean (case 25): answers with a bad status, and exception frames inside a stream."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, JsonObject, loads

_MAX_MESSAGE_CHARS = 4000

_KINDS: Mapping[str, ErrorKind] = {
    "AccessDeniedException": ErrorKind.UPSTREAM_AUTH,
    "UnrecognizedClientException": ErrorKind.UPSTREAM_AUTH,
    "ExpiredTokenException": ErrorKind.UPSTREAM_AUTH,
    "ExpiredToken": ErrorKind.UPSTREAM_AUTH,
    "InvalidSignatureException": ErrorKind.UPSTREAM_AUTH,
    "SignatureDoesNotMatch": ErrorKind.UPSTREAM_AUTH,
    "IncompleteSignatureException": ErrorKind.UPSTREAM_AUTH,
    "MissingAuthenticationTokenException": ErrorKind.UPSTREAM_AUTH,
    "InvalidClientTokenId": ErrorKind.UPSTREAM_AUTH,
    "OptInRequired": ErrorKind.UPSTREAM_AUTH,
    "ThrottlingException": ErrorKind.RATE_LIMITED,
    "TooManyRequestsException": ErrorKind.RATE_LIMITED,
    "ServiceQuotaExceededException": ErrorKind.RATE_LIMITED,
    "ModelNotReadyException": ErrorKind.UPSTREAM_OVERLOADED,
    "ServiceUnavailableException": ErrorKind.UPSTREAM_OVERLOADED,
    "ServiceUnavailable": ErrorKind.UPSTREAM_OVERLOADED,
    "ModelTimeoutException": ErrorKind.UPSTREAM_TIMEOUT,
    "RequestTimeoutException": ErrorKind.UPSTREAM_TIMEOUT,
    "ModelErrorException": ErrorKind.UPSTREAM_ERROR,
    "ModelStreamErrorException": ErrorKind.UPSTREAM_ERROR,
    "InternalServerException": ErrorKind.UPSTREAM_ERROR,
    "InternalFailure": ErrorKind.UPSTREAM_ERROR,
    "ResourceNotFoundException": ErrorKind.MODEL_NOT_FOUND,
    "ValidationException": ErrorKind.INVALID_REQUEST,
    "ConflictException": ErrorKind.UPSTREAM_ERROR,
    "RequestEntityTooLargeException": ErrorKind.TOO_LARGE,
}

_BY_STATUS: Mapping[int, ErrorKind] = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.UPSTREAM_AUTH,
    403: ErrorKind.UPSTREAM_AUTH,
    404: ErrorKind.MODEL_NOT_FOUND,
    408: ErrorKind.UPSTREAM_TIMEOUT,
    413: ErrorKind.TOO_LARGE,
    422: ErrorKind.INVALID_REQUEST,
    429: ErrorKind.RATE_LIMITED,
    503: ErrorKind.UPSTREAM_OVERLOADED,
    504: ErrorKind.UPSTREAM_TIMEOUT,
    529: ErrorKind.UPSTREAM_OVERLOADED,
}

# The status that the service model gives each exception, for those that come inside a stream and have none of their own.
_STREAM_STATUS: Mapping[str, int] = {
    "AccessDeniedException": 403,
    "ThrottlingException": 429,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
    "ValidationException": 400,
    "ModelNotReadyException": 429,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
}

_CONTEXT_WORDS = re.compile(
    r"(input|prompt) is too long|too many (input )?tokens|exceeds? (the )?(model'?s? )?(maximum |max )?context"
    r"|context (limit|length|window)|maximum (input|prompt|number of (input )?tokens)|input length and `?max_tokens`?"
    r"|token count of .* exceeds",
    re.IGNORECASE,
)
_POLICY_WORDS = re.compile(
    r"content (filter|polic|moderation)|blocked by (the |our )?(content|guardrail|safety)|safety (filter|system|polic)"
    r"|responsible ai",
    re.IGNORECASE,
)
_MODEL_WORDS = re.compile(r"model identifier is invalid|model .{0,80}(not found|does not exist)", re.IGNORECASE)
_PRIVATE = re.compile(r"arn:aws[\w-]*:[^\s,;'\"]+|\b\d{12}\b")


@dataclass(frozen=True, slots=True)
class _Report:
    """An error as the wire carried it. `type` is the exception's name, empty where there was none."""

    type: str
    message: str
    status: int | None
    retry_after_s: float | None = None


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """What a non-2xx answer means. `headers` has lower-case names; any body is survived, HTML and nothing included."""
    said = _object(body)
    kind = headers.get("x-amzn-errortype") or said.get("__type") or said.get("code") or ""
    message = said.get("message") or said.get("Message") or said.get("errorMessage")
    shown = message if isinstance(message, str) and message else f"Bedrock answered {status} without saying why."
    return _classified(_Report(_exception_name(kind), shown, status, _seconds(headers.get("retry-after"))))


def read_exception(name: str, payload: bytes) -> GatewayError:
    """An exception frame ("throttlingException") or an error frame (`name` is its code) inside a stream."""
    said = _object(payload)
    kind = _exception_name(name)
    message = said.get("originalMessage") or said.get("message") or said.get("Message")
    shown = message if isinstance(message, str) and message else f"Bedrock ended the stream with {kind or 'an error'}."
    error = _classified(_Report(kind, shown, _STREAM_STATUS.get(kind)))
    original = said.get("originalStatusCode")
    if error.kind is ErrorKind.UPSTREAM_ERROR and isinstance(original, int) and original in (429, 503, 529):
        return _gateway_error(_BY_STATUS[original], _Report(kind, shown, original))
    return error


def _classified(report: _Report) -> GatewayError:
    return _gateway_error(_kind(report), report)


def _kind(report: _Report) -> ErrorKind:
    kind = _KINDS.get(report.type) or _kind_of_status(report.status)
    if kind is ErrorKind.INVALID_REQUEST:
        return _kind_of_refusal(report.message)
    if kind is ErrorKind.UPSTREAM_ERROR and report.type == "ModelErrorException" and _CONTEXT_WORDS.search(report.message):
        return ErrorKind.CONTEXT_LENGTH
    return kind


def _kind_of_status(status: int | None) -> ErrorKind:
    if status is None or status >= 500:
        return _BY_STATUS.get(status or 500, ErrorKind.UPSTREAM_ERROR)
    return _BY_STATUS.get(status, ErrorKind.UPSTREAM_PROTOCOL if status < 400 else ErrorKind.INVALID_REQUEST)


def _kind_of_refusal(message: str) -> ErrorKind:
    """A ValidationException says only in words what was wrong; the difference chooses the fallback."""
    if _CONTEXT_WORDS.search(message):
        return ErrorKind.CONTEXT_LENGTH
    if _MODEL_WORDS.search(message):
        return ErrorKind.MODEL_NOT_FOUND
    return ErrorKind.CONTENT_POLICY if _POLICY_WORDS.search(message) else ErrorKind.INVALID_REQUEST


def _gateway_error(kind: ErrorKind, report: _Report) -> GatewayError:
    return GatewayError(
        kind,
        _PRIVATE.sub("***", report.message)[:_MAX_MESSAGE_CHARS],
        retry_after_s=report.retry_after_s,
        upstream_status=report.status,
        upstream_type=report.type or None,
    )


def _exception_name(raw: object) -> str:
    """ "com.amazon#ThrottlingException:http://..." and "throttlingException" are both ThrottlingException."""
    name = raw.split(":")[0].rsplit("#")[-1].strip() if isinstance(raw, str) else ""
    return name[:1].upper() + name[1:]


def _object(body: bytes) -> JsonObject:
    try:
        said = loads(body) if body.strip() else {}
    except JsonError:
        return {}
    return said if isinstance(said, dict) else {}


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e6 else None
