"""HTTP requests as the events API Gateway sends for a REST API with Lambda proxy integration (payload format 1.0)."""

import base64
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

# What a SAM template lists as BinaryMediaTypes. Any other body that is no UTF-8 is also sent as base64; API Gateway would
# replace its bytes.
BINARY_MEDIA_TYPES = (
    "application/octet-stream",
    "application/pdf",
    "application/zip",
    "audio/",
    "image/",
    "multipart/",
    "video/",
)

# What API Gateway says of the connection itself, whatever the client claims.
_OWN_HEADERS = frozenset({"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"})


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request as it arrived: `target` is the undecoded request target, headers keep their case and order."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str


def rest_event(request: IncomingRequest, *, request_id: str, stage: str, port: int) -> bytes:
    """The event for `request`, as JSON."""
    path, _, query = request.target.partition("?")
    forwarded_for = [value for name, value in request.headers if name.lower() == "x-forwarded-for"]
    headers = _multi_values([pair for pair in request.headers if pair[0].lower() not in _OWN_HEADERS])
    trace_id = f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
    headers |= {
        "X-Amzn-Trace-Id": [trace_id],
        "X-Forwarded-For": [", ".join((*forwarded_for, request.source_ip))],
        "X-Forwarded-Port": [str(port)],
        "X-Forwarded-Proto": ["http"],
    }
    parameters = _multi_values(parse_qsl(query, keep_blank_values=True))
    body, is_base64 = _body(request)
    event = {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": request.method,
        "headers": _last_values(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last_values(parameters) or None,
        "multiValueQueryStringParameters": parameters or None,
        "pathParameters": {"proxy": unquote(path).lstrip("/")},
        "stageVariables": None,
        "requestContext": _request_context(request, path, request_id, stage),
        "body": body,
        "isBase64Encoded": is_base64,
    }
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a request line with bytes that are no UTF-8
        return json.dumps(event, separators=(",", ":")).encode()


def _request_context(request: IncomingRequest, path: str, request_id: str, stage: str) -> dict[str, object]:
    now = datetime.now(UTC)
    user_agent = next((value for name, value in request.headers if name.lower() == "user-agent"), None)
    identity: dict[str, str | None] = dict.fromkeys(
        (
            "accessKey",
            "accountId",
            "caller",
            "cognitoAuthenticationProvider",
            "cognitoAuthenticationType",
            "cognitoIdentityId",
            "cognitoIdentityPoolId",
            "principalOrgId",
            "user",
            "userArn",
        )
    )
    return {
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": "localhost",
        "domainPrefix": "localhost",
        "extendedRequestId": request_id,
        "httpMethod": request.method,
        "identity": identity | {"sourceIp": request.source_ip, "userAgent": user_agent},
        "path": f"/{stage}{path}",
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now.timestamp() * 1000),
        "resourceId": "local",
        "resourcePath": "/{proxy+}",
        "stage": stage,
    }


def _body(request: IncomingRequest) -> tuple[str | None, bool]:
    if not request.body:
        return None, False
    content_type = next((value for name, value in request.headers if name.lower() == "content-type"), "").strip().lower()
    if not content_type.startswith(BINARY_MEDIA_TYPES):
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _multi_values(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _last_values(values: dict[str, list[str]]) -> dict[str, str]:
    return {name: of_name[-1] for name, of_name in values.items()}
