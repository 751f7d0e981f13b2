"""Embeddings, images, audio and moderations against an upstream that does what the test says, byte by byte."""

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, Hang, chunk, event, upstream, whole
from tests.wire.openai_media.forms import parsed, written

from pllm.core.errors import GatewayError
from pllm.core.profile import ModelProfile
from pllm.edge.app import Gateway
from pllm.edge.media import PATHS
from pllm.wire.openai_media import ENDPOINTS

EMBEDDINGS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.25]}],
    "model": "te-3",
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
    "x_new_field": {"kept": True},
}
ANSWERS: dict[str, Any] = {
    "embeddings": EMBEDDINGS,
    "images/generations": {"created": 1, "data": [{"b64_json": "eA=="}]},
    "images/edits": {"created": 1, "data": [{"b64_json": "eA=="}]},
    "images/variations": {"created": 1, "data": [{"url": "https://x"}]},
    "audio/transcriptions": {"text": "hello"},
    "audio/translations": {"text": "hello"},
    "moderations": {"id": "modr-1", "model": "om", "results": [{"flagged": False}]},
}
WAV = bytes(range(256)) * 40


def audio_head(content_type: str = "audio/wav") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


async def post(gw: Harness, path: str, **body: Any) -> httpx2.Response:
    return await gw.client.post(f"/v1/{path}", content=json.dumps({"model": "m", **body}))


async def post_form(gw: Harness, path: str, *fields: tuple[str, str], content: bytes = WAV) -> httpx2.Response:
    form = written([("model", "m"), *fields], [("file", "a.wav", content)])
    return await gw.client.post(f"/v1/{path}", content=form.body, headers={"content-type": form.content_type})


def sdk_of(gw: Harness) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)


def test_the_paths_are_the_wires() -> None:
    assert set(PATHS) == set(ENDPOINTS)


# --- Whole answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in ANSWERS if ENDPOINTS[path].takes != "form"])
async def test_json_passes_with_every_field_both_ways(path: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWERS[path])
        response = await post(gw, path, input="x", custom_knob={"a": [1]})
        assert (response.status_code, response.json()) == (200, ANSWERS[path])
        sent = up.requests[0]
        assert (sent.method, sent.path) == ("POST", f"/v1/{path}")
        assert sent.headers["authorization"] == "Bearer sk-upstream"
        assert sent.json() == {"model": "gpt-x", "input": "x", "custom_knob": {"a": [1]}}
        assert response.headers["x-pllm-model"] == "m"
        assert response.headers["x-pllm-deployment"] == "m/1"
        assert gw.log()["endpoint"] == path


@pytest.mark.parametrize("path", [path for path in ANSWERS if ENDPOINTS[path].takes != "json"])
async def test_a_form_passes_with_every_byte_but_the_model(path: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWERS[path])
        response = await post_form(gw, path, ("prompt", "grüße"), ("include[]", "logprobs"))
        assert (response.status_code, response.json()) == (200, ANSWERS[path])
        sent = up.requests[0]
        assert sent.path == f"/v1/{path}"
        fields, uploads = parsed(sent.body, sent.headers["content-type"])
        assert fields == [("model", "gpt-x"), ("prompt", "grüße"), ("include[]", "logprobs")]
        assert uploads == [("file", "a.wav", WAV)]


async def test_the_mirror_under_api_answers_the_same() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(EMBEDDINGS)
        body = json.dumps({"model": "m", "input": "x"})
        assert (await gw.client.post("/api/v1/embeddings", content=body)).json() == EMBEDDINGS


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        (b"just the words\n", "text/plain; charset=utf-8"),
        (b"1\n00:00:00,000 --> 00:00:01,500\nHi\n\n", "text/plain"),
        (b"WEBVTT\n\n00:00.000 --> 00:01.500\nHi\n", "text/vtt"),
    ],
)
async def test_text_formats_of_a_transcription_keep_their_type(text: bytes, content_type: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(whole(text, content_type=content_type))
        response = await post_form(gw, "audio/transcriptions", ("response_format", "srt"))
        assert (response.content, response.headers["content-type"]) == (text, content_type)


async def test_what_was_used_is_accounted_for() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(EMBEDDINGS)
        await post(gw, "embeddings", input="x")
        assert (gw.log()["prompt_tokens"], gw.emf()["PromptTokens"]) == (4, 4)
    usage = {"input_tokens": 10, "output_tokens": 4160, "total_tokens": 4170}
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"created": 1, "data": [{"b64_json": "eA=="}] * 2, "usage": usage})
        await post(gw, "images/generations", prompt="x")
        assert (gw.log()["prompt_tokens"], gw.log()["completion_tokens"], gw.log()["images"]) == (10, 4160, 2)
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"text": "hi", "usage": {"type": "duration", "seconds": 37}})
        await post_form(gw, "audio/transcriptions")
        assert gw.log()["audio_seconds"] == 37


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


# --- Bodies of any content ------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(content=st.binary(max_size=300), size=st.integers(1, 200))
def test_any_file_in_any_pieces_arrives_byte_for_byte(content: bytes, size: int) -> None:
    assume(b"--a1b2c3d4e5f6" not in content)

    async def check() -> None:
        form = written([("model", "gpt-x"), ("prompt", "p")], [("file", "x", content)])

        async def pieces() -> Any:
            for start in range(0, len(form.body), size):
                yield form.body[start : start + size]

        async with upstream() as up, gateway([deployment(up.base_url, model_name="gpt-x")]) as gw:
            up.will(audio_head(), *(chunk(content[i : i + size]) for i in range(0, len(content), size)), b"0\r\n\r\n")
            up.will_answer({"text": "ok"})
            back = await post(gw, "audio/speech", model="gpt-x", input="x")
            assert back.status_code == (200 if content else 502)
            assert back.content == content or not content
            headers = {"content-type": form.content_type}
            response = await gw.client.post("/v1/audio/transcriptions", content=pieces(), headers=headers)
            assert response.status_code == 200
            assert up.requests[1].body == form.body

    asyncio.run(check())


async def test_every_truncation_of_a_form_is_a_400() -> None:
    form = written([("model", "m")], [("file", "x", b"\x00\xff")])
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        for length in range(len(form.body) - 2):
            response = await gw.client.post(
                "/v1/images/edits", content=form.body[:length], headers={"content-type": form.content_type}
            )
            assert response.status_code == 400
            assert response.json()["error"]["type"] == "invalid_request_error"
        assert up.requests == []


async def test_a_form_over_the_limit_is_a_413() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await post_form(gw, "audio/transcriptions", content=b"x" * (6 * 1024 * 1024))
        assert response.status_code == 413
        assert up.requests == []


async def test_a_form_near_the_limit_passes() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"text": "ok"})
        content = b"\r\n--" * (6 * 1024 * 1024 // 4 - 200)
        assert (await post_form(gw, "audio/transcriptions", content=content)).status_code == 200
        assert content in up.requests[0].body


# --- What the client got wrong, and who cannot serve it -------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content_type", "words"),
    [
        ("embeddings", "multipart/form-data; boundary=b", "takes a JSON object"),
        ("audio/transcriptions", "application/json", "takes multipart/form-data, not application/json"),
        ("audio/transcriptions", "multipart/form-data", "no boundary"),
        ("images/variations", "application/x-www-form-urlencoded", "takes multipart/form-data"),
    ],
)
async def test_the_wrong_kind_of_body_is_named(path: str, content_type: str, words: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.post(f"/v1/{path}", content=b"{}", headers={"content-type": content_type})
        assert response.status_code == 400
        assert words in response.json()["error"]["message"]
        assert up.requests == []


async def test_two_content_types_are_one_too_many() -> None:
    headers = [("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=b")]
    async with gateway([deployment("http://127.0.0.1:1")]) as gw:
        request = httpx2.Request(
            "POST", "http://gateway/v1/images/edits", headers=[*headers, ("authorization", f"Bearer {KEY}")], content=b"{}"
        )
        response = await gw.client.send(request)
        assert response.status_code == 400
        assert "twice" in response.json()["error"]["message"]


async def test_a_get_is_a_405_and_a_stranger_a_401() -> None:
    async with gateway([]) as gw:
        assert (await gw.client.get("/v1/embeddings")).status_code == 405
        assert (await gw.client.post("/v1/embeddings", headers={"authorization": "Bearer no"})).status_code == 401


async def test_an_unknown_model_is_a_404() -> None:
    async with gateway([deployment("http://127.0.0.1:1")]) as gw:
        assert (await post(gw, "embeddings", model="nope", input="x")).status_code == 404


@pytest.mark.parametrize("provider", ["anthropic", "bedrock", "vertex", "gemini"])
async def test_other_dialects_do_not_serve_moderations_and_the_answer_says_so(provider: str) -> None:
    dialect = {"anthropic": "messages", "bedrock": "converse"}.get(provider, "gemini")
    async with gateway([deployment("http://127.0.0.1:1", provider=provider, dialects=(dialect,))]) as gw:
        response = await post(gw, "moderations", input="x")
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_endpoint", "model")
        assert "moderations are served by OpenAI-dialect providers only" in error["message"]
        assert provider in error["message"]


async def test_a_deployment_that_cannot_serve_it_is_passed_over() -> None:
    async with upstream() as up:
        up.will_answer(EMBEDDINGS)
        first = deployment("http://127.0.0.1:1", id="m/claude", provider="anthropic", dialects=("messages",), priority=1)
        async with gateway([first, deployment(up.base_url, priority=2)]) as gw:
            response = await post(gw, "embeddings", input="x")
            assert (response.status_code, response.headers["x-pllm-attempts"]) == (200, "1")


async def test_a_known_chat_model_makes_no_embeddings() -> None:
    profile = ModelProfile(mode="chat", known=True)
    async with gateway([deployment("http://127.0.0.1:1", profile=profile)]) as gw:
        response = await post(gw, "embeddings", input="x")
        assert response.status_code == 400
        assert "its mode is 'chat'" in response.json()["error"]["message"]


# --- Failover and errors --------------------------------------------------------------------------------------------


async def test_a_form_goes_to_the_next_deployment_whole_when_the_first_fails() -> None:
    async with upstream() as bad, upstream() as good:
        bad.will(whole(b"no", 503))
        good.will_answer({"text": "hello"})
        first = deployment(bad.base_url, id="m/bad", model="one", priority=1)
        async with gateway([first, deployment(good.base_url, id="m/good", model="two", priority=2)]) as gw:
            response = await post_form(gw, "audio/transcriptions")
            assert (response.status_code, response.headers["x-pllm-attempts"]) == (200, "2")
            for up, model in ((bad, "one"), (good, "two")):
                fields, uploads = parsed(up.requests[0].body, up.requests[0].headers["content-type"])
                assert (fields, uploads) == ([("model", model)], [("file", "a.wav", WAV)])


async def test_speech_fails_over_until_its_first_byte() -> None:
    async with upstream() as bad, upstream() as good:
        bad.will(audio_head(), Cut())
        good.will(audio_head(), chunk(b"ok"), b"0\r\n\r\n")
        first = deployment(bad.base_url, id="m/bad", priority=1)
        async with gateway([first, deployment(good.base_url, id="m/good", priority=2)]) as gw:
            response = await post(gw, "audio/speech", input="x")
            assert (response.content, response.headers["x-pllm-deployment"]) == (b"ok", "m/good")


@pytest.mark.parametrize("path", PATHS)
async def test_the_providers_refusal_keeps_its_words(path: str) -> None:
    error = {"message": "Unknown parameter: 'x'.", "type": "invalid_request_error", "param": "x", "code": "unknown_parameter"}
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"error": error}, 400)
        response = await (post_form(gw, path) if ENDPOINTS[path].takes == "form" else post(gw, path))
        assert (response.status_code, response.json()["error"]) == (400, error)


async def test_a_429_keeps_its_retry_after() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"error": {"message": "slow down"}}, 429, retry_after="17")
        response = await post_form(gw, "images/edits")
        assert (response.status_code, response.headers["retry-after"]) == (429, "17")
