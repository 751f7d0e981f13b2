"""Buffered answers: what they mean, and what is not one."""

import json
from typing import Any

import pytest
from tests.wire.bedrock_converse.provider import answer

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.bedrock_converse import upstream
from pllm.wire.lane import WireRequest
from pllm.wire.neutral import Citation, Opaque, Response, Text, Thinking, ToolCall, Usage
from pllm.wire.translator import Encoded

CALL = {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}


def read(body: bytes, hidden: str | None = None) -> Response:
    return upstream.decode(body, Encoded(WireRequest("p", b"{}", "the-model", stream=False), hidden_tool=hidden))


def finish(stop: str, *blocks: dict[str, Any]) -> str:
    return read(answer(blocks or [{"text": "a"}], stop)).choices[0].finish


def test_text_calls_and_thinking_come_out_in_order() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
    response = read(answer([thought, {"text": "so"}, CALL], "tool_use"))
    assert response.model == "the-model"
    assert response.choices[0].parts == (
        Thinking("hm", "s", origin="anthropic"),
        Text("so"),
        ToolCall("t", "f", '{"a":1}'),
    )


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("a_reason_from_the_future", "stop"),
    ],
)
def test_case_13_stop_reasons(stop: str, reason: str) -> None:
    assert finish(stop) == reason


def test_case_13_calls_make_it_tool_calls_whatever_the_model_says() -> None:
    assert finish("tool_use", CALL) == "tool_calls"
    assert finish("end_turn", CALL) == "tool_calls"
    assert finish("max_tokens", CALL) == "length"
    assert finish("tool_use", {"text": "no call after all"}) == "stop"


@pytest.mark.parametrize("stop", ["malformed_tool_use", "malformed_model_output"])
def test_case_13_malformed_output_is_an_error(stop: str) -> None:
    with pytest.raises(GatewayError, match=stop) as caught:
        finish(stop)
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("fields", [{"stop_sequence": "END"}, {"delta": {"stop_sequence": "END"}}])
def test_case_13_the_matched_stop_sequence_is_kept(fields: dict[str, Any]) -> None:
    (choice,) = read(answer([{"text": "a"}], "stop_sequence", fields=fields)).choices
    assert (choice.finish, choice.stop_sequence) == ("stop_sequence", "END")


@pytest.mark.parametrize("fields", [{"stop_sequence": None}, {"delta": {}}, {"other": 1}])
def test_case_13_no_stop_sequence_is_none(fields: dict[str, Any]) -> None:
    assert read(answer([{"text": "a"}], fields=fields)).choices[0].stop_sequence is None


def test_case_15_cache_reads_and_writes_are_apart_from_input() -> None:
    raw = {
        "inputTokens": 3,
        "outputTokens": 20,
        "totalTokens": 1023,
        "cacheReadInputTokens": 600,
        "cacheWriteInputTokens": 400,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 300}, {"ttl": "5m", "inputTokens": 100}],
    }
    usage = read(answer([{"text": "a"}], usage=raw)).usage
    assert usage == Usage(3, 600, 100, 300, 20, raw=raw)
    assert (usage.prompt, usage.total) == (1003, 1023)


def test_case_15_writes_without_details_lasted_five_minutes() -> None:
    raw = {"inputTokens": 2, "outputTokens": 5, "totalTokens": 1329, "cacheWriteInputTokens": 1322}
    usage = read(answer([{"text": "a"}], usage=raw)).usage
    assert usage is not None
    assert (usage.cache_write_5m, usage.cache_write_1h, usage.prompt) == (1322, 0, 1324)


def test_citations_keep_their_text_and_their_raw_form() -> None:
    raw = {
        "title": "Doc",
        "sourceContent": [{"text": "quoted "}, {"text": "words"}],
        "location": {"web": {"url": "https://x.example", "domain": "x.example"}},
    }
    content = {"citationsContent": {"content": [{"text": "so it "}, {"text": "says"}], "citations": [raw]}}
    (part,) = read(answer([content])).choices[0].parts
    assert part == Text(
        "so it says", citations=(Citation("https://x.example", "Doc", "quoted words", None, None, "converse", raw),)
    )


def test_what_bedrock_ran_itself_survives_as_blocks_of_this_dialect() -> None:
    call = {"toolUse": {"toolUseId": "s", "name": "nova_code_interpreter", "type": "server_tool_use", "input": {}}}
    result = {"toolResult": {"toolUseId": "s", "type": "r", "content": [{"json": {"out": 1}}]}}
    image = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
    (choice,) = read(answer([call, result, image, {"text": "done"}], "tool_use")).choices
    assert choice.parts == (
        Opaque("converse", "toolUse", call),
        Opaque("converse", "toolResult", result),
        Opaque("converse", "image", image),
        Text("done"),
    )
    assert choice.finish == "stop"


# --- Case 19: the hidden tool ---

HIDDEN = {"toolUse": {"toolUseId": "h", "name": "final_answer", "input": {"city": "Paris"}}}


def hidden(*blocks: dict[str, Any], stop: str = "tool_use") -> tuple[tuple[Any, ...], str]:
    (choice,) = read(answer(blocks, stop), "final_answer").choices
    return choice.parts, choice.finish


def test_case_19_the_hidden_tools_input_is_the_answer_and_it_stops() -> None:
    assert hidden(HIDDEN) == ((Text('{"city":"Paris"}'),), "stop")


def test_case_19_text_beside_it_does_not_spoil_the_json() -> None:
    assert hidden({"text": "Here you are:"}, HIDDEN, {"text": "Bye"}) == ((Text('{"city":"Paris"}'),), "stop")


def test_case_19_thinking_before_it_is_kept() -> None:
    parts, _ = hidden({"text": "x"}, {"reasoningContent": {"reasoningText": {"text": "hm"}}}, HIDDEN)
    assert parts == (Thinking("hm"), Text('{"city":"Paris"}'))


def test_case_19_the_clients_own_tools_still_work_with_their_text() -> None:
    parts, reason = hidden({"text": "let me see"}, CALL)
    assert (parts, reason) == ((Text("let me see"), ToolCall("t", "f", '{"a":1}')), "tool_calls")


def test_case_19_without_any_call_the_text_is_the_answer() -> None:
    assert hidden({"text": '{"city":"Rome"}'}, stop="end_turn") == ((Text('{"city":"Rome"}'),), "stop")


def test_case_19_a_second_answer_is_left_out() -> None:
    again = {"toolUse": {"toolUseId": "h2", "name": "final_answer", "input": {}}}
    assert hidden(HIDDEN, again) == ((Text('{"city":"Paris"}'),), "stop")


def test_case_19_an_answer_cut_by_the_cap_says_so() -> None:
    assert hidden(HIDDEN, stop="max_tokens")[1] == "length"


# --- What is no answer ---


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        json.dumps({"output": {}}).encode(),
        json.dumps({"output": {"message": {"content": "text"}}, "stopReason": "end_turn"}).encode(),
        json.dumps({"output": {"message": {"content": [3]}}, "stopReason": "end_turn"}).encode(),
        json.dumps({"output": {"message": {"content": [{"text": 3}]}}, "stopReason": "end_turn"}).encode(),
        json.dumps({"output": {"message": {"content": []}}}).encode(),
        json.dumps({"output": {"message": {"content": [{"toolUse": {"name": "f"}}]}}, "stopReason": "end_turn"}).encode(),
    ],
)
def test_what_is_not_an_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.kind, caught.value.status) == (ErrorKind.UPSTREAM_PROTOCOL, 502)


def test_an_answer_without_usage_is_still_an_answer() -> None:
    body = json.dumps({"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn"}).encode()
    assert read(body).usage is None
