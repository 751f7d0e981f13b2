"""Tools and the choice of them, as botocore accepts them."""

import json
from typing import Any

import pytest
from tests.wire.bedrock_converse.judge import CLAUDE_45, GPT_OSS, HELLO, LLAMA, NOVA_2, assistant, sent, target, user

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.bedrock_converse import upstream
from pllm.wire.lane import Target
from pllm.wire.neutral import CacheMark, Message, Request, ResponseFormat, Text, Tool, ToolCall, ToolChoice, ToolResult

WEATHER = Tool("get_weather", "The weather", {"type": "object", "properties": {"city": {"type": "string"}}})
TIME = Tool("get_time")
TOOLS = (WEATHER, TIME)
HISTORY: tuple[Message, ...] = (
    *HELLO,
    assistant(ToolCall("a", "old_tool", '{"x":1}')),
    user(ToolResult("a", (Text("ok"),)), "go on"),
)
CLAUDE = target(CLAUDE_45)
JSON_SCHEMA = ResponseFormat("json_schema", {"type": "object", "properties": {"city": {"type": "string"}}}, "city")


def asked(**fields: Any) -> Request:
    return Request("m", fields.pop("messages", HELLO), max_tokens=9, **fields)


def config(request: Request, to: Target = CLAUDE) -> Any:
    return sent(request, to).get("toolConfig")


def names(found: Any) -> list[str]:
    return [entry["toolSpec"]["name"] for entry in found["tools"] if "toolSpec" in entry]


def refused(request: Request, to: Target) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(request, to)
    assert caught.value.status == 400
    return caught.value


def test_tools_are_sent_in_order_with_their_schemas_untouched() -> None:
    found = config(asked(tools=TOOLS))
    assert found["tools"] == [
        {"toolSpec": {"name": "get_weather", "description": "The weather", "inputSchema": {"json": WEATHER.parameters}}},
        {"toolSpec": {"name": "get_time", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
    ]


@pytest.mark.parametrize("name", ["has space", "x" * 65, "", "döner"])
def test_a_tool_name_bedrock_refuses_is_a_400_that_says_the_rule(name: str) -> None:
    assert refused(asked(tools=(Tool(name),)), CLAUDE).param == "tools[0].name"


# --- Case 6 ---


def test_case_06_tool_blocks_in_the_history_without_tools_get_minimal_specs_and_are_reported() -> None:
    request = asked(messages=HISTORY)
    assert names(config(request)) == ["old_tool"]
    assert upstream.encode(request, CLAUDE).emulated == ("tools",)


def test_case_06_no_tools_and_no_tool_blocks_is_no_tool_config() -> None:
    assert config(asked(tool_choice=ToolChoice("auto"), parallel_tool_calls=False)) is None
    assert config(asked(tool_choice=ToolChoice("required"))) is None


# --- Case 7 ---


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        (ToolChoice("auto"), None),
        (ToolChoice("required"), {"any": {}}),
        (ToolChoice("named", "get_time"), {"tool": {"name": "get_time"}}),
    ],
)
def test_case_07_choices_that_converse_has(choice: ToolChoice | None, expected: Any) -> None:
    assert config(asked(tools=TOOLS, tool_choice=choice)).get("toolChoice") == expected


def test_case_07_none_leaves_the_tools_out() -> None:
    assert config(asked(tools=TOOLS, tool_choice=ToolChoice("none"))) is None


def test_case_07_none_keeps_the_tools_that_the_history_needs_and_says_so() -> None:
    request = asked(messages=HISTORY, tools=TOOLS, tool_choice=ToolChoice("none"))
    found = config(request)
    assert names(found) == ["get_weather", "get_time"]
    assert "toolChoice" not in found
    assert "tool_choice" in upstream.encode(request, CLAUDE).emulated


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "get_time")])
def test_case_07_a_model_that_cannot_be_forced_is_a_400_and_not_a_silent_auto(choice: ToolChoice) -> None:
    request = asked(tools=TOOLS, tool_choice=choice)
    assert refused(request, target(LLAMA)).param == "tool_choice"
    dropped = upstream.encode(request, target(LLAMA, drop=True))
    assert "tool_choice" in dropped.dropped
    assert "toolChoice" not in json.loads(dropped.request.body)["toolConfig"]


def test_case_07_allowed_tools_filter_and_keep_their_mode() -> None:
    found = config(asked(tools=TOOLS, tool_choice=ToolChoice("required", allowed=("get_time",))))
    assert (names(found), found["toolChoice"]) == (["get_time"], {"any": {}})


def test_case_07_naming_a_tool_that_is_not_offered_is_a_400() -> None:
    assert refused(asked(tools=TOOLS, tool_choice=ToolChoice("named", "nope")), CLAUDE).param == "tool_choice"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (None, {"type": "auto"}),
        (ToolChoice("required"), {"type": "any"}),
        (ToolChoice("named", "get_time"), {"type": "tool", "name": "get_time"}),
    ],
)
def test_case_07_one_call_at_a_time_is_said_in_claudes_own_words(choice: ToolChoice | None, said: dict[str, str]) -> None:
    body = sent(asked(tools=TOOLS, tool_choice=choice, parallel_tool_calls=False), CLAUDE)
    assert body["additionalModelRequestFields"] == {"tool_choice": {**said, "disable_parallel_tool_use": True}}
    assert "toolChoice" not in body["toolConfig"]


def test_case_07_one_call_at_a_time_is_a_400_where_the_model_cannot_promise_it() -> None:
    assert refused(asked(tools=TOOLS, parallel_tool_calls=False), target(NOVA_2)).param == "parallel_tool_calls"


def test_a_model_without_tools_refuses_them_by_name() -> None:
    error = refused(asked(tools=TOOLS), target(ModelProfile(supports_tools=False)))
    assert (error.kind, error.param) == (ErrorKind.UNSUPPORTED_PARAMETER, "tools")


# --- Raw and strict tools, cache points ---


def test_bedrocks_own_tools_pass_and_those_of_other_providers_are_refused_by_name() -> None:
    own = Tool("nova_grounding", dialect="converse", raw={"systemTool": {"name": "nova_grounding"}})
    assert config(asked(tools=(own,)), target(NOVA_2))["tools"] == [own.raw]
    foreign = Tool("web_search", dialect="messages", raw={"type": "web_search_20250305", "name": "web_search"})
    assert refused(asked(tools=(WEATHER, foreign)), CLAUDE).param == "tools[1].web_search_20250305"


@pytest.mark.parametrize(("messages", "left"), [(HELLO, None), (HISTORY, ["old_tool"])])
def test_when_every_tool_is_dropped_no_empty_list_is_sent(messages: tuple[Message, ...], left: list[str] | None) -> None:
    foreign = Tool("web_search", dialect="messages", raw={"type": "web_search_20250305"}, cache=CacheMark())
    found = config(asked(messages=messages, tools=(foreign,)), target(CLAUDE_45, drop=True))
    assert (None if found is None else names(found)) == left


def test_case_22_two_marks_in_one_place_are_one_cache_point() -> None:
    foreign = Tool("web_search", dialect="messages", raw={"type": "web_search_20250305"}, cache=CacheMark())
    found = config(asked(tools=(Tool("f", cache=CacheMark()), foreign)), target(CLAUDE_45, drop=True))
    assert [next(iter(entry)) for entry in found["tools"]] == ["toolSpec", "cachePoint"]


def test_case_20_strict_tools_get_a_closed_schema_on_models_that_compile_it() -> None:
    strict = Tool("f", None, {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}, strict=True)
    spec = config(asked(tools=(strict,)))["tools"][0]["toolSpec"]
    assert spec["strict"] is True
    assert spec["inputSchema"]["json"] == {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert "tools[0].parameters.properties.n.minimum" in upstream.encode(asked(tools=(strict,)), CLAUDE).dropped


def test_case_20_strictness_is_reported_as_lost_elsewhere() -> None:
    request = asked(tools=(Tool("f", strict=True),))
    assert "strict" not in config(request, target(GPT_OSS))["tools"][0]["toolSpec"]
    assert upstream.encode(request, target(GPT_OSS)).dropped == ("tools[0].strict",)


def test_case_20_null_properties_are_mended() -> None:
    found = config(asked(tools=(Tool("f", None, {"type": "object", "properties": None}),)))
    assert found["tools"][0]["toolSpec"]["inputSchema"]["json"] == {"type": "object", "properties": {}}


def test_case_22_a_marked_tool_has_its_cache_point_behind_it() -> None:
    found = config(asked(tools=(Tool("f", cache=CacheMark("1h")), TIME)))
    assert found["tools"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


# --- Case 19: the hidden tool among others ---

IMITATED = ModelProfile(thinking="none", structured_output="tool", known=True)


def hidden(request: Request) -> tuple[Any, str | None]:
    encoded = upstream.encode(request, target(IMITATED))
    return sent(request, target(IMITATED)).get("toolConfig"), encoded.hidden_tool


def test_case_19_alone_the_hidden_tool_is_forced_by_name() -> None:
    found, name = hidden(asked(response_format=JSON_SCHEMA))
    assert (names(found), found["toolChoice"]) == ([name], {"tool": {"name": name}})


def test_case_19_beside_other_tools_some_tool_is_forced() -> None:
    found, name = hidden(asked(tools=TOOLS, response_format=JSON_SCHEMA))
    assert names(found) == ["get_weather", "get_time", name]
    assert found["toolChoice"] == {"any": {}}


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "get_time")])
def test_case_19_where_the_client_forces_its_own_tool_there_is_none(choice: ToolChoice) -> None:
    found, name = hidden(asked(tools=TOOLS, tool_choice=choice, response_format=JSON_SCHEMA))
    assert name is None
    assert names(found) == ["get_weather", "get_time"]


def test_case_19_tools_rebuilt_from_the_history_cannot_be_called_instead() -> None:
    found, name = hidden(asked(messages=HISTORY, response_format=JSON_SCHEMA))
    assert names(found) == ["old_tool", name]
    assert found["toolChoice"] == {"tool": {"name": name}}


def test_case_19_the_hidden_tool_never_takes_a_name_that_is_taken() -> None:
    _, name = hidden(asked(tools=(Tool("final_answer"),), response_format=JSON_SCHEMA))
    assert name == "final_answer_"


def test_case_19_with_tool_choice_none_only_the_hidden_tool_may_answer() -> None:
    found, name = hidden(asked(tools=TOOLS, tool_choice=ToolChoice("none"), response_format=JSON_SCHEMA))
    assert found["toolChoice"] == {"tool": {"name": name}}


def test_case_19_a_model_that_cannot_be_forced_cannot_imitate() -> None:
    cannot = ModelProfile(thinking="none", structured_output="tool", supports_tool_choice_any=False, known=True)
    assert refused(asked(response_format=JSON_SCHEMA), target(cannot)).param == "response_format"
