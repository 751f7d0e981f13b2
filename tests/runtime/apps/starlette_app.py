"""A Starlette app, to see that the usual ways of answering work unchanged."""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

_DONE: list[str] = []


async def _pieces() -> AsyncIterator[bytes]:
    for number in range(4):
        await asyncio.sleep(0)
        yield b"piece %d;" % number


async def stream(request: Request) -> Response:
    return StreamingResponse(_pieces(), background=BackgroundTask(_DONE.append, "background task"))


async def done(request: Request) -> Response:
    return JSONResponse(_DONE)


async def fails(request: Request) -> Response:
    raise LookupError("an unhandled exception of a view")


async def body(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


app = Starlette(
    routes=[Route("/stream", stream), Route("/done", done), Route("/fails", fails), Route("/body", body, methods=["POST"])]
)
