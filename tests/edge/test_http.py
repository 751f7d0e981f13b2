"""What the edge does between events, around bodies and when a client goes."""

import asyncio
import json
from typing import Any

import pytest
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import Hang, chunk, event, upstream

from pllm.edge import http
from pllm.edge.app import Gateway
from pllm.relay import LiveStream

DELTA = event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
LAST = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


async def ask(gw: Harness, seen: "asyncio.Queue[dict[str, Any]]", body: dict[str, Any], gone: int = 10**9) -> None:
    """One streamed chat straight at the ASGI application; every message goes to `seen`. From message `gone` on, the client
    is not there any more."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [(b"authorization", f"Bearer {KEY}".encode())],
    }
    count = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message: Any) -> None:
        nonlocal count
        count += 1
        if count > gone:
            raise OSError("the client is gone")
        seen.put_nowait(message)

    await Gateway(gw.edge)(scope, receive, send)


BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}


async def test_a_silent_upstream_is_bridged_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 0.02)
    go_on = asyncio.Event()
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(go_on), *_rest()))
        seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        asking = asyncio.create_task(ask(gw, seen, BODY))
        comments = 0
        while comments < 3:
            message = await asyncio.wait_for(seen.get(), 5)
            comments += message.get("body") == b": keep-alive\n\n"
        go_on.set()
        await asking
        rest = b"".join(seen.get_nowait().get("body", b"") for _ in range(seen.qsize()))
        assert rest.endswith(b"data: [DONE]\n\n")


def _rest() -> tuple[bytes, ...]:
    return chunk(LAST), chunk(event("[DONE]")), b"0\r\n\r\n"


async def test_an_upstream_that_answers_200_and_then_says_nothing_gets_its_status_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 0.02)
    opened = LiveStream.open

    async def impatient(self: LiveStream, patience_s: float) -> None:
        await opened(self, 0.02)

    monkeypatch.setattr(LiveStream, "open", impatient)
    go_on = asyncio.Event()
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(end=(Hang(go_on), *_rest()))
        seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        asking = asyncio.create_task(ask(gw, seen, BODY))
        assert (await asyncio.wait_for(seen.get(), 5))["status"] == 200
        assert (await asyncio.wait_for(seen.get(), 5))["body"] == b": keep-alive\n\n"
        go_on.set()
        await asking
        rest = b"".join(seen.get_nowait().get("body", b"") for _ in range(seen.qsize()))
        assert rest.endswith(b"data: [DONE]\n\n")


async def test_when_the_client_goes_the_upstream_is_cancelled_and_the_request_accounted() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(),))
        await ask(gw, asyncio.Queue(), BODY, gone=1)
        await asyncio.wait_for(up.hung_up.wait(), 5)
        assert gw.log()["client_gone"] is True
        assert "error" not in gw.log()
