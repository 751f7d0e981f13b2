"""Answers of a given shape (case 19): natively, or through a hidden tool that nobody gets to see."""

import json
from typing import Any

import pytest
from tests.wire.anthropic_messages.judge import (
    ADAPTIVE,
    BUDGET,
    ask,
    decode_stream,
    encoded,
    sent,
    sse,
    target,
)

from pllm.core.errors import GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.anthropic_messages import upstream
from pllm.wire.folding import fold
from pllm.wire.neutral import Request, Response, ResponseFormat, Text, Tool, ToolCall, ToolChoice
from pllm.wire.translator import Encoded

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "minLength": 1}}, "required": ["city"]}
CITY = ResponseFormat("json_schema", SCHEMA, "city", "A city.", True)
TOOL = Tool("lookup")
RECURSIVE = {"type": "object", "properties": {"next": {"$ref": "#"}}}


def wanting(kind: ResponseFormat = CITY, **fields: Any) -> Request:
    return ask(response_format=kind, **fields)


def test_case_19_a_native_schema_goes_into_output_config_and_says_what_it_lost() -> None:
    result = encoded(wanting(), target(ADAPTIVE))
    body = json.loads(result.request.body)
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert body["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert "tools" not in body and result.hidden_tool is None and result.emulated == ()
    assert result.dropped == ("response_format.json_schema.schema.properties.city.minLength",)
    both = sent(wanting(tools=(TOOL,)), target(ADAPTIVE))
    assert [tool["name"] for tool in both["tools"]] == ["lookup"] and "tool_choice" not in both


def test_case_19_a_messages_clients_own_schema_is_left_alone() -> None:
    body = sent(wanting(dialect="messages"), target(ADAPTIVE))
    assert body["output_config"]["format"]["schema"] == SCHEMA


def test_case_19_without_native_support_a_hidden_tool_is_forced_and_reported() -> None:
    result = encoded(wanting(), target(BUDGET))
    body = json.loads(result.request.body)
    assert body["tools"][0]["name"] == result.hidden_tool
    assert body["tools"][0]["input_schema"] == SCHEMA and "A city." in body["tools"][0]["description"]
    assert body["tool_choice"] == {"type": "tool", "name": result.hidden_tool, "disable_parallel_tool_use": True}
    assert result.emulated == ("response_format",)


def test_case_19_beside_user_tools_the_model_may_call_any_one_of_them() -> None:
    taken = Tool("final_answer")
    result = encoded(wanting(tools=(TOOL, taken)), target(BUDGET))
    body = json.loads(result.request.body)
    assert [tool["name"] for tool in body["tools"]] == ["lookup", "final_answer", "final_answer_"]
    assert (result.hidden_tool, body["tool_choice"]["type"]) == ("final_answer_", "any")
    none = sent(wanting(tools=(TOOL,), tool_choice=ToolChoice("none")), target(BUDGET))
    assert none["tool_choice"]["name"] == "final_answer"


def test_case_19_where_the_client_demands_its_own_tool_there_is_nothing_to_shape() -> None:
    result = encoded(wanting(tools=(TOOL,), tool_choice=ToolChoice("required")), target(BUDGET))
    assert result.hidden_tool is None
    assert json.loads(result.request.body)["tool_choice"] == {"type": "any"}


def test_case_19_json_object_differs_from_json_schema() -> None:
    for profile in (BUDGET, ADAPTIVE):
        result = encoded(wanting(ResponseFormat("json_object")), target(profile))
        schema = json.loads(result.request.body)["tools"][0]["input_schema"]
        assert schema == {"type": "object", "properties": {}, "additionalProperties": True}
        assert result.emulated == ("response_format",)
    assert "output_config" not in sent(wanting(ResponseFormat("text")), target(ADAPTIVE))


def test_case_19_a_recursive_schema_falls_back_to_the_tool() -> None:
    result = encoded(wanting(ResponseFormat("json_schema", RECURSIVE)), target(ADAPTIVE))
    assert result.hidden_tool is not None and result.emulated == ("response_format",)


def test_case_19_what_no_model_could_give_is_a_400() -> None:
    shapeless = ModelProfile(structured_output="none")
    for request, profile in (
        (wanting(), shapeless),
        (wanting(ResponseFormat("json_schema", {"type": "array"})), BUDGET),
        (wanting(ResponseFormat("json_schema")), BUDGET),
    ):
        with pytest.raises(GatewayError) as caught:
            encoded(request, target(profile))
        assert caught.value.status == 400 and (caught.value.param or "").startswith("response_format")
    assert encoded(wanting(), target(shapeless, drop_unsupported=True)).dropped == ("response_format",)


# --- The answer ---------------------------------------------------------------------------------------------------

HIDDEN = encoded(wanting(tools=(TOOL,)), target(BUDGET))
CALL = {"type": "tool_use", "id": "t1", "name": "final_answer", "input": {"city": "Oslo"}}
USER_CALL = {"type": "tool_use", "id": "t2", "name": "lookup", "input": {}}
WORDS = {"type": "text", "text": "Here you go:"}


def buffered(*content: dict[str, Any], stop: str = "tool_use", encoded_as: Encoded = HIDDEN) -> Response:
    message = {"id": "m", "type": "message", "content": list(content), "stop_reason": stop, "usage": {"output_tokens": 3}}
    return upstream.decode(json.dumps(message).encode(), encoded_as)


def streamed(*content: dict[str, Any], stop: str = "tool_use") -> Response:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "usage": {"output_tokens": 1}}}]
    for number, block in enumerate(content):
        empty = {**block, "input": {}} if "input" in block else {**block, "text": ""}
        delta = (
            {"type": "input_json_delta", "partial_json": json.dumps(block["input"], separators=(",", ":"))}
            if "input" in block
            else {"type": "text_delta", "text": block["text"]}
        )
        events += [
            {"type": "content_block_start", "index": number, "content_block": empty},
            {"type": "content_block_delta", "index": number, "delta": delta},
            {"type": "content_block_stop", "index": number},
        ]
    events += [
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return fold(decode_stream(sse(*events), 5, HIDDEN.hidden_tool))


@pytest.mark.parametrize(
    ("content", "parts", "finish"),
    [
        ((CALL,), (Text('{"city":"Oslo"}'),), "stop"),
        ((WORDS, CALL), (Text('{"city":"Oslo"}'),), "stop"),
        ((WORDS, USER_CALL), (Text("Here you go:"), ToolCall("t2", "lookup")), "tool_calls"),
        ((CALL, USER_CALL), (Text('{"city":"Oslo"}'), ToolCall("t2", "lookup")), "tool_calls"),
    ],
)
def test_case_19_the_hidden_tools_input_becomes_the_text_buffered_and_streamed_alike(
    content: tuple[dict[str, Any], ...], parts: tuple[Any, ...], finish: str
) -> None:
    for response in (buffered(*content), streamed(*content)):
        assert (response.choices[0].parts, response.choices[0].finish) == (parts, finish)


def test_case_19_words_alone_are_still_words() -> None:
    for response in (buffered(WORDS, stop="end_turn"), streamed(WORDS, stop="end_turn")):
        assert (response.choices[0].parts, response.choices[0].finish) == ((Text("Here you go:"),), "stop")


def test_case_19_a_shaped_answer_cut_by_the_cap_says_length() -> None:
    assert streamed(CALL, stop="max_tokens").choices[0].finish == "length"
    assert buffered(CALL, stop="max_tokens").choices[0].finish == "length"
