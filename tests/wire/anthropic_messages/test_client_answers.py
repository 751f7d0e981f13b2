"""What a Messages client gets, buffered and streamed: strict SDK models, the SDK's accumulator, and our own decoder
agree on it for any answer and any chunk boundary."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.anthropic_messages.judge import (
    CONTEXT,
    ENCODED,
    accumulate,
    ask,
    check_answer,
    check_event,
    check_grammar,
    decode_stream,
    events_of,
)

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import dumps
from pllm.wire.anthropic_messages import client, upstream
from pllm.wire.folding import fold, unfold
from pllm.wire.neutral import (
    BlockStop,
    Choice,
    Citation,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    FinishReason,
    LogprobsDelta,
    Opaque,
    Part,
    Ping,
    Refusal,
    RefusalDelta,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageUpdate,
)
from pllm.wire.translator import Encoder

CITATION = Citation(
    "https://x/y",
    "Title",
    "quoted",
    origin="anthropic",
    raw={
        "type": "web_search_result_location",
        "url": "https://x/y",
        "title": "Title",
        "cited_text": "quoted",
        "encrypted_index": "e",
    },
)


def stream(*events: Event) -> bytes:
    encoder: Encoder = client.encoder(ask(), CONTEXT)
    return encoder.feed(events)


def answered(*parts: Part, finish: FinishReason = "stop", **fields: Any) -> Response:
    return Response("msg_x", "claude", (Choice(parts, finish),), **fields)


def body_of(response: Response) -> dict[str, Any]:
    body = client.encode(response, ask(), CONTEXT)
    check_answer(body)
    parsed: dict[str, Any] = json.loads(body)
    return parsed


# --- Any answer, both ways ------------------------------------------------------------------------------------------

_words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)
_parts = st.one_of(
    _words.map(Text),
    _words.map(lambda words: Text(words, citations=(CITATION,))),
    st.tuples(st.text(max_size=9), _words).map(lambda drawn: Thinking(drawn[0], drawn[1], origin="anthropic")),
    _words.map(lambda data: Thinking(redacted=data, origin="anthropic")),
    st.tuples(_words, st.dictionaries(_words, _json, max_size=3)).map(
        lambda drawn: ToolCall(f"id_{drawn[0]}", drawn[0], dumps(drawn[1]).decode())
    ),
)
_FINISHES: list[FinishReason] = ["stop", "length", "tool_calls", "pause", "stop_sequence", "refusal"]
_counts = st.integers(0, 10**6)
_usages = st.tuples(*[_counts] * 6).map(lambda n: Usage(n[0], n[1], n[2], n[3], n[4] + n[5], n[5]))


@st.composite
def _responses(draw: st.DrawFn) -> Response:
    parts: tuple[Part, ...] = tuple(draw(st.lists(_parts, max_size=5)))
    finish = draw(st.sampled_from(_FINISHES))
    if finish == "refusal" and draw(st.booleans()):
        parts = (*parts, Refusal(draw(_words)))
    sequence = draw(_words) if finish == "stop_sequence" else None
    choice = Choice(parts, finish, sequence)
    return Response("msg_1", CONTEXT.model, (choice,), draw(_usages), service_tier=draw(st.sampled_from([None, "priority"])))


def _without_raw(response: Response) -> Response:
    assert response.usage is not None
    return replace(response, usage=replace(response.usage, raw=None))


@given(_responses(), st.integers(1, 40), st.booleans())
@settings(deadline=None, max_examples=150)
def test_folding_a_stream_equals_translating_the_buffered_answer(response: Response, size: int, early_usage: bool) -> None:
    events = unfold(response)
    if early_usage:
        assert isinstance(events[0], Start)
        events[0] = replace(events[0], usage=response.usage)
    written = stream(*events)
    streamed = fold(decode_stream(written, size))
    buffered = upstream.decode(client.encode(response, ask(), CONTEXT), ENCODED)
    assert _without_raw(streamed) == _without_raw(buffered) == response


@given(_responses())
@settings(deadline=None, max_examples=60)
def test_every_answer_is_strictly_what_the_sdk_knows_and_every_stream_in_the_exact_grammar(response: Response) -> None:
    check_answer(client.encode(response, ask(), CONTEXT))
    events = events_of(stream(*unfold(response)))
    if response.usage is not None and response.usage.cache_write_1h:
        # The split by lifetime has no field in a typed message_delta; it is said where it would else be lost.
        events[-2]["usage"].pop("cache_creation", None)
    check_grammar(events)


@given(_responses())
@settings(deadline=None, max_examples=25)
def test_the_sdks_accumulator_arrives_at_the_buffered_answer(response: Response) -> None:
    final = accumulate(stream(*unfold(response)))
    expected = check_answer(client.encode(response, ask(), CONTEXT))
    assert final.stop_reason == expected.stop_reason
    assert final.usage.output_tokens == expected.usage.output_tokens
    assert final.usage.input_tokens == expected.usage.input_tokens
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in expected.content]


# --- Blocks -----------------------------------------------------------------------------------------------------------


def test_case_01_interleaved_calls_come_out_one_after_another() -> None:
    written = stream(
        Start("chatcmpl-1"),
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, '{"x":'),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, "{}"),
        TextDelta(2, "done"),
        ToolCallDelta(0, "1}"),
        BlockStop(0),
        BlockStop(1),
        Finish("tool_calls"),
        End(),
    )
    check_grammar(events_of(written))
    assert fold(decode_stream(written)).choices[0].parts == (
        ToolCall("a", "f", '{"x":1}'),
        ToolCall("b", "g"),
        Text("done"),
    )
    assert [block.type for block in accumulate(written).content] == ["tool_use", "tool_use", "text"]


def test_case_01_without_block_stops_nothing_is_lost_either() -> None:
    written = stream(
        TextDelta(0, "a"),
        ToolCallStart(1, "x", "f"),
        TextDelta(0, "b"),
        ToolCallStart(2, "y", "g"),
        ToolCallDelta(2, '{"k":1}'),
        Finish("tool_calls"),
        End(),
    )
    check_grammar(events_of(written))
    parts = fold(decode_stream(written)).choices[0].parts
    assert [part.text for part in parts if isinstance(part, Text)] == ["a", "b"]
    assert [part.arguments for part in parts if isinstance(part, ToolCall)] == ["{}", '{"k":1}']


def test_case_02_arguments_that_are_no_object_are_the_providers_fault_unless_cut_by_the_cap() -> None:
    for arguments in ('{"a":', "[1]"):
        call = ToolCall("t", "f", arguments)
        with pytest.raises(GatewayError) as caught:
            client.encode(answered(call, finish="tool_calls"), ask(), CONTEXT)
        assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL and "'t'" in caught.value.message
        assert body_of(answered(call, finish="length"))["content"][0]["input"] == {}
    assert body_of(answered(ToolCall("t", "f", ""), finish="tool_calls"))["content"][0]["input"] == {}


def test_case_10_the_signature_is_the_last_delta_of_its_block() -> None:
    written = stream(
        ThinkingDelta(0, "h"), ThinkingDelta(0, "m", "sig", origin="anthropic"), TextDelta(1, "x"), Finish("stop"), End()
    )
    deltas = [event["delta"]["type"] for event in events_of(written) if event["type"] == "content_block_delta"]
    assert deltas == ["thinking_delta", "thinking_delta", "signature_delta", "text_delta"]


FOREIGN = (
    Thinking("t", "g==", origin="gemini"),
    Thinking("sum", redacted="enc:1", origin="openai", id="rs_1"),
    Thinking(redacted="enc", origin="openai"),
    ToolCall("c", "f", '{"a":1}', "call-sig", "gemini"),
    ToolCall("d", "f"),
)


def test_case_10_and_12_other_providers_proofs_come_back_whole_when_the_client_returns_the_turn() -> None:
    response = answered(*FOREIGN, finish="tool_calls")
    buffered = body_of(response)["content"]
    streamed = stream(*unfold(response))
    check_grammar(events_of(streamed))
    for content in (buffered, [block.to_dict() for block in accumulate(streamed).content]):
        turn = {"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": content}]}
        assert client.decode(turn).messages[0].parts == FOREIGN


def test_unsigned_thinking_has_an_empty_signature_and_comes_back_unsigned() -> None:
    content = body_of(answered(Thinking("reasoned", origin="deepseek"), Text("x")))["content"]
    assert content[0] == {"type": "thinking", "thinking": "reasoned", "signature": ""}
    events = events_of(stream(*unfold(answered(Thinking("reasoned", origin="deepseek")))))
    assert [e["delta"]["type"] for e in events if e["type"] == "content_block_delta"] == ["thinking_delta"]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("pause", "pause_turn"),
        ("refusal", "refusal"),
        ("content_filter", "refusal"),
    ],
)
def test_case_13_every_finish_has_a_stop_reason(finish: FinishReason, reason: str) -> None:
    assert body_of(answered(Text("x"), finish=finish))["stop_reason"] == reason
    assert events_of(stream(*unfold(answered(Text("x"), finish=finish))))[-2]["delta"]["stop_reason"] == reason


def test_case_13_the_matched_sequence_and_the_refusals_words_are_said() -> None:
    stopped = Response("msg_1", "m", (Choice((Text("x"),), "stop_sequence", "END"),))
    assert (body_of(stopped)["stop_reason"], body_of(stopped)["stop_sequence"]) == ("stop_sequence", "END")
    refused = body_of(answered(Refusal("I won't."), finish="stop"))
    assert (refused["stop_reason"], refused["stop_details"]["explanation"]) == ("refusal", "I won't.")
    written = stream(RefusalDelta(0, "I "), RefusalDelta(0, "won't."), Finish("stop"), End())
    assert events_of(written)[-2]["delta"]["stop_details"]["explanation"] == "I won't."
    details = accumulate(written).stop_details
    assert details is not None and details.explanation == "I won't."


def test_case_15_usage_known_only_at_the_end_is_cumulative_in_message_delta() -> None:
    late = Usage(100, 20, 3, 0, 7, 5)
    written = stream(Start("x"), TextDelta(0, "a"), Finish("stop"), UsageUpdate(late), End())
    events = events_of(written)
    assert events[0]["message"]["usage"]["input_tokens"] == 0
    assert events[-2]["usage"] == {
        "input_tokens": 100,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 20,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    final = accumulate(written)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (100, 7)
    assert body_of(answered(Text("a"), usage=late))["usage"]["cache_read_input_tokens"] == 20


def test_other_providers_citations_take_the_nearest_form() -> None:
    web, quote = Citation("https://x", "T", origin="openai"), Citation(title="doc", quote="q", start=1, end=2)
    content = body_of(answered(Text("x", citations=(web, quote))))["content"]
    assert [citation["type"] for citation in content[0]["citations"]] == ["web_search_result_location", "char_location"]
    written = stream(TextDelta(0, "x"), CitationDelta(0, web), CitationDelta(0, quote), Finish("stop"), End())
    check_grammar(events_of(written))
    assert accumulate(written).content[0].to_dict()["citations"] == content[0]["citations"]


def test_server_tool_blocks_go_out_whole_and_other_dialects_blocks_do_not() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    response = answered(Opaque("messages", "server_tool_use", use), Opaque("responses", "file_search_call", {}), Text("x"))
    assert [block["type"] for block in body_of(response)["content"]] == ["server_tool_use", "text"]
    written = stream(*unfold(response))
    check_grammar(events_of(written))
    assert accumulate(written).content[0].to_dict()["input"] == {"query": "q"}


# --- The frame ----------------------------------------------------------------------------------------------------------


def test_ids_of_other_providers_are_replaced_and_the_model_is_the_one_asked_for() -> None:
    head = body_of(Response("chatcmpl-1", "gpt", (Choice((Text("x"),), "stop"),)))
    assert (head["id"], head["model"], head["role"]) == ("msg_0123456789abcdef", "claude", "assistant")
    assert body_of(answered(Text("x")))["id"] == "msg_x"
    assert body_of(Response("x", "m", ()))["content"] == []


def test_pings_pass_inside_the_message_and_other_choices_and_logprobs_do_not() -> None:
    written = stream(
        Ping(), Start("x"), Ping(), TextDelta(0, "a"), TextDelta(0, "b", 1), LogprobsDelta({}), Finish("stop"), Ping(), End()
    )
    events = events_of(written)
    assert [event["type"] for event in events].count("ping") == 2 and events[0]["type"] == "message_start"
    assert fold(decode_stream(written)).choices[0].parts == (Text("a"),)


@pytest.mark.parametrize("at", range(6))
def test_case_17_a_failure_anywhere_is_an_error_event_and_nothing_after(at: int) -> None:
    events: list[Event] = [Start("x"), TextDelta(0, "a"), BlockStop(0), ToolCallStart(1, "t", "f"), Finish("stop"), End()]
    error = GatewayError(ErrorKind.UPSTREAM_OVERLOADED, "Overloaded")
    written = events_of(stream(*events[:at], Failure(error), *events[at:]))
    assert written[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert not any(event["type"] == "message_stop" for event in written)
    for event in written[:-1]:
        check_event(event)


def test_case_18_an_end_without_a_finish_is_an_error_event() -> None:
    assert events_of(stream(Start("x"), End()))[-1]["type"] == "error"
    assert stream(Finish("stop"), End(), TextDelta(0, "late")).endswith(b'data: {"type":"message_stop"}\n\n')
