"""Speech as its bytes come, and streams of events of images and transcripts."""

import asyncio
import json
from typing import Any

import openai
import pytest
from tests.edge.media_calls import WAV, audio_head, post, post_form
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, Hang, chunk, event, upstream, whole

from pllm.core.errors import GatewayError
from pllm.edge.app import Gateway


def sdk_of(gw: Harness) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)


# --- Speech: bytes as they come -------------------------------------------------------------------------------------


async def test_speech_arrives_byte_for_byte_under_its_own_type() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(audio_head("audio/mpeg"), chunk(WAV[:1]), chunk(WAV[1:9000]), chunk(WAV[9000:]), b"0\r\n\r\n")
        response = await post(gw, "audio/speech", input="Hello!", voice="alloy")
        assert (response.content, response.headers["content-type"]) == (WAV, "audio/mpeg")
        assert up.requests[0].json() == {"model": "gpt-x", "input": "Hello!", "voice": "alloy"}
        assert up.requests[0].headers["accept"] == "*/*"
        assert (gw.log()["characters"], gw.log()["stream"], gw.log()["status"]) == (6, True, 200)
        assert gw.log()["ttft_ms"] > 0


async def test_speech_without_a_type_is_octets() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc")
        response = await post(gw, "audio/speech", input="x")
        assert (response.content, response.headers["content-type"]) == (b"abc", "application/octet-stream")


async def test_the_first_bytes_leave_before_the_last_have_come() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(audio_head(), chunk(b"first"), Hang(gw.committed), chunk(b"last"), b"0\r\n\r\n")
        response = await asyncio.wait_for(post(gw, "audio/speech", input="x"), 10)
        assert response.content == b"firstlast"


async def served(gw: Harness, path: str, body: dict[str, Any]) -> tuple[list[dict[str, Any]], GatewayError | None]:
    """What the application sends, message by message, and what it raises: a server sees the same."""
    messages: list[dict[str, Any]] = []
    inbox = [{"type": "http.request", "body": json.dumps({"model": "m", **body}).encode(), "more_body": False}]

    async def receive() -> Any:
        return inbox.pop() if inbox else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        messages.append(dict(message))
        gw.committed.set()

    headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": f"/v1/{path}", "headers": headers, "query_string": b""}
    try:
        await Gateway(gw.edge)(scope, receive, send)
    except GatewayError as error:
        return messages, error
    return messages, None


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(audio_head() + chunk(b"par"), id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: 99\r\n\r\npar", id="content-length"),
    ],
)
async def test_audio_that_is_cut_is_seen_to_be_cut(head: bytes) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(head, Hang(gw.committed), Cut())
        messages, error = await served(gw, "audio/speech", {"input": "x"})
        assert error is not None
        assert error.kind.value == "stream_broken"
        assert messages[0]["status"] == 200
        assert b"".join(m["body"] for m in messages[1:]) == b"par"
        assert all(m["more_body"] for m in messages[1:])
        assert (gw.log()["broken"], gw.log()["error"]) == (True, "stream_broken")


async def test_audio_that_stalls_or_takes_too_long_is_cut_too() -> None:
    for limits in ({"stream_idle_timeout_s": 0.5}, {"timeout_s": 0.5}):
        async with upstream() as up, gateway([deployment(up.base_url, **limits)]) as gw:
            up.will(audio_head(), chunk(b"par"), Hang())
            messages, error = await served(gw, "audio/speech", {"input": "x"})
            assert error is not None
            assert error.kind.value == "upstream_timeout"
            assert all(m["more_body"] for m in messages[1:])
            await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_audio_that_ends_before_its_first_byte_is_a_real_error() -> None:
    for steps in ((audio_head(), Cut()), (audio_head(), b"0\r\n\r\n"), (whole(b"<html>", content_type="text/html"),)):
        async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
            up.will(*steps)
            assert (await post(gw, "audio/speech", input="x")).status_code == 502


async def test_no_keep_alive_comment_lands_in_silent_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.edge.event_stream.KEEP_ALIVE_S", 0.01)
    monkeypatch.setattr("pllm.attempt.COMMIT_AFTER_S", 0.01)
    released = asyncio.Event()
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(audio_head(), Hang(released), chunk(b"a"), chunk(b"b"), b"0\r\n\r\n")
        asyncio.get_running_loop().call_later(0.1, released.set)
        assert (await post(gw, "audio/speech", input="x")).content == b"ab"


# --- Streams of events ----------------------------------------------------------------------------------------------


PARTIAL = event({"type": "image_generation.partial_image", "b64_json": "eA==", "partial_image_index": 0})
IMAGE = event({"type": "image_generation.completed", "b64_json": "eA==", "usage": {"input_tokens": 3, "output_tokens": 9}})
DELTA = event({"type": "transcript.text.delta", "delta": "Hi"})
TEXT = event({"type": "transcript.text.done", "text": "Hi", "usage": {"type": "tokens", "input_tokens": 2, "output_tokens": 1}})


async def test_partial_images_pass_as_received() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(PARTIAL, PARTIAL, IMAGE)
        response = await post(gw, "images/generations", prompt="x", stream=True, partial_images=2)
        assert (response.content, response.headers["content-type"]) == (PARTIAL + PARTIAL + IMAGE, "text/event-stream")
        assert up.requests[0].headers["accept"] == "text/event-stream"
        assert (gw.log()["prompt_tokens"], gw.log()["completion_tokens"], gw.log()["images"]) == (3, 9, 1)


async def test_a_transcript_streams_from_a_form() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, TEXT)
        response = await post_form(gw, "audio/transcriptions", ("stream", "true"))
        assert response.content == DELTA + TEXT
        assert gw.log()["completion_tokens"] == 1


async def test_a_model_that_ignores_the_wish_for_a_stream_answers_whole() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"text": "hello"})
        response = await post_form(gw, "audio/transcriptions", ("stream", "true"))
        assert (response.json(), response.headers["content-type"]) == ({"text": "hello"}, "application/json")


async def test_speech_streams_as_events_where_the_client_asks() -> None:
    events = event({"type": "speech.audio.delta", "audio": "eA=="}) + event({"type": "speech.audio.done"})
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(events)
        assert (await post(gw, "audio/speech", input="x", stream_format="sse")).content == events


@pytest.mark.parametrize(
    "end",
    [
        pytest.param((Cut(),), id="connection cut"),
        pytest.param((b"0\r\n\r\n",), id="no done event"),
        pytest.param((chunk(IMAGE[:20]), b"0\r\n\r\n"), id="body ends inside an event"),
        pytest.param((chunk(event({"type": "error", "error": {"message": "boom"}})), b"0\r\n\r\n"), id="error event"),
    ],
)
async def test_a_stream_that_breaks_ends_with_an_error_event_that_the_sdk_raises(end: tuple[Any, ...]) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(STREAM_HEAD, chunk(PARTIAL), Hang(gw.committed), *end)
        stream = await sdk_of(gw).images.generate(model="m", prompt="x", stream=True)
        seen = []
        with pytest.raises(openai.APIError):
            async for item in stream:
                seen.append(item.type)  # noqa: PERF401 - what came before the error counts
        assert seen == ["image_generation.partial_image"]
        assert gw.log()["broken"] is True


async def test_an_error_before_the_first_event_is_a_real_status() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(event({"type": "error", "error": {"message": "slow down", "code": "rate_limit_exceeded"}}))
        assert (await post(gw, "images/generations", prompt="x", stream=True)).status_code == 429
