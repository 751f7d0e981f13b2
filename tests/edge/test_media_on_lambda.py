"""The same endpoints as Lambda serves them: a binary body comes as base64, and cut audio ends in trailers."""

import asyncio
import importlib
import json
from typing import Any

import pytest
from mangum import Mangum
from tests.runtime.support.events import make_rest_event
from tests.runtime.support.recording import RecordedPost, recording_runtime_api
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import Cut, Hang, Step, chunk, upstream
from tests.wire.openai_media.forms import parsed, written

from lambda_stream.asgi import Exchange
from lambda_stream.connection import ResponseConnection
from lambda_stream.events import read_request
from pllm.edge.app import Gateway

AUDIO_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ntransfer-encoding: chunked\r\n\r\n"


async def invoked(gw: Harness, event: dict[str, Any]) -> RecordedPost:
    """What the Runtime API is posted when the gateway is invoked with `event`."""
    context = importlib.import_module("awslambdaric.lambda_context").LambdaContext("an-id", None, None, 4_000_000_000_000)
    gateway_app = Gateway(gw.edge)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                gw.committed.set()

        await gateway_app(scope, receive, note)

    async with recording_runtime_api() as api:
        exchange = Exchange(app, read_request(Mangum(app, lifespan="off"), event, context), asyncio.get_running_loop())
        await exchange.first_byte
        exchange.check()
        connection = ResponseConnection(api.address, asyncio.get_running_loop())
        await exchange.deliver(connection, "an-id", "an-invocation")
        connection.close()
        return api.posts[-1]


def event_for(path: str, body: bytes, content_type: str) -> dict[str, Any]:
    headers = (("Host", "gateway"), ("Authorization", f"Bearer {KEY}"), ("Content-Type", content_type))
    event: dict[str, Any] = json.loads(make_rest_event(f"/v1/{path}", "POST", headers, body))
    return event


async def test_a_binary_form_arrives_byte_for_byte_from_a_base64_event() -> None:
    content = bytes(range(256)) * 64
    form = written([("model", "m")], [("file", "a.wav", content)])
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"text": "hello"})
        event = event_for("audio/transcriptions", form.body, form.content_type)
        assert event["isBase64Encoded"] is True
        post = await invoked(gw, event)
        assert json.loads(post.payload.partition(b"\0" * 8)[2]) == {"text": "hello"}
        assert parsed(up.requests[0].body, form.content_type) == ([("model", "gpt-x")], [("file", "a.wav", content)])


@pytest.mark.parametrize(
    ("end", "whole"), [((b"0\r\n\r\n",), True), ((Cut(),), False)], ids=["whole audio", "audio cut by the provider"]
)
async def test_audio_is_posted_as_it_comes_and_a_cut_is_said_in_trailers(
    end: tuple[Step, ...], whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(AUDIO_HEAD, chunk(b"\x00\xff"), Hang(gw.committed), *end)
        post = await invoked(gw, event_for("audio/speech", b'{"model": "m", "input": "x"}', "application/json"))
        prelude, _, body = post.payload.partition(b"\0" * 8)
        assert json.loads(prelude)["multiValueHeaders"]["content-type"] == ["audio/wav"]
        assert body == b"\x00\xff"
        assert ("lambda-runtime-function-error-type" in post.trailers) is not whole
        assert ("the response broke off" in caplog.text) is not whole
