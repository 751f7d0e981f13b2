"""ASGI in, ASGI out: the few things that every endpoint needs of HTTP.

Starlette is not imported here on purpose: the data plane has a dozen fixed paths, and its cold start would pay about 100 ms
for the rest of the framework (docs/decisions/0002-no-framework-on-the-data-plane.md).
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import aclosing
from typing import Any

from pllm.core.config.policies import LAMBDA_BODY_BYTES
from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.jsontext import JsonError, JsonObject, loads

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

# More of them are no length that anybody has: what really comes is counted.
_DIGITS = re.compile(r"[0-9]{1,18}")


class HttpRequest:
    """One request. Header names are lower-case; a header sent twice keeps every value. `caller_arn`: whose SigV4 signature
    API Gateway has verified, None without one. `most_bytes`: of the body; Lambda's own limit is said here with a clear 413,
    since the platform's answer would not be one."""

    def __init__(self, scope: Scope, receive: Receive, most_bytes: int = LAMBDA_BODY_BYTES) -> None:
        self.method: str = scope["method"]
        self.scheme: str = scope.get("scheme", "https")
        self.path: str = scope["path"]
        self.caller_arn = _caller_arn(scope)
        self.query_string: bytes = scope.get("query_string", b"")
        self._receive = receive
        self._most_bytes = min(most_bytes, LAMBDA_BODY_BYTES)
        self._body: bytes | None = None
        self._headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def header(self, name: str) -> str | None:
        values = self._headers.get(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return self._headers.get(name, [])

    async def body(self) -> bytes:
        """The whole body, however often it is asked for. Raises TOO_LARGE, before reading it where Content-Length tells."""
        if self._body is None:
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        declared = self.header("content-length") or ""
        if _DIGITS.fullmatch(declared) and int(declared) > self._most_bytes:
            raise _too_large(f"is {declared} bytes", self._most_bytes)
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise invalid("The request body ended early.")
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._most_bytes:
                raise _too_large(f"is at least {size} bytes", self._most_bytes)
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def json_object(self) -> JsonObject:
        """The body as a JSON object; raises 400 naming the position of what is wrong."""
        raw = await self.body()
        if not raw:
            raise invalid("The request body is empty; a JSON object is expected.")
        try:
            value = loads(raw)
        except JsonError as error:
            raise invalid(f"The request body is not valid JSON: {error}.") from None
        if not isinstance(value, dict):
            raise invalid(f"The request body must be a JSON object, not {_json_type(value)}.")
        return value


def _caller_arn(scope: Scope) -> str | None:
    """From the event alone: no header and no path can say it. API Gateway leaves it empty where it has verified nothing."""
    event = scope.get("aws.event") or {}
    identity = (event.get("requestContext") or {}).get("identity") or {}
    arn = identity.get("userArn")
    return arn if isinstance(arn, str) and arn.startswith("arn:") else None


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _too_large(how: str, most_bytes: int) -> GatewayError:
    message = f"The request body {how}, larger than the {most_bytes} bytes that this gateway takes."
    return GatewayError(ErrorKind.TOO_LARGE, message)


def path_parameter(path: str, prefix: str) -> str:
    """The rest of an (already decoded) path: model names may hold slashes."""
    return path[len(prefix) :]


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send(start_message(status, [*headers, ("content-length", str(len(body)))]))
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_bytes(send: Send, headers: Headers, pieces: AsyncGenerator[bytes]) -> None:
    """Sends bytes as they come, and nothing else: they are not events."""
    await send(start_message(200, headers))
    async with aclosing(pieces):
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def start_message(status: int, headers: Headers) -> Message:
    """The head of an answer. It goes on the wire with the first message of the body."""
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers],
    }


def json_headers(extra: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    return [("content-type", "application/json"), *(extra or {}).items()]
