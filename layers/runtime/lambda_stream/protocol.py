"""The bytes of a streamed Lambda response, without any IO.

A response is one POST to the Runtime API with a chunked body: a JSON prelude (status and headers), eight NUL bytes, then the
body. An error after the first byte travels in the trailers of that POST.
"""

import base64
import json
import traceback
from collections.abc import Callable, Iterable

CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
PRELUDE_LIMIT_BYTES = 8 * 1024
LAST_CHUNK = b"0\r\n\r\n"

# The Runtime API is a Go server: it looks for the end of the trailers in one read buffer of 4,096 bytes, and an environment
# whose trailers are longer is killed. 3,000 bytes of body and 200 of type leave room for the names.
TRAILER_BODY_LIMIT_BYTES = 3000
TRAILER_TYPE_LIMIT_BYTES = 200

# An error report above Lambda's payload limit is refused, and awslambdaric then ends the process.
ERROR_REPORT_LIMIT_CHARACTERS = 256 * 1024

_ERROR_TYPE = b"Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = b"Lambda-Runtime-Function-Error-Body"

RawHeaders = Iterable[tuple[bytes, bytes]]
PreludeEncoder = Callable[[int, RawHeaders], bytes]


class PreludeTooLargeError(ValueError):
    """The status and headers of a response do not fit into the prelude Lambda accepts."""


def request_head(host: str, invoke_id: str, invocation_id: str | None) -> bytes:
    """The head of the POST that answers invocation `invoke_id`; `invocation_id` is echoed when Lambda sent one."""
    echo = f"Lambda-Runtime-Invocation-Id: {invocation_id}\r\n" if invocation_id else ""
    return (
        f"POST /2018-06-01/runtime/invocation/{invoke_id}/response HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        "Transfer-Encoding: chunked\r\n"
        f"Trailer: {_ERROR_TYPE.decode()}, {_ERROR_BODY.decode()}\r\n"
        f"{echo}\r\n"
    ).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """`data` as one chunk. Empty data gives no chunk at all: a chunk of length zero would end the response."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def prelude_multi_value(status: int, headers: RawHeaders) -> bytes:
    """The prelude for a REST API (payload format 1.0). Repeated headers, cookies among them, keep every value."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(_text(name).lower(), []).append(_text(value))
    return _prelude({"statusCode": status, "multiValueHeaders": values}, values)


def prelude_joined(status: int, headers: RawHeaders) -> bytes:
    """The prelude for HTTP APIs and function URLs (payload format 2.0): repeated headers joined, cookies in a list apart."""
    joined: dict[str, list[str]] = {}
    cookies: list[str] = []
    for raw_name, raw_value in headers:
        name, value = _text(raw_name).lower(), _text(raw_value)
        if name == "set-cookie":
            cookies.append(value)
        else:
            joined.setdefault(name, []).append(value)
    fields: dict[str, object] = {"statusCode": status, "headers": {name: ", ".join(v) for name, v in joined.items()}}
    if cookies:
        fields["cookies"] = cookies
    return _prelude(fields, {**joined, "set-cookie": cookies})


def _text(raw: bytes) -> str:
    """Header bytes as the text they mean: frameworks write either UTF-8 or ISO-8859-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _prelude(fields: dict[str, object], values: dict[str, list[str]]) -> bytes:
    encoded = json.dumps(fields, separators=(",", ":")).encode() + PRELUDE_END
    if len(encoded) > PRELUDE_LIMIT_BYTES:
        largest = max(values, key=lambda name: sum(map(len, values[name])), default="none")
        raise PreludeTooLargeError(
            f"status and headers take {len(encoded)} bytes, Lambda accepts {PRELUDE_LIMIT_BYTES}; "
            f"the largest header is {largest!r}"
        )
    return encoded


def last_chunk_with_error(error: BaseException, invoke_id: str) -> bytes:
    """The end of a response that broke after its first byte: the last chunk, with the error in trailers that fit."""
    error_type = type(error).__name__.encode("ascii", "replace")[:TRAILER_TYPE_LIMIT_BYTES]
    body = base64.b64encode(_error_json(error, invoke_id, TRAILER_BODY_LIMIT_BYTES // 4 * 3))
    return b"0\r\n%b: %b\r\n%b: %b\r\n\r\n" % (_ERROR_TYPE, error_type, _ERROR_BODY, body)


def fit_error_report(report: str) -> str:
    """awslambdaric's error report (a JSON object), its message and trace cut when Lambda would refuse it."""
    if len(report) <= ERROR_REPORT_LIMIT_CHARACTERS:
        return report
    error = json.loads(report)
    # An escaped character takes up to six.
    error["errorMessage"] = error["errorMessage"][: ERROR_REPORT_LIMIT_CHARACTERS // 12]
    error["stackTrace"] = [frame[:1000] for frame in error["stackTrace"][-20:]]
    return json.dumps(error)


def _error_json(error: BaseException, invoke_id: str, limit_bytes: int) -> bytes:
    """AWS's error object in at most `limit_bytes`: the outer frames of the trace go first, then the end of the message."""
    frames = traceback.format_tb(error.__traceback__)
    message = str(error)
    name = type(error).__name__[:TRAILER_TYPE_LIMIT_BYTES]
    while True:
        fields = {"errorMessage": message, "errorType": name, "requestId": invoke_id, "stackTrace": frames}
        encoded = json.dumps(fields).encode()
        if len(encoded) <= limit_bytes:
            return encoded
        if frames:
            frames = frames[len(frames) // 2 + 1 :]
        else:
            message = message[: min(limit_bytes, len(message) * 3 // 4)]
