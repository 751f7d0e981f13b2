"""The gateway as Lambda runs it: events in, and what is posted to the Runtime API out."""

import asyncio
import importlib
import json
from contextlib import nullcontext, suppress
from typing import Any

from mangum import Mangum
from tests.runtime.support.events import make_rest_event
from tests.runtime.support.recording import RecordedPost, recording_runtime_api
from tests.support.gateway import KEY, Harness

from lambda_stream.asgi import Exchange
from lambda_stream.connection import ResponseConnection, StreamClosedError
from lambda_stream.events import read_request
from pllm.edge.app import Gateway

FAR_MS = 4_000_000_000_000


async def invoked(
    gw: Harness, event: dict[str, Any], deadline_ms: int = FAR_MS, hang_up_after_bytes: int | None = None
) -> RecordedPost:
    """What the Runtime API is posted when the gateway is invoked with `event`. `deadline_ms`: of the function, since the epoch.
    `hang_up_after_bytes`: how much of the answer is taken."""
    context = importlib.import_module("awslambdaric.lambda_context").LambdaContext("an-id", None, None, deadline_ms)
    gateway_app = Gateway(gw.edge)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                gw.committed.set()

        await gateway_app(scope, receive, note)

    async with recording_runtime_api() as api:
        api.hang_up_after_bytes = hang_up_after_bytes
        exchange = Exchange(app, read_request(Mangum(app, lifespan="off"), event, context), asyncio.get_running_loop())
        await exchange.first_byte
        exchange.check()
        connection = ResponseConnection(api.address, asyncio.get_running_loop())
        with suppress(StreamClosedError) if hang_up_after_bytes is not None else nullcontext():
            await exchange.deliver(connection, "an-id", "an-invocation")
        connection.close()
        return api.posts[-1]


def event_for(path: str, body: bytes, content_type: str) -> dict[str, Any]:
    headers = (("Host", "gateway"), ("Authorization", f"Bearer {KEY}"), ("Content-Type", content_type))
    event: dict[str, Any] = json.loads(make_rest_event(f"/v1/{path}", "POST", headers, body))
    return event
