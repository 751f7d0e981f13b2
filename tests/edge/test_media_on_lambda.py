"""The same endpoints as Lambda serves them: a binary body comes as base64, and cut audio ends in trailers."""

import json

import pytest
from tests.support.gateway import deployment, gateway
from tests.support.on_lambda import event_for, invoked
from tests.support.upstream import Cut, Hang, Step, chunk, upstream
from tests.wire.openai_media.forms import parsed, written

AUDIO_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ntransfer-encoding: chunked\r\n\r\n"


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
