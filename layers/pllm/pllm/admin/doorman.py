"""The control plane's front door: credential and role are looked at here, for every path, before anything else runs.

Whoever may look (viewer, admin) may GET; only an admin may do anything else. Nothing is left to an endpoint to remember. The
files of the admin page are read by people who have yet to say who they are; they hold nothing but the page.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from hmac import compare_digest
from typing import Any

from pllm.admin.services import PRINCIPAL, AdminServices, Scope
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.principal import Principal
from pllm.core.record import RequestRecord
from pllm.telemetry.log import crash_site
from pllm.telemetry.request_line import log_line
from pllm.wire.openai_chat.errors import error_body

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/health", "/ready"})
UI = "/ui"
METRICS = "/metrics"
MAX_BODY_BYTES = 2 * 1024 * 1024
"""More than any configuration has; the gateway's own limit is for prompts."""

_READS = frozenset({"GET", "HEAD"})
_SCRAPER = Principal("scraper", "viewer", name="scraper")


class Doorman:
    """ASGI middleware around the whole control plane."""

    def __init__(self, app: App, services: AdminServices) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served, not {scope['type']}")
        record = self._record(scope)
        self._services.note_trace(scope, record)
        answer = _Answer(send, record)
        try:
            await self._serve(scope, receive, answer, record)
        except GatewayError as error:
            await answer.refuse(error)
        except Exception as error:  # noqa: BLE001 - the last line: a bug becomes a 500, and its place is logged
            self._services.emit(
                {"level": "ERROR", "message": "unhandled", "at": crash_site(error), "request_id": record.request_id}
            )
            await answer.refuse(failed())
        finally:
            record.ended_s = self._services.clock.monotonic_s()
            self._services.emit(log_line(record, int(self._services.clock.wall_s() * 1000)))

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer", record: RequestRecord) -> None:
        path, method = scope["path"], scope["method"]
        if not is_open(path, method):
            principal = await self._who(scope, path)
            record.principal = principal.id
            _admit(principal, method)
            scope = {**scope, PRINCIPAL: principal}
        await self._app(scope, await _whole_body(receive), answer)

    async def _who(self, scope: Scope, path: str) -> Principal:
        token = self._services.scrape_token
        if path == METRICS and token is not None and compare_digest(_bearer(scope), token.reveal().encode()):
            return _SCRAPER
        return await self._services.authenticate(scope)

    def _record(self, scope: Scope) -> RequestRecord:
        context = scope.get("aws.context")
        request_id = getattr(context, "aws_request_id", None) or self._services.new_id()
        endpoint = f"{scope['method']} {scope['path'][:200]}"
        return RequestRecord(request_id, endpoint, self._services.clock.monotonic_s())


def is_open(path: str, method: str) -> bool:
    """Whether this is answered without a credential."""
    return path in OPEN or (method in _READS and (path == UI or path.startswith(f"{UI}/")))


def _admit(principal: Principal, method: str) -> None:
    allowed = ("admin", "viewer") if method in _READS else ("admin",)
    if principal.role not in allowed:
        needed = " or ".join(allowed)
        raise GatewayError(ErrorKind.PERMISSION, f"This needs the role {needed}; the credential has the role {principal.role}.")


def _bearer(scope: Scope) -> bytes:
    values = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    scheme, _, token = (values[0] if len(values) == 1 else b"").partition(b" ")
    return bytes(token.strip()) if scheme.lower() == b"bearer" else b""


async def _whole_body(receive: Receive) -> Receive:
    """The body read and bounded. Raises TOO_LARGE."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        piece = message.get("body", b"")
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise GatewayError(ErrorKind.TOO_LARGE, f"The request body is larger than {MAX_BODY_BYTES} bytes.")
        pieces.append(piece)
        if not message.get("more_body", False):
            break
    messages = [{"type": "http.request", "body": b"".join(pieces), "more_body": False}]

    async def replay() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    return replay


class _Answer:
    """`send`, with the headers that every answer has. Keys pass here: nothing of it may be kept on the way."""

    def __init__(self, send: Send, record: RequestRecord) -> None:
        self._send = send
        self._record = record
        self._started = False
        self._complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self._record.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._record.request_id.encode())]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*headers, (b"x-content-type-options", b"nosniff")]}
        await self._send(message)
        self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def refuse(self, error: GatewayError) -> None:
        """The error as JSON, unless it was answered already; an answer that stopped midway is shown to be broken."""
        self._record.error = error.kind.value
        if self._complete:
            return
        if self._started:
            raise error
        body = error_body(error)
        headers = [(name.encode(), value.encode()) for name, value in error_headers(error).items()]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self({"type": "http.response.start", "status": error.status, "headers": headers})
        await self({"type": "http.response.body", "body": body, "more_body": False})


def error_headers(error: GatewayError) -> Mapping[str, str]:
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    return headers | ({"retry-after": f"{error.retry_after_s:.0f}"} if error.retry_after_s is not None else {})


def failed() -> GatewayError:
    return GatewayError(ErrorKind.INTERNAL, "The control plane failed.")
