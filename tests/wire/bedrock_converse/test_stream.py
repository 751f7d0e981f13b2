"""Streams: the same as the buffered answer, whole or an explicit failure, at every chunk boundary and for every fault."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.bedrock_converse.judge import answer_by_botocore, operation, read_by_botocore, target
from tests.wire.bedrock_converse.provider import answer, blocks, framed, stops, stream, usages

from pllm.core.errors import ErrorKind
from pllm.wire.bedrock_converse import upstream
from pllm.wire.bedrock_converse.stream import ConverseDecoder
from pllm.wire.eventstream import encode as encode_frame
from pllm.wire.eventstream import event, exception
from pllm.wire.folding import fold
from pllm.wire.lane import WireRequest
from pllm.wire.neutral import (
    BlockStop,
    End,
    Event,
    Failure,
    Finish,
    Message,
    Opaque,
    Request,
    Response,
    Start,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageUpdate,
)
from pllm.wire.translator import Encoded

PROPERTY = settings(deadline=None, max_examples=80)

EVERYTHING: list[dict[str, Any]] = [
    {"reasoningContent": {"reasoningText": {"text": "hmm, let me think", "signature": "c2ln"}}},
    {"text": "I will ask for the weather: 🌦️ é."},
    {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": {"city": "Zürich"}}},
    {"toolUse": {"toolUseId": "t2", "name": "get_time", "input": {}}},
]
FRAMES = framed(stream(EVERYTHING, "tool_use"))


def encoded(hidden: str | None = None) -> Encoded:
    return Encoded(WireRequest("model/m/converse", b"{}", "m", stream=True), hidden_tool=hidden)


def decoded(data: bytes, hidden: str | None = None) -> list[Event]:
    decoder = ConverseDecoder("m", hidden)
    return [*decoder.feed(data), *decoder.close()]


def in_chunks(data: bytes, cuts: list[int], hidden: str | None = None) -> list[Event]:
    decoder = ConverseDecoder("m", hidden)
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        events += decoder.feed(data[start:end])
    return [*events, *decoder.close()]


def comparable(response: Response) -> Any:
    """Arguments are the model's own text in a stream and a parsed object in a buffered answer: equal as JSON."""
    (choice,) = response.choices
    parts = [(part.id, part.name, json.loads(part.arguments)) if isinstance(part, ToolCall) else part for part in choice.parts]
    return parts, choice.finish, choice.stop_sequence, response.usage, response.model


# --- The provider of these tests is judged first ---


@PROPERTY
@given(blocks, stops, usages)
def test_botocore_reads_the_answers_and_streams_that_these_tests_make_up(
    content: list[dict[str, Any]], stop: str, usage: dict[str, Any]
) -> None:
    buffered = answer_by_botocore(answer(content, stop, usage))
    events = read_by_botocore(b"".join(framed(stream(content, stop, usage))))
    assert (buffered["stopReason"], buffered["usage"]) == (stop, usage)
    assert events[-2]["messageStop"] == {"stopReason": stop}
    assert events[-1]["metadata"]["usage"] == usage
    texts = [block["text"] for block in buffered["output"]["message"]["content"] if "text" in block]
    deltas = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
    cited = {delta["contentBlockIndex"] for delta in deltas if "citation" in delta["delta"]}
    plain = [delta["delta"] for delta in deltas if delta["contentBlockIndex"] not in cited]
    assert "".join(delta.get("text", "") for delta in plain) == "".join(texts)


# --- Folding ---


@PROPERTY
@given(blocks, stops, usages, st.integers(1, 6), st.sampled_from([None, "final_answer"]), st.data())
def test_folding_a_stream_equals_translating_the_buffered_answer(
    content: list[dict[str, Any]], stop: str, usage: dict[str, Any], pieces: int, hidden: str | None, data: st.DataObject
) -> None:
    frames = b"".join(framed(stream(content, stop, usage, pieces=pieces)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(frames)), max_size=6)))
    folded = fold(in_chunks(frames, cuts, hidden))
    assert comparable(folded) == comparable(upstream.decode(answer(content, stop, usage), encoded(hidden)))


@PROPERTY
@given(blocks, stops, st.sampled_from([None, "final_answer"]))
def test_blocks_are_numbered_from_zero_and_end_before_the_finish(
    content: list[dict[str, Any]], stop: str, hidden: str | None
) -> None:
    events = decoded(b"".join(framed(stream(content, stop))), hidden)
    assert isinstance(events[0], Start)
    assert [type(event) for event in events[-3:]] == [Finish, UsageUpdate, End]
    inner = events[1:-3]
    assert not any(isinstance(event, Start | Finish | UsageUpdate | End | Failure) for event in inner)
    stopped = [event.index for event in inner if isinstance(event, BlockStop)]
    assert sorted(stopped) == list(range(len(stopped)))
    assert {event.index for event in inner if not isinstance(event, BlockStop)} <= set(stopped)  # type: ignore[union-attr]


def test_a_stream_fed_byte_by_byte_says_the_same() -> None:
    frames = b"".join(FRAMES)
    assert in_chunks(frames, list(range(len(frames)))) == decoded(frames)


def test_case_01_parallel_calls_are_told_apart_by_block_and_named_once() -> None:
    events = decoded(b"".join(FRAMES))
    starts = [event for event in events if isinstance(event, ToolCallStart)]
    assert [(start.index, start.id, start.name) for start in starts] == [(2, "t1", "get_weather"), (3, "t2", "get_time")]
    fragments = dict.fromkeys((2, 3), "")
    for event_ in events:
        if isinstance(event_, ToolCallDelta):
            fragments[event_.index] += event_.fragment
    assert json.loads(fragments[2]) == {"city": "Zürich"}


def test_case_02_a_call_without_arguments_ends_as_an_empty_object() -> None:
    events = decoded(b"".join(FRAMES))
    assert [event.fragment for event in events if isinstance(event, ToolCallDelta) and event.index == 3] == ["{}"]


def test_case_04_text_beside_a_tool_call_is_kept() -> None:
    events = decoded(b"".join(FRAMES))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == EVERYTHING[1]["text"]


def test_case_10_a_signature_comes_in_a_delta_of_its_own_at_the_end_of_its_block() -> None:
    thinking = [event for event in decoded(b"".join(FRAMES)) if isinstance(event, ThinkingDelta)]
    assert all(event.signature is None for event in thinking[:-1])
    assert thinking[-1] == ThinkingDelta(0, signature="c2ln", origin="anthropic")


def test_case_16_usage_comes_whether_the_client_asked_for_it_or_not() -> None:
    asked = Request("m", (Message("user", (Text("hi"),)),), max_tokens=9, stream=True, include_usage=False)
    decoder = upstream.decoder(upstream.encode(asked, target()))
    assert any(isinstance(event, UsageUpdate) for event in decoder.feed(b"".join(FRAMES)))


def test_case_17_an_error_in_place_of_the_first_event_comes_before_any_start() -> None:
    (failure,) = decoded(exception("throttlingException", b'{"message":"slow down"}'))
    assert isinstance(failure, Failure)
    assert failure.error.status == 429


def test_a_block_that_says_nothing_leaves_no_block() -> None:
    """Seen with gpt-oss: an empty text block before the reasoning."""
    events = decoded(b"".join(framed(stream([{"text": ""}, {"text": "Hello"}], pieces=1))))
    assert [event.index for event in events if isinstance(event, TextDelta)] == [0]


def test_blocks_left_open_are_closed_before_the_finish() -> None:
    events = [pair for pair in stream(EVERYTHING, "tool_use") if pair[0] != "contentBlockStop"]
    assert comparable(fold(decoded(b"".join(framed(events))))) == comparable(fold(decoded(b"".join(FRAMES))))


def test_events_and_deltas_newer_than_the_gateway_are_passed_over() -> None:
    newer = [event("somethingNew", b'{"x":1}'), event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"novel":{}}}')]
    frames = [FRAMES[0], *newer, *framed([("contentBlockStart", {"contentBlockIndex": 9, "start": {}})]), *FRAMES[-2:]]
    assert isinstance(decoded(b"".join(frames))[-1], End)


def test_metadata_before_message_stop_completes_the_stream_all_the_same() -> None:
    frames = [*FRAMES[:-2], FRAMES[-1], FRAMES[-2]]
    assert fold(decoded(b"".join(frames))).usage == fold(decoded(b"".join(FRAMES))).usage


def test_native_blocks_are_put_together_from_their_pieces() -> None:
    pieces: list[tuple[str, dict[str, Any]]] = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"image": {"source": {"bytes": "AA=="}}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"name": "n", "type": "server_tool_use"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "not json"}}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {}),
    ]
    (choice,) = fold(decoded(b"".join(framed(pieces)))).choices
    assert choice.parts == (
        Opaque("converse", "image", {"image": {"format": "png", "source": {"bytes": "AA=="}}}),
        Opaque("converse", "toolUse", {"toolUse": {"name": "n", "type": "server_tool_use", "input": "not json"}}),
    )
    assert choice.finish == "stop"


def test_nothing_is_read_behind_the_end() -> None:
    decoder = ConverseDecoder("m")
    decoder.feed(b"".join(FRAMES))
    assert decoder.feed(b"rubbish") == []
    assert decoder.close() == []


# --- Faults: an explicit failure at every position, never an end (case 18) ---


def assert_fails(data: bytes, kind: ErrorKind | None = None) -> Failure:
    events = decoded(data)
    failures = [event for event in events if isinstance(event, Failure)]
    assert len(failures) == 1
    assert events[-1] is failures[0]
    assert not any(isinstance(event, End) for event in events)
    assert kind is None or failures[0].error.kind is kind
    return failures[0]


@pytest.mark.parametrize("position", range(len(FRAMES)))
def test_case_18_a_stream_cut_before_any_frame_is_broken(position: int) -> None:
    assert_fails(b"".join(FRAMES[:position]), ErrorKind.STREAM_BROKEN)


@pytest.mark.parametrize("position", range(len(FRAMES)))
def test_case_18_a_stream_cut_inside_any_frame_is_broken(position: int) -> None:
    for kept in (1, 11, 13, len(FRAMES[position]) - 1):
        assert_fails(b"".join(FRAMES[:position]) + FRAMES[position][:kept], ErrorKind.STREAM_BROKEN)


@pytest.mark.parametrize("position", range(len(FRAMES)))
def test_case_18_a_corrupt_frame_at_any_position_breaks_the_stream(position: int) -> None:
    for byte in (2, 9, 20, -1):
        corrupt = bytearray(FRAMES[position])
        corrupt[byte] ^= 0x10
        assert_fails(b"".join([*FRAMES[:position], bytes(corrupt), *FRAMES[position + 1 :]]), ErrorKind.STREAM_BROKEN)


@pytest.mark.parametrize("position", range(len(FRAMES)))
@pytest.mark.parametrize("payload", [b"{", b"", b"[]", b'"text"', b"\xff"])
def test_case_18_a_payload_that_is_no_object_at_any_position_is_a_protocol_error(position: int, payload: bytes) -> None:
    name = stream(EVERYTHING, "tool_use")[position][0]
    assert_fails(b"".join([*FRAMES[:position], event(name, payload), *FRAMES[position + 1 :]]), ErrorKind.UPSTREAM_PROTOCOL)


@pytest.mark.parametrize("position", range(len(FRAMES)))
def test_case_18_a_lost_frame_that_matters_is_noticed(position: int) -> None:
    """Losing a delta cannot be seen; losing what opens or ends a message, or opens a call, can."""
    lost = stream(EVERYTHING, "tool_use")[position][0]
    rest = b"".join([*FRAMES[:position], *FRAMES[position + 1 :]])
    if lost in ("messageStart", "contentBlockStart", "messageStop", "metadata"):
        assert_fails(rest)
    else:
        assert isinstance(decoded(rest)[-1], End)


EXCEPTIONS = [
    ("accessDeniedException", ErrorKind.UPSTREAM_AUTH, 403),
    ("throttlingException", ErrorKind.RATE_LIMITED, 429),
    ("resourceNotFoundException", ErrorKind.MODEL_NOT_FOUND, 404),
    ("modelTimeoutException", ErrorKind.UPSTREAM_TIMEOUT, 408),
    ("internalServerException", ErrorKind.UPSTREAM_ERROR, 500),
    ("serviceUnavailableException", ErrorKind.UPSTREAM_OVERLOADED, 503),
    ("validationException", ErrorKind.INVALID_REQUEST, 400),
    ("modelNotReadyException", ErrorKind.UPSTREAM_OVERLOADED, 429),
    ("modelErrorException", ErrorKind.UPSTREAM_ERROR, 424),
    ("modelStreamErrorException", ErrorKind.UPSTREAM_ERROR, 424),
]


def test_the_exceptions_tested_are_those_of_the_service_model() -> None:
    modelled = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in operation("ConverseStream").error_shapes}
    members = operation("ConverseStream").output_shape.members["stream"].members
    modelled |= {s.name: s.metadata["error"]["httpStatusCode"] for s in members.values() if s.metadata.get("exception")}
    assert {name[0].upper() + name[1:]: status for name, _, status in EXCEPTIONS} == modelled


@pytest.mark.parametrize("position", range(len(FRAMES)))
@pytest.mark.parametrize(("name", "kind", "status"), EXCEPTIONS)
def test_case_25_an_exception_frame_at_any_position_is_its_own_error(
    position: int, name: str, kind: ErrorKind, status: int
) -> None:
    frame = exception(name, b'{"message":"Bedrock says no"}')
    error = assert_fails(b"".join([*FRAMES[:position], frame, *FRAMES[position:]]), kind).error
    assert (error.upstream_status, error.message) == (status, "Bedrock says no")
    assert error.upstream_type == name[0].upper() + name[1:]


def test_case_25_what_came_before_an_exception_in_the_same_bytes_is_not_lost() -> None:
    events = decoded(b"".join([*FRAMES[:4], exception("throttlingException", b"{}")]))
    assert isinstance(events[0], Start)
    assert any(isinstance(event, ThinkingDelta) for event in events)


@pytest.mark.parametrize(("original", "kind"), [(429, ErrorKind.RATE_LIMITED), (529, ErrorKind.UPSTREAM_OVERLOADED)])
def test_case_25_the_model_behind_a_stream_error_says_what_it_was(original: int, kind: ErrorKind) -> None:
    payload = json.dumps({"message": "wrapped", "originalStatusCode": original, "originalMessage": "slow down"}).encode()
    error = assert_fails(FRAMES[0] + exception("modelStreamErrorException", payload), kind).error
    assert error.message == "slow down"


@pytest.mark.parametrize("headers", [{":error-code": "InternalFailure", ":error-message": 'it "broke"'}, {}])
def test_case_25_an_unmodelled_error_frame_is_an_error(headers: dict[str, str]) -> None:
    frame = encode_frame({":message-type": "error", **headers}, b"")
    error = assert_fails(FRAMES[0] + frame, ErrorKind.UPSTREAM_ERROR).error
    assert headers.get(":error-message", "ended the stream") in error.message


def test_a_frame_of_no_known_type_is_a_protocol_error() -> None:
    assert_fails(FRAMES[0] + encode_frame({":message-type": "gossip"}, b"{}"), ErrorKind.UPSTREAM_PROTOCOL)


@pytest.mark.parametrize("reason", ["malformed_tool_use", "malformed_model_output"])
def test_case_13_output_that_bedrock_calls_malformed_is_an_error_not_a_finish(reason: str) -> None:
    assert_fails(b"".join(framed(stream(EVERYTHING, reason))), ErrorKind.UPSTREAM_PROTOCOL)


START = ("messageStart", {"role": "assistant"})
TEXT = ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}})
STOP = ("contentBlockStop", {"contentBlockIndex": 0})
OVER = ("messageStop", {"stopReason": "end_turn"})
INPUT = ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}})
CALL = ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "n"}}})


@pytest.mark.parametrize(
    "events",
    [
        [START, START],
        [TEXT],
        [OVER],
        [("metadata", {"usage": {}})],
        [START, TEXT, STOP, TEXT],
        [START, TEXT, CALL],
        [START, CALL, CALL],
        [START, CALL, TEXT],
        [START, INPUT],
        [START, OVER, TEXT],
        [START, OVER, OVER],
        [START, ("contentBlockDelta", {"delta": {"text": "a"}})],
        [START, ("contentBlockDelta", {"contentBlockIndex": 0})],
        [START, ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": 3}})],
        [START, ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolResult": []}})],
        [START, ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"name": "n"}}})],
        [START, ("messageStop", {})],
    ],
)
def test_events_in_an_impossible_order_or_shape_are_a_protocol_error(events: list[tuple[str, dict[str, Any]]]) -> None:
    assert_fails(b"".join(framed(events)), ErrorKind.UPSTREAM_PROTOCOL)


@PROPERTY
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(FRAMES)), max_size=8))
def test_no_bytes_make_the_decoder_raise(chunks: list[bytes]) -> None:
    decoder = ConverseDecoder("m")
    events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()
    assert isinstance(events[-1], End | Failure)
