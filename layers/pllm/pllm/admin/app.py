"""The control plane as an ASGI application: routers behind a doorman. FastAPI's start-up is no client's wait here.

A further part is an APIRouter in a module of its own, named in ROUTERS; it needs no thought about credentials, except /ui,
whose files are for everybody.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from pllm.admin import audit, breakers, budgets, config, config_versions, keys, metrics, models, series, stats, teams, ui, usage
from pllm.admin.doorman import Doorman, error_headers, failed
from pllm.admin.services import ERRORS, AdminServices
from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.state.store import StateError
from pllm.wire.openai_chat.errors import error_body

ROUTERS: tuple[APIRouter, ...] = (
    keys.router,
    teams.router,
    audit.router,
    models.router,
    breakers.router,
    config.router,
    config_versions.router,
    stats.router,
    series.router,
    usage.router,
    budgets.router,
    metrics.router,
    ui.router,
)

_KINDS = {404: ErrorKind.NOT_FOUND, 405: ErrorKind.METHOD_NOT_ALLOWED}


def admin_app(services: AdminServices) -> Doorman:
    """The whole control plane."""
    app = api()
    app.state.services = services
    return Doorman(app, services)


def api() -> FastAPI:
    """Its endpoints, without what they work with and without the doorman: for the OpenAPI file, and to be looked at."""
    app = FastAPI(
        title="PLLM control plane", version="1", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        GatewayError: _gateway_error,
        StateError: _state_error,
        RequestValidationError: _validation_error,
        HTTPException: _http_error,
        Exception: _bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_api_route("/health", _health, include_in_schema=False)
    app.add_api_route("/ready", _ready, include_in_schema=False)
    for router in ROUTERS:
        app.include_router(router, responses={code: dict(about) for code, about in ERRORS.items()})
    return app


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _ready(request: Request) -> JSONResponse:
    """Read by strangers: it says what kind of thing is missing and nothing about the rest."""
    missing = request.app.state.services.missing
    if missing:
        return JSONResponse({"status": "not ready", "missing": list(missing)}, 503)
    return JSONResponse({"status": "ok"})


def _answer(error: GatewayError) -> Response:
    return Response(error_body(error), error.status, dict(error_headers(error)), "application/json")


async def _gateway_error(request: Request, error: GatewayError) -> Response:
    return _answer(error)


async def _state_error(request: Request, error: StateError) -> Response:
    """Nothing is said to have been done: the caller reads again and sees."""
    message = f"The table cannot be asked now ({error.reason}). If this was a change, look whether it was made."
    return _answer(GatewayError(ErrorKind.UNAVAILABLE, message, retry_after_s=2))


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    place = [str(step) for step in first["loc"][1:]]
    param = ".".join(place) or None
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "unreadable")
        return _answer(invalid(f"The request body is not valid JSON: {reason} at character {first['loc'][-1]}."))
    if first["type"] == "missing":
        what = f"'{param}' is missing" if param else "The request needs a JSON object as its body"
        return _answer(invalid(f"{what}.", param))
    if first["type"] in ("model_attributes_type", "dict_type") and not param:
        return _answer(invalid("The request body must be a JSON object."))
    said = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    return _answer(invalid(f"'{param}': {said}." if param else f"The request body: {said}.", param))


async def _bug(request: Request, error: Exception) -> Response:
    """The doorman gets to see the exception too, and logs where it came from."""
    return _answer(failed())


async def _http_error(request: Request, error: HTTPException) -> Response:
    kind = _KINDS.get(error.status_code, ErrorKind.INVALID_REQUEST)
    words = {
        ErrorKind.NOT_FOUND: "There is nothing at this path. The control plane is under /api/admin.",
        ErrorKind.METHOD_NOT_ALLOWED: f"{request.method} is not allowed here.",
    }
    answer = _answer(GatewayError(kind, words.get(kind, str(error.detail)), status=error.status_code))
    answer.headers.update(error.headers or {})
    return answer
