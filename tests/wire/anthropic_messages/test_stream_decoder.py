"""Anthropic's stream as neutral events: the grammar, the fold, and every way it can break (cases 1, 2, 10, 15, 18)."""

from typing import Any

import pytest
from tests.wire.anthropic_messages.judge import decode_stream, sse

from pllm.core.errors import ErrorKind
from pllm.wire.folding import fold
from pllm.wire.neutral import (
    BlockStop,
    End,
    Event,
    Failure,
    Opaque,
    Ping,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageUpdate,
)

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "claude-x",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def block(number: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": number, "content_block": start},
        *({"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": number},
    ]


def end(reason: str = "end_turn", **usage: int) -> list[dict[str, Any]]:
    return [{"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}, STOP]


def text(words: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": words}


def fragment(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"id_{name}", "name": name, "input": {}, **fields}


WHOLE = [
    START,
    PING,
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "sig"},
    ),
    *block(1, {"type": "redacted_thinking", "data": "blob"}),
    *block(2, {"type": "text", "text": ""}, text("Let me "), text("see.")),
    *block(3, tool("f"), fragment(""), fragment('{"a":'), fragment("1}")),
    *block(4, tool("g"), fragment("")),
    *end("tool_use", output_tokens=42),
]


def test_case_01_parallel_calls_are_keyed_by_their_block_and_named_once() -> None:
    events = decode_stream(sse(*WHOLE))
    starts = [event for event in events if isinstance(event, ToolCallStart)]
    assert starts == [ToolCallStart(3, "id_f", "f"), ToolCallStart(4, "id_g", "g")]
    assert [event.index for event in events if isinstance(event, BlockStop)] == [0, 1, 2, 3, 4]
    interleaved = [
        START,
        {"type": "content_block_start", "index": 1, "content_block": tool("f")},
        {"type": "content_block_start", "index": 2, "content_block": tool("g")},
        {"type": "content_block_delta", "index": 2, "delta": fragment('{"g":2}')},
        {"type": "content_block_delta", "index": 1, "delta": fragment('{"f":1}')},
        *end("tool_use"),
    ]
    calls = fold(decode_stream(sse(*interleaved))).choices[0].parts
    assert [part.arguments for part in calls if isinstance(part, ToolCall)] == ['{"f":1}', '{"g":2}']


def test_case_02_fragments_pass_as_they_come_and_no_arguments_end_as_an_empty_object() -> None:
    events = decode_stream(sse(*WHOLE))
    fragments = [(event.index, event.fragment) for event in events if isinstance(event, ToolCallDelta)]
    assert fragments == [(3, '{"a":'), (3, "1}"), (4, "{}")]
    whole_in_start = [START, *block(0, tool("f", input={"a": 1})), *end("tool_use")]
    assert fold(decode_stream(sse(*whole_in_start))).choices[0].parts == (ToolCall("id_f", "f", '{"a":1}'),)


def test_the_fold_of_a_whole_stream_is_its_answer() -> None:
    response = fold(decode_stream(sse(*WHOLE)))
    assert (response.id, response.model, response.service_tier) == ("msg_1", "claude-x", "default")
    assert response.choices[0].parts == (
        Thinking("hm", "sig", origin="anthropic"),
        Thinking(redacted="blob", origin="anthropic"),
        Text("Let me see."),
        ToolCall("id_f", "f", '{"a":1}'),
        ToolCall("id_g", "g", "{}"),
    )
    assert response.choices[0].finish == "tool_calls"


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64])
def test_chunk_boundaries_change_nothing(size: int) -> None:
    stream = sse(START, *block(0, {"type": "text", "text": ""}, text("naïve 🙂 \ud83d\ude42")), *end())
    crlf = stream.replace(b"\n", b"\r\n")
    assert decode_stream(stream, size) == decode_stream(stream) == decode_stream(crlf, size)


def test_case_15_cumulative_usage_replaces_and_is_never_added() -> None:
    more = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 30}}
    events = decode_stream(sse(START, more, *end(output_tokens=42, input_tokens=11)))
    start = events[0]
    assert isinstance(start, Start) and start.usage is not None
    assert (start.usage.input, start.usage.prompt) == (10, 22)
    totals = [event.usage for event in events if isinstance(event, UsageUpdate)]
    assert [usage.output for usage in totals] == [30, 42]
    final = totals[-1]
    assert (final.input, final.cache_read, final.cache_write_5m, final.cache_write_1h) == (11, 5, 3, 4)


def test_case_15_reasoning_is_the_providers_figure() -> None:
    usage = {"output_tokens": 42, "output_tokens_details": {"thinking_tokens": 30}}
    finish = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    update = [event for event in decode_stream(sse(START, finish, STOP)) if isinstance(event, UsageUpdate)][-1]
    assert (update.usage.output, update.usage.reasoning) == (42, 30)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop_sequence"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("something_new", "stop"),
    ],
)
def test_case_13_every_stop_reason_has_its_meaning(reason: str, finish: str) -> None:
    assert fold(decode_stream(sse(START, *end(reason)))).choices[0].finish == finish


def test_case_13_the_matched_stop_sequence_is_kept() -> None:
    ended = {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}}
    assert fold(decode_stream(sse(START, ended, STOP))).choices[0].stop_sequence == "END"


def test_unknown_blocks_travel_whole_and_unknown_events_are_passed_over() -> None:
    stream = sse(
        START,
        {"type": "novelty", "x": 1},
        *block(0, {"type": "server_tool_use", "id": "s", "name": "search", "input": {}}, fragment('{"q":'), fragment("1}")),
        *block(1, {"type": "compaction", "content": "a"}, {"type": "compaction_delta", "content": "b", "extra": [1]}),
        *block(2, {"type": "text", "text": ""}, {"type": "novel_delta", "x": 1}),
        *block(3, {"type": "text", "text": "whole"}),
        *end(),
    )
    events = decode_stream(stream)
    assert fold(events).choices[0].parts == (
        Opaque("messages", "server_tool_use", {"type": "server_tool_use", "id": "s", "name": "search", "input": {"q": 1}}),
        Opaque("messages", "compaction", {"type": "compaction", "content": "ab", "extra": [1]}),
        Text("whole"),
    )
    assert [event.index for event in events if isinstance(event, TextDelta)] == [2]


def test_comments_are_skipped_and_pings_are_events() -> None:
    events = decode_stream(b": keep-alive\n\n" + sse(PING, START, *end()))
    assert isinstance(events[0], Ping) and isinstance(events[1], Start) and isinstance(events[-1], End)


# --- Case 18: every fault at every place ----------------------------------------------------------------------------


def explicit(events: list[Event]) -> Failure:
    """The one Failure at the end of a stream that has no End."""
    assert not any(isinstance(event, End) for event in events)
    failures = [event for event in events if isinstance(event, Failure)]
    assert failures == [events[-1]]
    return failures[0]


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_case_18_a_stream_cut_anywhere_is_an_explicit_error(at: int) -> None:
    assert explicit(decode_stream(sse(*WHOLE[:at]))).error.kind is ErrorKind.STREAM_BROKEN
    inside = sse(*WHOLE[: at + 1])
    assert explicit(decode_stream(inside[: len(inside) - 4])).error.retryable


@pytest.mark.parametrize("at", range(len(WHOLE)))
@pytest.mark.parametrize("bad", [b"data: {\n\n", b"data: 1\n\n", b"data: {}\n\n", b"data: \xff\n\n", b'data: {"type":3}\n\n'])
def test_case_18_a_malformed_event_anywhere_is_an_explicit_error(at: int, bad: bytes) -> None:
    events = decode_stream(sse(*WHOLE[:at]) + bad + sse(*WHOLE[at:]))
    assert explicit(events).error.kind is ErrorKind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_case_18_an_error_event_anywhere_is_the_error_it_reports(at: int) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    found = explicit(decode_stream(sse(*WHOLE[:at], error, *WHOLE[at:]), 11)).error
    assert (found.kind, found.message) == (ErrorKind.UPSTREAM_OVERLOADED, "Overloaded")


@pytest.mark.parametrize(
    "events",
    [
        [START, START],
        [STOP],
        [START, STOP],
        [START, {"type": "content_block_delta", "index": 0, "delta": text("x")}],
        [START, {"type": "content_block_stop", "index": 0}],
        [START, *block(0, {"type": "text", "text": ""})[:1], *block(0, {"type": "text", "text": ""})],
        [START, {"type": "content_block_start", "content_block": {"type": "text"}}],
        [START, {"type": "content_block_start", "index": 0}],
        [START, {"type": "content_block_start", "index": 0, "content_block": {}}],
        [START, *block(0, {"type": "text", "text": 5})],
        [START, *block(0, {"type": "server_tool_use", "input": {}}, fragment('{"q'))],
        [START, {"type": "message_delta"}],
        [{"type": "message_start"}],
    ],
)
def test_case_18_events_against_the_grammar_are_an_explicit_error(events: list[dict[str, Any]]) -> None:
    tail = [] if events == [STOP] else end()
    assert explicit(decode_stream(sse(*events, *(tail if events != [START, STOP] else [])))).error.retryable


def test_nothing_is_heard_after_the_end_or_after_a_failure() -> None:
    assert isinstance(decode_stream(sse(START, *end(), START))[-1], End)
    broken = decode_stream(sse(START) + b"data: nope\n\n" + sse(*WHOLE[1:]))
    assert len([event for event in broken if isinstance(event, Failure)]) == 1
    unterminated = sse(START, *end()).removesuffix(b"\n\n")
    assert isinstance(decode_stream(unterminated)[-1], End)
