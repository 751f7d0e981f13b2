"""What is wrong with a provider's Chat answer is a failure, and never an end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.openai_chat.upstream_told import DONE, ENCODED, buffered, call, event, events, folded, parts

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.neutral import End, Failure, Finish, Opaque, Refusal, Text, Thinking, Usage, UsageUpdate
from pllm.wire.openai_chat import upstream

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
WHOLE = (
    event({"role": "assistant", "content": ""}),
    event({"reasoning_content": "hm"}),
    event({"content": "Hé"}),
    event(call(0, "c1", "f", '{"a"')),
    event(call(0, None, None, ":1}")),
    event({}, "tool_calls"),
    event(choices=[], usage=USAGE),
    DONE,
)


def failure(stream: bytes) -> GatewayError:
    seen = events(stream)
    assert not any(isinstance(e, End | Finish) for e in seen)
    assert isinstance(seen[-1], Failure)
    assert sum(isinstance(e, Failure) for e in seen) == 1
    return seen[-1].error


def test_the_whole_stream_is_whole() -> None:
    assert folded(*WHOLE).usage == Usage(3, output=4, raw=USAGE)


def test_case_18_a_cut_at_every_byte_is_a_failure_and_never_an_end() -> None:
    whole = b"".join(WHOLE)
    last = len(whole) - len(b"\n\n")
    for position in range(last):
        assert failure(whole[:position]).kind in (ErrorKind.STREAM_BROKEN, ErrorKind.UPSTREAM_PROTOCOL), position


@pytest.mark.parametrize("at", range(len(WHOLE)))
@pytest.mark.parametrize(
    "bad",
    [
        b"data: {broken\n\n",
        b"data: 3\n\n",
        b'data: {"choices": 3}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": 3}}]}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": ["x"]}}]}\n\n',
        b'data: {"choices": [{"delta": {"annotations": ["x"]}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": [3]}}]}\n\n',
        b'data: {"error": {"message": "boom"}}\n\n',
        b'event: error\ndata: {"message": "boom"}\n\n',
        b"<html></html>\n\n",
        b"data: \xc3\x28\n\n",
    ],
)
def test_case_18_a_bad_event_at_every_position_is_a_failure(at: int, bad: bytes) -> None:
    failure(b"".join((*WHOLE[:at], bad, *WHOLE[at:])))


def test_case_18_usage_told_before_a_break_is_still_known() -> None:
    stream = event({"content": "x"}, usage=USAGE) + event(error={"message": "boom"}, usage={**USAGE, "completion_tokens": 9})
    updates = [e.usage.output for e in events(stream) if isinstance(e, UsageUpdate)]
    assert updates == [4, 9]


KEYS = st.sampled_from(
    ["index", "delta", "finish_reason", "content", "tool_calls", "function", "name", "arguments", "id", "type"]
) | st.sampled_from(["reasoning_details", "text", "thinking", "annotations", "audio", "custom", "logprobs", "refusal", "data"])
anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
)
choice_like = st.fixed_dictionaries(
    {}, optional={"delta": st.dictionaries(KEYS, anything, max_size=4), "finish_reason": anything}
)


@settings(max_examples=300, deadline=None)
@given(anything | choice_like)
def test_no_json_at_all_makes_the_decoder_raise(value: object) -> None:
    seen = events(b"data: " + json.dumps({"choices": [value]}).encode() + b"\n\n" + DONE)
    assert isinstance(seen[-1], Failure | End)


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"choices": [{"index": 0}]}', b'{"choices": [{"message": "x"}]}', b"null"]
)
def test_a_body_that_is_no_completion_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        upstream.decode(body, ENCODED)
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


def test_a_refusal_is_kept() -> None:
    assert parts(buffered({"content": None, "refusal": "No."})) == (Refusal("No."),)


def test_custom_calls_and_matched_stops_arrive_in_pieces_too() -> None:
    named = {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "code", "input": "a"}}]}
    more = {"tool_calls": [{"index": 0, "custom": {"input": "b"}}]}
    whole = {"type": "custom", "custom": {"name": "code", "input": "ab"}, "id": "c"}
    assert parts(folded(event(named), event(more), event({}, "tool_calls"), DONE)) == (
        Opaque("chat", "custom_tool_call", whole),
    )
    matched = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}])
    assert folded(event({"content": "x"}), matched, DONE).choices[0].stop_sequence == "END"


def test_openrouters_details_stand_in_for_reasoning_that_is_told_nowhere_else() -> None:
    details = [{"type": "reasoning.summary", "summary": "hm"}]
    assert parts(buffered({"content": "x", "reasoning_details": details})) == (Thinking("hm"), Text("x"))


def test_an_event_that_never_ends_is_a_failure() -> None:
    assert failure(b"data: " + b"x" * (17 * 1024 * 1024)).kind is ErrorKind.UPSTREAM_PROTOCOL
