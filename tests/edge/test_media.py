"""Embeddings, images, audio and moderations against an upstream that does what the test says, byte by byte."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.edge.media_calls import WAV, audio_head, post, post_form
from tests.support.gateway import KEY, deployment, gateway
from tests.support.upstream import Cut, chunk, upstream, whole
from tests.wire.openai_media.forms import parsed, written

from pllm.core.profile import ModelProfile
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
