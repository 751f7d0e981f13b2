import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.support.recording import RecordedPost, RecordingRuntimeApi, recording_runtime_api

from lambda_stream.asgi import App, AppExitError, Exchange, Message, ProtocolViolationError, Receive, Send
from lambda_stream.connection import ResponseConnection, StreamClosedError
from lambda_stream.events import HttpRequest
from lambda_stream.protocol import prelude_multi_value


def _start(status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]}


def _body(data: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _exchange(app: App, body: bytes = b"") -> Exchange:
    return Exchange(app, HttpRequest({"type": "http"}, body, prelude_multi_value), asyncio.get_running_loop())


async def _serve(app: App, api: RecordingRuntimeApi) -> RecordedPost:
    exchange = _exchange(app)
    await exchange.first_byte
    exchange.check()
    connection = ResponseConnection(api.address, asyncio.get_running_loop())
    await exchange.deliver(connection, "an-id", "an-invocation")
    connection.close()
    return api.posts[-1]


def _sends(*messages: Message) -> App:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def test_nothing_is_committed_before_the_first_body_message() -> None:
    reached = asyncio.Event()

    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(_start())
        reached.set()
        await asyncio.Event().wait()

    exchange = _exchange(app)
    await reached.wait()
    assert not exchange.first_byte.done()
    exchange.abandon()
    await exchange.first_byte
    with pytest.raises(AppExitError, match="CancelledError"):
        exchange.check()


async def test_a_first_body_message_commits_even_when_it_is_empty(runtime_api: RecordingRuntimeApi) -> None:
    post = await _serve(_sends(_start(202), _body(b"", more=True), _body(b"later")), runtime_api)
    assert post.chunks == [b'{"statusCode":202,"multiValueHeaders":{"a":["b"]}}' + b"\0" * 8, b"later"]
    assert post.headers["lambda-runtime-invocation-id"] == "an-invocation"


@given(st.lists(st.binary(max_size=300), max_size=30), st.booleans())
@settings(deadline=None, max_examples=40)
def test_arbitrary_chunkings_arrive_byte_identical(pieces: list[bytes], last_is_empty: bool) -> None:
    messages = [_body(piece, more=True) for piece in pieces] + [_body(b"" if last_is_empty else b"end")]

    async def serve() -> RecordedPost:
        async with recording_runtime_api() as api:
            return await _serve(_sends(_start(), *messages), api)

    post = asyncio.run(serve())
    sent = [piece for piece in (*pieces, b"" if last_is_empty else b"end") if piece]
    assert post.chunks[1:] == sent
    assert (post.is_complete, post.trailers) == (True, {})


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([_body(b"x")], r"the app sent 'http.response.body' before http.response.start"),
        ([_start(), _start()], r"the app sent 'http.response.start' after http.response.start"),
        ([{"type": "http.response.push"}], r"the app sent 'http.response.push' before"),
        ([_start()], r"returned without a response \(after http.response.start\)"),
        ([], r"returned without a response \(before http.response.start\)"),
    ],
)
async def test_a_broken_contract_before_the_first_byte_is_raised(messages: list[Message], complaint: str) -> None:
    exchange = _exchange(_sends(*messages))
    await exchange.first_byte
    with pytest.raises(ProtocolViolationError, match=complaint):
        exchange.check()


@pytest.mark.parametrize(
    ("messages", "error_type"),
    [
        ([_start(), _body(b"x", more=True)], "ProtocolViolationError"),
        ([_start(), _body(b"x", more=True), _start()], "ProtocolViolationError"),
    ],
)
async def test_a_broken_contract_after_the_first_byte_becomes_trailers(
    runtime_api: RecordingRuntimeApi, messages: list[Message], error_type: str
) -> None:
    post = await _serve(_sends(*messages), runtime_api)
    assert post.trailers["lambda-runtime-function-error-type"] == error_type
    assert post.payload.endswith(b"x")


async def test_messages_after_the_end_fail_in_the_app_and_leave_the_answer_whole(
    runtime_api: RecordingRuntimeApi, caplog: pytest.LogCaptureFixture
) -> None:
    post = await _serve(_sends(_start(), _body(b"whole"), _body(b"more")), runtime_api)
    assert (post.chunks[1:], post.trailers) == ([b"whole"], {})
    assert "the app failed after its response was complete" in caplog.text


async def test_the_last_message_of_an_abandoned_task_is_not_followed_by_trailers(runtime_api: RecordingRuntimeApi) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(_start())
        answering = asyncio.ensure_future(send(_body(b"whole")))
        await asyncio.sleep(0)
        answering.cancel()
        raise LookupError("at the moment of the commit")

    post = await _serve(app, runtime_api)
    assert (post.chunks[1:], post.trailers, post.is_complete) == ([b"whole"], {}, True)


async def test_the_request_body_is_received_once_and_then_the_disconnect(runtime_api: RecordingRuntimeApi) -> None:
    received: list[Message] = []

    async def app(_scope: Any, receive: Receive, send: Send) -> None:
        received.append(await receive())
        await send(_start())
        await send(_body(b"answer"))
        received.append(await receive())

    exchange = _exchange(app, b"request")
    await exchange.first_byte
    connection = ResponseConnection(runtime_api.address, asyncio.get_running_loop())
    await exchange.deliver(connection, "an-id", None)
    connection.close()
    assert received == [{"type": "http.request", "body": b"request", "more_body": False}, {"type": "http.disconnect"}]


async def test_work_after_the_last_message_runs_when_the_answer_is_whole(runtime_api: RecordingRuntimeApi) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(_start())
        await send(_body(b"answer"))
        await runtime_api.completed.wait()

    assert (await _serve(app, runtime_api)).is_complete


async def test_an_app_learns_from_its_send_that_nobody_reads(runtime_api: RecordingRuntimeApi) -> None:
    runtime_api.hang_up_after_bytes = 1000
    raised: list[BaseException] = []

    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(_start())
        try:
            for _ in range(1000):
                await send(_body(b"x" * 100_000, more=True))
        except OSError as error:
            raised.append(error)
            raise

    with pytest.raises(StreamClosedError):
        await _serve(app, runtime_api)
    assert isinstance(raised[0], StreamClosedError)


async def test_an_app_ends_when_its_answer_cannot_even_begin() -> None:
    raised: list[BaseException] = []

    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(_start())
        try:
            await send(_body(b"x"))
        except OSError as error:
            raised.append(error)

    exchange = _exchange(app)
    await exchange.first_byte
    unreachable = ResponseConnection("127.0.0.1:1", asyncio.get_running_loop())
    with pytest.raises(StreamClosedError, match="cannot connect"):
        await exchange.deliver(unreachable, "an-id", None)
    assert isinstance(raised[0], StreamClosedError)


async def test_a_refused_response_is_logged_with_its_status(
    runtime_api: RecordingRuntimeApi, caplog: pytest.LogCaptureFixture
) -> None:
    runtime_api.answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    await _serve(_sends(_start(), _body(b"x")), runtime_api)
    assert "answered 403 to the response of invocation an-id" in caplog.text
