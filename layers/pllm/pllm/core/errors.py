"""Every failure the gateway can tell a client about, as one value.

An error is dialect-free here: `kind` says what happened, the edge and the client wires say it in OpenAI's or Anthropic's
words. The upstream's status class, code and Retry-After survive in `status`, `code` and `retry_after_s`.
"""

from collections.abc import Mapping
from enum import StrEnum


class ErrorKind(StrEnum):
    """What went wrong. The value is stable: it is the `type` label of metrics and the default `code`."""

    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CONTEXT_LENGTH = "context_length_exceeded"
    CONTENT_POLICY = "content_policy_violation"
    AUTHENTICATION = "invalid_api_key"
    PERMISSION = "permission_denied"
    NOT_FOUND = "not_found"
    MODEL_NOT_FOUND = "model_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    TOO_LARGE = "request_too_large"
    RATE_LIMITED = "rate_limit_exceeded"
    BUDGET_EXCEEDED = "insufficient_quota"
    NOT_IMPLEMENTED = "not_implemented"
    INTERNAL = "internal_error"
    UNAVAILABLE = "service_unavailable"
    UPSTREAM_AUTH = "upstream_authentication"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_OVERLOADED = "upstream_overloaded"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_PROTOCOL = "upstream_protocol"
    STREAM_BROKEN = "stream_broken"


_DEFAULT_STATUS = {
    ErrorKind.INVALID_REQUEST: 400,
    ErrorKind.UNSUPPORTED_PARAMETER: 400,
    ErrorKind.CONTEXT_LENGTH: 400,
    ErrorKind.CONTENT_POLICY: 400,
    ErrorKind.AUTHENTICATION: 401,
    ErrorKind.PERMISSION: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.MODEL_NOT_FOUND: 404,
    ErrorKind.METHOD_NOT_ALLOWED: 405,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.RATE_LIMITED: 429,
    ErrorKind.BUDGET_EXCEEDED: 429,
    ErrorKind.INTERNAL: 500,
    ErrorKind.NOT_IMPLEMENTED: 501,
    ErrorKind.UPSTREAM_AUTH: 502,
    ErrorKind.UPSTREAM_ERROR: 502,
    ErrorKind.UPSTREAM_UNREACHABLE: 502,
    ErrorKind.UPSTREAM_PROTOCOL: 502,
    ErrorKind.STREAM_BROKEN: 502,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.UPSTREAM_OVERLOADED: 503,
    ErrorKind.UPSTREAM_TIMEOUT: 504,
}

# Another deployment may well succeed where one of these failed; the rest would fail everywhere.
_RETRYABLE = frozenset(
    {
        ErrorKind.RATE_LIMITED,
        ErrorKind.UPSTREAM_AUTH,
        ErrorKind.UPSTREAM_ERROR,
        ErrorKind.UPSTREAM_OVERLOADED,
        ErrorKind.UPSTREAM_TIMEOUT,
        ErrorKind.UPSTREAM_UNREACHABLE,
        ErrorKind.UPSTREAM_PROTOCOL,
        ErrorKind.STREAM_BROKEN,
    }
)


class GatewayError(Exception):
    """A failure with everything a client, a metric and the router need to know of it.

    `message` is shown to the client: it never holds a credential. `status` is HTTP's; `param` names the offending request
    field (dotted path); `code` is the machine-readable code and defaults to the kind; `retry_after_s` is in seconds;
    `upstream_status` is set when a provider said so; `upstream_type` keeps the provider's own error type.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        upstream_status: int | None = None,
        upstream_type: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status if status is not None else _DEFAULT_STATUS[kind]
        self.param = param
        self.code = code if code is not None else kind.value
        self.retry_after_s = retry_after_s
        self.upstream_status = upstream_status
        self.upstream_type = upstream_type
        self.headers: Mapping[str, str] = {}
        """Further response headers: which limits hold, and how much is left of them."""

    @property
    def retryable(self) -> bool:
        """Whether another attempt, here or elsewhere, may succeed."""
        return self.kind in _RETRYABLE

    def __repr__(self) -> str:
        return f"GatewayError({self.kind}, {self.status}, {self.message!r})"


def invalid(message: str, param: str | None = None, code: str | None = None) -> GatewayError:
    """A 400 the caller can mend: say what is wrong, where, and what would be right."""
    return GatewayError(ErrorKind.INVALID_REQUEST, message, param=param, code=code)


def unsupported(param: str, model: str, why: str = "") -> GatewayError:
    """A 400 for a parameter that this model cannot honour (translation case 23)."""
    tail = f": {why}" if why else "."
    hint = " Remove it, or set `drop_unsupported: true` to have it dropped and reported."
    return GatewayError(ErrorKind.UNSUPPORTED_PARAMETER, f"Model {model!r} does not support {param!r}{tail}{hint}", param=param)


def malformed_upstream(what: str) -> GatewayError:
    """The provider answered with something that is not its own dialect."""
    return GatewayError(ErrorKind.UPSTREAM_PROTOCOL, f"The provider's answer could not be read: {what}.")


def broken_stream(what: str) -> GatewayError:
    """A stream that began and did not end as its dialect says a complete one ends."""
    return GatewayError(ErrorKind.STREAM_BROKEN, f"The provider's stream broke: {what}.")
