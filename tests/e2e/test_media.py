"""The official openai SDK for Python against the running gateway: everything but text."""

import base64
import io
import struct
import wave
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from tests.support.processes import COLD_S, LOCAL_KEY, Running

LABEL = "[demo upstream, no model]"


@pytest.fixture(scope="module")
def sdk(local: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{local.url}/v1", api_key=LOCAL_KEY, max_retries=0) as client:
        yield client


def recording(seconds: float = 0.5) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((bytes(range(256)) * (int(seconds * 16000) // 256 + 1))[: int(seconds * 16000)])
    return out.getvalue()


def assert_png(b64: str | None) -> None:
    assert b64 is not None
    data = base64.b64decode(b64)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, kinds = 8, []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert zlib.crc32(data[at + 4 : at + 8 + size]) == struct.unpack_from(">I", data, at + 8 + size)[0]
        kinds.append(kind)
        at += size + 12
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_embeddings_as_base64_and_as_floats_are_the_same(sdk: openai.OpenAI) -> None:
    plain = sdk.embeddings.create(model="local", input=["one", "two"])  # the SDK asks for base64 by itself
    floats = sdk.embeddings.create(model="local", input=["one", "two"], encoding_format="float")
    assert [item.index for item in plain.data] == [0, 1]
    for one, other in zip(plain.data, floats.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(x * x for x in one.embedding) == pytest.approx(1)
    assert plain.data[0].embedding != plain.data[1].embedding
    assert plain.usage.prompt_tokens > 0


def test_documents_are_ranked(local: Running) -> None:
    body = {"model": "local", "query": "capital of the union", "documents": ["a cat", "the capital"], "return_documents": True}
    headers = {"authorization": f"Bearer {LOCAL_KEY}"}
    answer = httpx.post(f"{local.url}/v1/rerank", json=body, headers=headers, timeout=COLD_S).json()
    assert [one["index"] for one in answer["results"]] == [1, 0]
    assert answer["results"][0] == {"index": 1, "relevance_score": 0.5, "document": {"text": "the capital"}}


def test_embeddings_have_the_dimensions_that_were_asked_for(sdk: openai.OpenAI) -> None:
    answer = sdk.embeddings.create(model="local", input="one", dimensions=300)
    assert len(answer.data[0].embedding) == 300


def test_images(sdk: openai.OpenAI) -> None:
    answer = sdk.images.generate(model="local", prompt="a red square", n=2)
    assert answer.data is not None
    for image in answer.data:
        assert_png(image.b64_json)
        assert image.revised_prompt is not None
        assert image.revised_prompt.startswith(LABEL)
    assert answer.usage is not None


def test_images_stream(sdk: openai.OpenAI) -> None:
    events = list(sdk.images.generate(model="local", prompt="a red square", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert_png(events[-1].b64_json)


def test_image_edits_and_variations_take_files(sdk: openai.OpenAI) -> None:
    picture = base64.b64decode((sdk.images.generate(model="local", prompt="x").data or [])[0].b64_json or "")
    edited: Any = sdk.images.edit(model="local", image=[("a.png", picture), ("b.png", picture)], prompt="bluer")
    assert_png(edited.data[0].b64_json)
    with pytest.deprecated_call():  # by the SDK; servers still have it
        varied = sdk.images.create_variation(model="local", image=("a.png", picture))
    assert varied.data is not None
    assert_png(varied.data[0].b64_json)
    events = list(sdk.images.edit(model="local", image=("a.png", picture), prompt="bluer", stream=True))
    assert events[-1].type == "image_edit.completed"


def test_speech_is_streamed_and_is_a_recording(sdk: openai.OpenAI) -> None:
    words = "It hums for as long as this sentence would take."
    with sdk.audio.speech.with_streaming_response.create(
        model="local", input=words, voice="alloy", response_format="wav"
    ) as response:
        assert response.headers["content-type"] == "audio/wav"
        assert response.headers["x-pllm-model"] == "local"
        pieces = list(response.iter_bytes())
    assert len(pieces) > 1
    with wave.open(io.BytesIO(b"".join(pieces))) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(len(words) * 0.02)


def test_speech_in_a_format_that_the_demo_has_not_is_the_sdks_error(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="wav and pcm") as caught:
        sdk.audio.speech.create(model="local", input="x", voice="alloy", response_format="mp3")
    assert caught.value.param == "response_format"


def test_a_recording_arrives_whole_and_is_transcribed(sdk: openai.OpenAI) -> None:
    content = recording()
    heard = sdk.audio.transcriptions.create(model="local", file=("a b.wav", content))
    assert heard.text == f"{LABEL} You sent a b.wav: {len(content)} bytes, {0.5:g} s."
    verbose = sdk.audio.transcriptions.create(
        model="local", file=("a.wav", content), response_format="verbose_json", timestamp_granularities=["segment"]
    )
    assert verbose.segments is not None
    assert verbose.segments[0].end == pytest.approx(0.5)
    subtitles = sdk.audio.transcriptions.create(model="local", file=("a.wav", content), response_format="srt")
    assert str(subtitles).startswith("1\n00:00:00,000 --> 00:00:00,500\n")
    with pytest.deprecated_call():
        translated = sdk.audio.translations.create(model="local", file=("a.wav", content))
    assert translated.text.startswith(LABEL)


def test_a_transcript_streams(sdk: openai.OpenAI) -> None:
    events = list(sdk.audio.transcriptions.create(model="local", file=("a.wav", recording()), stream=True))
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == done.text


def test_a_large_recording_passes(sdk: openai.OpenAI) -> None:
    content = recording(200)
    assert len(content) > 3_000_000
    assert f"{len(content)} bytes" in sdk.audio.transcriptions.create(model="local", file=("a.wav", content)).text


def test_moderations(sdk: openai.OpenAI) -> None:
    answer = sdk.moderations.create(model="local", input=["a nice day", "plain violence"])
    assert [result.flagged for result in answer.results] == [False, True]
    assert answer.results[1].categories.violence


def test_a_truncated_form_is_refused_through_the_real_runtime(local: Running) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nlocal\r\n--b\r\n\xff\xfe'
    headers = {"authorization": f"Bearer {LOCAL_KEY}", "content-type": "multipart/form-data; boundary=b"}
    answer = httpx.post(f"{local.url}/v1/audio/transcriptions", content=body, headers=headers, timeout=COLD_S)
    assert answer.status_code == 400
    assert "truncated" in answer.json()["error"]["message"]
