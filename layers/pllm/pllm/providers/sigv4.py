"""AWS Signature Version 4 for headers: pure, given the credential, the scope and the time.

The path is percent-encoded once more for the canonical request, as every service but S3 wants it: a model ARN is sent as
`arn%3Aaws%3A...` and signed as `arn%253Aaws%253A...`. S3 wants the path as it is sent, dots and empty steps included: they are
part of an object's name. Whoever sends the request must leave the URL exactly as it was signed.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}

# What proxies and HTTP clients add, drop or rewrite on the way must not be signed.
_UNSIGNED = frozenset(
    {
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Keys of an IAM principal. `session_token` comes with temporary ones (roles). Prints without its secrets."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a signature holds: `service` is the signing name ("bedrock", "secretsmanager"), not the endpoint's."""

    region: str
    service: str


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: AwsCredentials,
    scope: Scope,
    now_s: float,
) -> dict[str, str]:
    """`headers` with x-amz-date, x-amz-security-token and authorization added or replaced, names in lower case.

    `url` is absolute and percent-encoded, query included. `now_s` is in epoch seconds; AWS refuses clocks that are more
    than five minutes off. Raises ValueError for a URL without a host.
    """
    stamp = datetime.fromtimestamp(int(now_s), UTC).strftime("%Y%m%dT%H%M%SZ")
    complete = {name.lower(): value for name, value in headers.items() if name.lower() not in ("authorization", "date")}
    complete["x-amz-date"] = stamp
    complete.pop("x-amz-security-token", None)
    if credentials.session_token:
        complete["x-amz-security-token"] = credentials.session_token
    path = urlsplit(url).path
    canonical_path = path or "/" if scope.service == "s3" else _canonical_path(path)
    canonical, signed_names = _canonical_request(method, url, canonical_path, complete, body)
    scoped = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, stamp, scoped, sha256(canonical.encode()).hexdigest()))
    signature = _hmac(_signing_key(credentials.secret_access_key, stamp[:8], scope), to_sign).hex()
    complete["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{scoped}, SignedHeaders={signed_names}, Signature={signature}"
    )
    return complete


def _canonical_request(method: str, url: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    signed = {name: " ".join(value.split()) for name, value in headers.items() if name not in _UNSIGNED}
    signed.setdefault("host", _host(url))
    names = sorted(signed)
    lines = "".join(f"{name}:{signed[name]}\n" for name in names)
    payload_hash = headers.get("x-amz-content-sha256") or sha256(body).hexdigest()
    query = _canonical_query(urlsplit(url).query)
    request = (method.upper(), path, query, lines, ";".join(names), payload_hash)
    return "\n".join(request), ";".join(names)


def _host(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} has no host to sign for")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme):
        return host
    return f"{host}:{parts.port}"


def _canonical_path(path: str) -> str:
    return quote(_without_dots(path), safe="/~")


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for step in path.split("/"):
        if step == "..":
            if kept:
                kept.pop()
        elif step not in ("", "."):
            kept.append(step)
    inner = "/".join(kept)
    return f"/{inner}/" if inner and path.endswith("/") else f"/{inner}"


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = sorted((name, value) for name, _, value in (pair.partition("=") for pair in query.split("&")))
    return "&".join(f"{name}={value}" for name, value in pairs)


def _signing_key(secret: str, date: str, scope: Scope) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, scope.region, scope.service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")
