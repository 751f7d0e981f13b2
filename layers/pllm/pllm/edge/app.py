"""The data plane as an ASGI application: authenticate, find the endpoint, answer, and account for it afterwards."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pllm.core.clock import Clock
from pllm.core.config.policies import LAMBDA_BODY_BYTES
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.header_text import header_text
from pllm.core.jsontext import dumps
from pllm.core.principal import Principal
from pllm.core.record import RequestRecord
from pllm.edge import errors
from pllm.edge.auth import Authenticator
from pllm.edge.count_tokens import CountTokens
from pllm.edge.exchange import ClientGoneError, Endpoint, Exchange, Sent
from pllm.edge.generation import Generation, not_offered
from pllm.edge.http import HttpRequest, Receive, Scope, Send, json_headers, send_whole
from pllm.edge.media import PATHS, Media
from pllm.edge.models import Models
from pllm.edge.responses import Responses
from pllm.pipeline import Pipeline
from pllm.telemetry.emf import abandoned_lines, emf_line
from pllm.telemetry.log import Emit, crash_site
from pllm.telemetry.request_line import log_line
from pllm.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from pllm.core.request_trace import RequestTrace

# Left to the platform's hard limit: enough to cancel the upstream, say so to the client and settle.
_RESERVE_S = 1.5

_LEFT_OUT = tuple(
    f"/v1/{name}"
    for name in ("realtime", "fine_tuning", "assistants", "threads", "batches", "files", "uploads", "vector_stores", "evals")
)

Routes = Mapping[str, Mapping[str, tuple[str, Endpoint]]]
"""path -> method -> (endpoint's name in logs and metrics, endpoint). A path that ends in "/" takes everything below it."""


_GENERATION = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/messages": "messages",
}


def routes(models: Models, pipeline: Pipeline, responses: Responses) -> Routes:
    """The whole surface of the data plane, less what needs no credential."""
    return {
        "/v1/responses": {"POST": ("responses", responses.create)},
        "/v1/responses/": {"GET": ("response", responses.get), "DELETE": ("response", responses.delete)},
        **{path: {"POST": (dialect, Generation(dialect, pipeline))} for path, dialect in _GENERATION.items()},
        "/v1/messages/count_tokens": {"POST": ("count_tokens", CountTokens(pipeline))},
        **{f"/v1/{path}": {"POST": (path, Media(path, pipeline))} for path in PATHS},
        "/v1/models": {"GET": ("models", models.listing)},
        "/v1/models/": {"GET": ("model", models.one)},
        **{path: dict.fromkeys(("GET", "POST"), ("left_out", not_offered)) for path in _LEFT_OUT},
        **{path + "/": dict.fromkeys(("GET", "POST", "DELETE"), ("left_out", not_offered)) for path in _LEFT_OUT},
    }


class First:
    """True the first time it is asked, and never again."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        first, self._asked = not self._asked, True
        return first


@dataclass(frozen=True)
class Edge:
    """What the application is built from. `missing` is what /ready names: empty when requests can be served. `settle`: what
    is left to be done after a client's last byte, before the invocation may end. `count`: told of every request that is over,
    before that. `cold`: whether a request is the environment's first; applications that follow one another share it.
    `tracing`: None where trace headers mean nothing."""

    routes: Routes
    authenticator: Authenticator
    clock: Clock
    new_id: Callable[[], str]
    emit: Emit
    function: str = "gateway"
    missing: tuple[str, ...] = ()
    settle: Callable[[], Awaitable[None]] | None = None
    count: Callable[[RequestRecord], None] | None = None
    cold: Callable[[], bool] = field(default_factory=First)
    tracing: Tracing | None = None
    max_body_bytes: int = LAMBDA_BODY_BYTES


class Gateway:
    """ASGI application. One instance for each configuration that an environment has."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served, not {scope['type']}")
        request = HttpRequest(scope, receive, self._edge.max_body_bytes)
        record = self._open_record(scope)
        trace = self._edge.tracing.begin(request, record) if self._edge.tracing is not None else None
        deadline_s = self._deadline_s(scope)
        sent = Sent(send, None if deadline_s is None else deadline_s - self._edge.clock.monotonic_s())
        try:
            await self._serve(request, sent, record, trace, deadline_s)
        except ClientGoneError:
            record.client_gone = True
        except GatewayError as error:
            await self._refuse(request, sent, record, error)
        except Exception as error:  # noqa: BLE001 - the last line: a bug becomes a 500, and its place is logged
            self._log_crash(record, error)
            await self._refuse(request, sent, record, GatewayError(ErrorKind.INTERNAL, "The gateway failed."))
        finally:
            sent.end()
            self._close_record(record)
            if self._edge.tracing is not None:
                self._edge.tracing.end(trace, record, request)
            await self._settle(record)

    async def _serve(
        self, request: HttpRequest, sent: Sent, record: RequestRecord, trace: "RequestTrace | None", deadline_s: float | None
    ) -> None:
        path = _canonical(request.path)
        if path in ("/health", "/ready"):
            _note_route(trace, path)
            await self._health(path, sent, record)
            return
        principal = await self._authenticated(request, record)
        record.principal, record.team = principal.id, principal.team or ""
        route, methods = self._find(path)
        _note_route(trace, route)
        record.endpoint, endpoint = _of_method(methods, request.method)
        if not principal.may_call(request.method, path):
            raise GatewayError(ErrorKind.PERMISSION, f"This key may not call {request.method} {path}.")
        await endpoint(Exchange(request, path, sent, record, principal, deadline_s, trace))

    async def _authenticated(self, request: HttpRequest, record: RequestRecord) -> Principal:
        asked_s = self._edge.clock.monotonic_s()
        try:
            return await self._edge.authenticator.authenticate(request)
        finally:
            record.auth_s = self._edge.clock.monotonic_s() - asked_s

    def _find(self, path: str) -> tuple[str, Mapping[str, tuple[str, Endpoint]]]:
        known = self._edge.routes
        methods = known.get(path)
        while methods is None and "/" in path.strip("/"):
            path = path.rstrip("/").rpartition("/")[0] + "/"
            methods = known.get(path)
        if methods is None:
            raise GatewayError(ErrorKind.NOT_FOUND, "There is nothing at this path. The API is under /v1.")
        return path, methods

    async def _health(self, path: str, sent: Sent, record: RequestRecord) -> None:
        record.endpoint = path[1:]
        missing = self._edge.missing if path == "/ready" else ()
        record.status = 503 if missing else 200
        body = {"status": "not ready", "missing": list(missing)} if missing else {"status": "ok"}
        await send_whole(sent, record.status, json_headers({"x-request-id": record.request_id}), dumps(body))

    async def _refuse(self, request: HttpRequest, sent: Sent, record: RequestRecord, error: GatewayError) -> None:
        record.error = error.kind.value
        if sent.started:
            raise error  # too late for a status: the runtime ends the response visibly broken
        record.status = error.status
        extra = {"x-request-id": record.request_id, **errors.headers(error)}
        if record.degraded:
            extra["x-pllm-state"] = "degraded"
        if record.attempts:
            who = {"model": record.model, "provider": record.provider, "deployment": record.deployment}
            extra |= {f"x-pllm-{name}": header_text(value) for name, value in who.items() if value}
            extra["x-pllm-attempts"] = str(record.attempts)
        try:
            await send_whole(sent, error.status, json_headers(extra), errors.body(error, request.path))
        except ClientGoneError:
            record.client_gone = True

    def _open_record(self, scope: Scope) -> RequestRecord:
        context = scope.get("aws.context")
        request_id = getattr(context, "aws_request_id", None) or self._edge.new_id()
        return RequestRecord(request_id, "unknown", self._edge.clock.monotonic_s(), cold_start=self._edge.cold())

    def _deadline_s(self, scope: Scope) -> float | None:
        remaining = getattr(scope.get("aws.context"), "get_remaining_time_in_millis", None)
        return None if remaining is None else self._edge.clock.monotonic_s() + remaining() / 1000 - _RESERVE_S

    def _close_record(self, record: RequestRecord) -> None:
        record.ended_s = self._edge.clock.monotonic_s()
        now_ms = int(self._edge.clock.wall_s() * 1000)
        for line in abandoned_lines(record, self._edge.function, now_ms):
            self._edge.emit(line)
        self._edge.emit(emf_line(record, self._edge.function, now_ms))
        self._edge.emit(log_line(record, now_ms))
        if self._edge.count is not None:
            self._edge.count(record)

    async def _settle(self, record: RequestRecord) -> None:
        if self._edge.settle is None:
            return
        try:
            await self._edge.settle()
        except Exception as error:  # noqa: BLE001 - the client has its answer
            self._log_crash(record, error)

    def _log_crash(self, record: RequestRecord, error: Exception) -> None:
        self._edge.emit({"level": "ERROR", "message": "unhandled", "at": crash_site(error), "request_id": record.request_id})


def _note_route(trace: "RequestTrace | None", route: str) -> None:
    if trace is not None:
        trace.route = route


def _of_method(methods: Mapping[str, tuple[str, Endpoint]], method: str) -> tuple[str, Endpoint]:
    if method not in methods:
        allowed = ", ".join(methods)
        raise GatewayError(ErrorKind.METHOD_NOT_ALLOWED, f"{method} is not allowed here; use {allowed}.")
    return methods[method]


def _canonical(path: str) -> str:
    """Mirrors folded onto /v1: /api/v1, and /iam/v1 for callers that AWS has identified."""
    for mirror in ("/api", "/iam"):
        if path.startswith(f"{mirror}/v1/"):
            return path.removeprefix(mirror)
    return path
