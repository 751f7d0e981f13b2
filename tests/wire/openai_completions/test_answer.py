"""Legacy Completions answers, told whole and as a stream; judged by OpenAI's SDK."""

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types import Completion
from tests.wire.openai_completions.completion import CONTEXT, decode, stream

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.wire.folding import fold, unfold
from pllm.wire.neutral import (
    Choice,
    End,
    Event,
    Failure,
    Finish,
    FinishReason,
    LogprobsDelta,
    Opaque,
    OpaqueBlock,
    Part,
    Ping,
    Refusal,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
)
from pllm.wire.openai_completions import client


def answer(*parts: Part, finish: FinishReason = "stop", logprobs: dict[str, Any] | None = None) -> Response:
    return Response("u", "m", (Choice(parts, finish, None, logprobs),), Usage(3, 1, output=2), 1_700_000_001, None, "fp_1")


def encode(response: Response, **fields: Any) -> dict[str, Any]:
    body = client.encode(response, decode(**fields), CONTEXT)
    Completion.model_validate_json(body, strict=True)
    found: dict[str, Any] = json.loads(body)
    return found


def chunks(written: bytes) -> list[dict[str, Any]]:
    return [
        json.loads(block.removeprefix("data: ")) for block in written.decode().split("\n\n")[:-1] if block.startswith("data: {")
    ]


def test_a_text_completion() -> None:
    assert encode(answer(Text(" upon"), Text(" a time"))) == {
        "id": "cmpl-5eed",
        "object": "text_completion",
        "created": 1_700_000_001,
        "model": "public",
        "choices": [{"text": " upon a time", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "system_fingerprint": "fp_1",
        "usage": {
            "prompt_tokens": 4,
            "completion_tokens": 2,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }


def test_echo_puts_the_prompt_before_the_answer() -> None:
    response = answer(Text(" upon"))
    assert encode(response, echo=True)["choices"][0]["text"] == "Once upon"
    texts = [chunk["choices"][0]["text"] for chunk in chunks(stream(unfold(response), echo=True))]
    assert texts == ["Once", " upon", ""]


def test_thinking_is_left_out_and_a_refusal_is_text() -> None:
    assert encode(answer(Thinking("Hm."), Refusal("No.")))["choices"][0]["text"] == "No."


@pytest.mark.parametrize(
    ("finish", "shown"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("pause", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_case_13_every_finish_has_a_word_of_this_dialect(finish: FinishReason, shown: str) -> None:
    response = answer(Text("a"), finish=finish)
    assert encode(response)["choices"][0]["finish_reason"] == shown
    assert [c["choices"][0]["finish_reason"] for c in chunks(stream(unfold(response)))] == [None, shown]


def test_log_probabilities_are_parallel_lists_with_offsets() -> None:
    content = [
        {"token": " up", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": " up", "logprob": -0.1}]},
        {"token": "on", "logprob": -0.2, "bytes": None, "top_logprobs": []},
    ]
    response = answer(Text(" upon"), logprobs={"content": content})
    legacy = {
        "tokens": [" up", "on"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{" up": -0.1}, {}],
        "text_offset": [0, 3],
    }
    assert encode(response, logprobs=1)["choices"][0]["logprobs"] == legacy
    events: list[Event] = [Start(), TextDelta(0, " upon")]
    events += [LogprobsDelta({"content": [token]}) for token in content]
    offsets = [chunk["choices"][0]["logprobs"] for chunk in chunks(stream([*events, Finish("stop"), End()], logprobs=1))]
    assert [found["text_offset"] for found in offsets if found] == [[0], [3]]


def test_a_block_that_is_no_text_is_an_error_not_a_loss() -> None:
    with pytest.raises(GatewayError):
        client.encode(answer(ToolCall("c", "f")), decode(), CONTEXT)
    for event in unfold(answer(ToolCall("c", "f")))[1], OpaqueBlock(0, Opaque("messages", "x", {})):
        written = stream([Start(), event, Finish("stop"), End()])
        assert "error" in chunks(written)[-1]
        assert b"[DONE]" not in written


def test_case_16_usage_comes_in_one_last_chunk_for_those_who_ask() -> None:
    asked = chunks(stream(unfold(answer(Text("a"))), stream=True, stream_options={"include_usage": True}))
    assert [chunk["usage"] and chunk["usage"]["total_tokens"] for chunk in asked] == [None, None, 6]
    assert asked[-1]["choices"] == []
    assert all("usage" not in chunk for chunk in chunks(stream(unfold(answer(Text("a"))), stream=True)))


def test_the_stream_ends_in_done_and_nothing_after() -> None:
    encoder = client.encoder(decode(), CONTEXT)
    assert encoder.feed(unfold(answer(Text("a")))).endswith(b"\n\ndata: [DONE]\n\n")
    assert encoder.feed([TextDelta(0, "b"), Ping(), End()]) == b""


def test_a_ping_is_a_comment() -> None:
    assert stream([Ping()]).startswith(b":")


@pytest.mark.parametrize("position", range(1, 4))
def test_case_18_a_failure_anywhere_is_an_error_event_without_done(position: int) -> None:
    events = unfold(answer(Text("a")))
    written = stream([*events[:position], Failure(broken_stream("it was cut")), *events[position:]])
    assert b"[DONE]" not in written
    assert chunks(written)[-1]["error"]["code"] == "stream_broken"
    with pytest.raises(APIError, match="it was cut"):
        list(_sdk(written).completions.create(model="m", prompt="Once", stream=True))


def test_an_error_body_is_openais() -> None:
    assert json.loads(client.error(GatewayError(ErrorKind.NOT_FOUND, "No.")))["error"]["message"] == "No."


_words = st.text(st.characters(codec="utf-8"), max_size=10)
_choices = st.builds(
    Choice,
    st.lists(st.one_of(st.builds(Text, _words), st.builds(Refusal, _words), st.builds(Thinking, _words)), max_size=3).map(
        tuple
    ),
    st.sampled_from(["stop", "length", "content_filter"]),
)
_responses = st.builds(
    Response,
    st.just("u"),
    st.just("m"),
    st.lists(_choices, min_size=1, max_size=3).map(tuple),
    st.builds(Usage, st.integers(0, 9), output=st.integers(0, 9)),
)


@settings(deadline=None, max_examples=50)
@given(_responses, st.booleans())
def test_the_official_sdk_reads_any_stream_as_the_buffered_answer(response: Response, echo: bool) -> None:
    fields = {"stream": True, "echo": echo, "stream_options": {"include_usage": True}}
    written = stream(unfold(response), **fields)
    live = list(_sdk(written).completions.create(model="m", prompt="Once", stream=True))
    buffered = Completion.model_validate_json(client.encode(fold(unfold(response)), decode(**fields), CONTEXT), strict=True)
    for choice in buffered.choices:
        mine = [c for chunk in live for c in chunk.choices if c.index == choice.index]
        assert "".join(c.text for c in mine) == choice.text
        assert mine[-1].finish_reason == choice.finish_reason
    assert live[-1].usage == buffered.usage
    assert {(chunk.id, chunk.created, chunk.model) for chunk in live} == {(buffered.id, buffered.created, buffered.model)}


class _Replay(httpx2.BaseTransport):
    stream = b""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.stream)


_REPLAY = _Replay()
_SDK = OpenAI(api_key="unused", base_url="http://gateway/v1", http_client=httpx2.Client(transport=_REPLAY))


def _sdk(written: bytes) -> OpenAI:
    _REPLAY.stream = written
    return _SDK
