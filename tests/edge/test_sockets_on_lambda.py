"""How a stream ends that breaks on Lambda: with the dialect's error, or, where nobody can say it any more, with trailers that
make API Gateway cut the response. Never as if it were whole."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest
from tests.runtime.support.recording import RecordedPost
from tests.support.gateway import Harness, deployment, gateway
from tests.support.on_lambda import event_for, invoked
from tests.support.upstream import Cut, Hang, Reset, Step, chunk, event, upstream

from pllm.relay import LiveStream
from pllm.wire.openai_chat.relay import ChatRelay

DELTA = event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
ASKED = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}


def chat() -> dict[str, Any]:
    return event_for("chat/completions", json.dumps(ASKED).encode(), "application/json")


def body(post: RecordedPost) -> bytes:
    return post.payload.partition(b"\0" * 8)[2]


def marks(gw: Harness) -> float:
    return gw.health.view(["m/1"])["m/1"].error_ratio


async def test_a_cut_is_said_in_the_stream() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(gw.committed), Cut()))
        post = await invoked(gw, chat())
        assert body(post).startswith(DELTA + b'data: {"error":{')
        assert (post.is_complete, post.trailers) == (True, {})
        assert marks(gw) == 1


async def test_a_bug_in_the_middle_of_a_stream_is_said_in_it_and_is_no_mark_against_the_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ChatRelay, "feed", _working_once(ChatRelay.feed))
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(gw.committed), chunk(DELTA), Hang()))
        post = await invoked(gw, chat())
        assert body(post).startswith(DELTA + b'data: {"error":{"message":"The gateway failed while relaying this stream."')
        assert b"[DONE]" not in body(post)
        assert (gw.log()["error"], gw.log()["estimated"], marks(gw)) == ("internal_error", True, 0)
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_a_bug_that_leaves_nobody_to_say_it_ends_in_trailers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ChatRelay, "feed", _working_once(ChatRelay.feed))
    monkeypatch.setattr(ChatRelay, "fail", _working_once(ChatRelay.fail, times=0))
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(gw.committed), chunk(DELTA), Hang()))
        post = await invoked(gw, chat())
        assert body(post) == DELTA
        assert post.trailers["lambda-runtime-function-error-type"] == "GatewayError"
        assert "the response broke off" in caplog.text
        assert (gw.log()["error"], gw.log()["estimated"]) == ("internal_error", True)
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_a_bug_behind_the_last_byte_leaves_the_answer_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = LiveStream.close

    async def close(self: LiveStream) -> None:
        await closed(self)
        raise LookupError("a bug")

    monkeypatch.setattr(LiveStream, "close", close)
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, last, event("[DONE]"))
        post = await invoked(gw, chat())
        assert body(post).endswith(b"data: [DONE]\n\n")
        assert (post.is_complete, post.trailers) == (True, {})


SOUND = b"\x00\xff" * 500
PACKED = gzip.compress(SOUND)
BARE = b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\n"
CHUNKED = BARE + b"transfer-encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("steps", "whole"),
    [
        ((CHUNKED + b"\r\n", chunk(SOUND), b"0\r\n\r\n"), True),
        ((CHUNKED + b"\r\n", chunk(SOUND), Cut()), False),
        ((CHUNKED + b"\r\n", chunk(SOUND), b"0\r\n", Cut()), False),
        ((CHUNKED + b"\r\n", chunk(SOUND), b"nonsense\r\n", Hang()), False),
        ((BARE + b"content-length: 1000\r\n\r\n", SOUND), True),
        ((BARE + b"content-length: 1001\r\n\r\n", SOUND, Cut()), False),
        ((BARE + b"\r\n", SOUND, Cut()), True),
        ((BARE + b"\r\n", SOUND, Reset()), False),
        ((CHUNKED + b"content-encoding: gzip\r\n\r\n", chunk(PACKED), b"0\r\n\r\n"), True),
        ((CHUNKED + b"content-encoding: gzip\r\n\r\n", chunk(PACKED[:-1]), b"0\r\n\r\n"), False),
    ],
)
async def test_sound_is_cut_visibly_unless_all_of_it_came(steps: tuple[Step, ...], whole: bool) -> None:
    head, first, *rest = steps
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(head, first, Hang(gw.committed), *rest)
        post = await invoked(gw, event_for("audio/speech", b'{"model": "m", "input": "x"}', "application/json"))
        assert SOUND.startswith(body(post))
        assert (body(post) == SOUND) >= whole
        assert ("lambda-runtime-function-error-type" in post.trailers) is not whole
        assert ("error" in gw.log()) is not whole


async def test_a_stream_that_comes_to_the_functions_deadline_says_so_in_time() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(DELTA, end=(Hang(),))
        post = await invoked(gw, chat(), deadline_ms=int(time.time() * 1000) + 2_000)
        assert body(post).startswith(DELTA + b'data: {"error":{')
        assert (gw.log()["error"], gw.log()["estimated"], marks(gw)) == ("upstream_timeout", True, 0)
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_when_nobody_takes_the_answer_the_provider_is_cancelled_and_what_came_is_charged() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        many = chunk(DELTA) * 200
        up.will_stream(DELTA, end=(Hang(gw.committed), *[many] * 200, Hang()))
        await asyncio.wait_for(invoked(gw, chat(), hang_up_after_bytes=200_000), 10)
        await asyncio.wait_for(up.hung_up.wait(), 5)
        assert (gw.log()["client_gone"], gw.log()["estimated"], marks(gw)) == (True, True, 0)
        assert gw.log()["completion_tokens"] > 200


def _working_once(method: Any, times: int = 1) -> Any:
    left = [None] * times

    def broken(self: ChatRelay, *given: Any) -> Any:
        if not left:
            raise LookupError("a bug")
        left.pop()
        return method(self, *given)

    return broken
