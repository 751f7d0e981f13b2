import json
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase, ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.neutral import Message, Reasoning, Request, ResponseFormat, Text, Tool, ToolChoice
from pllm.wire.openai_responses import client, with_history

BASE: dict[str, Any] = {"model": "m", "input": "Hi"}

FUNCTION = {
    "type": "function",
    "name": "weather",
    "description": "Look it up.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}

# One telling value for every field the official SDK lets a client send, and what becomes of it.
NEUTRAL: dict[str, Any] = {
    "instructions": "Be kind.",
    "max_output_tokens": 100,
    "metadata": {"team": "a"},
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high", "summary": "detailed"},
    "service_tier": "flex",
    "temperature": 0.5,
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    "tool_choice": "none",
    "tools": [FUNCTION],
    "top_logprobs": 3,
    "top_p": 0.9,
    "user": "u1",
    "include": ["message.output_text.logprobs"],
    "stream": True,
}
EXTRAS: dict[str, Any] = {
    "access_programs": {"cyber": "standard"},
    "background_options": {"completion_window": "soonest"},
    "context_management": [{"type": "compaction"}],
    "image": {"context_compression": "auto"},
    "max_tool_calls": 3,
    "moderation": {"model": "omni-moderation-latest"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "truncation": "auto",
}
REFUSED: dict[str, Any] = {
    "background": True,
    "conversation": "conv_1",
    "previous_response_id": "resp_1",
    "prompt": {"id": "pmpt_1"},
}
ECHOED: dict[str, Any] = {"store": False}
DOTTED: dict[str, Any] = {"stream_options": {"include_obfuscation": True}}


def decode(**fields: Any) -> Request:
    return client.decode({**BASE, **fields})


def refusal(**fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        decode(**fields)
    assert caught.value.status == 400
    return caught.value


def test_every_field_of_the_official_sdk_has_a_known_fate() -> None:
    known = set(BASE) | set(NEUTRAL) | set(EXTRAS) | set(REFUSED) | set(ECHOED) | set(DOTTED)
    assert known == set(ResponseCreateParamsBase.__annotations__) | {"stream"}


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_a_field_with_a_neutral_form_changes_the_request_and_is_no_extra(name: str) -> None:
    sample = {**BASE, name: NEUTRAL[name]}
    if name != "stream":
        TypeAdapter(ResponseCreateParamsNonStreaming).validate_python(sample)
    request = client.decode(sample)
    assert request != decode()
    assert request.extras == {}


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_a_field_without_a_neutral_form_lands_in_extras_under_its_own_name(name: str) -> None:
    assert decode(**{name: EXTRAS[name]}).extras == {name: EXTRAS[name]}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_field_that_only_openai_can_honour_is_refused_by_name(name: str) -> None:
    assert refusal(**{name: REFUSED[name]}).param == name


def test_a_setting_without_a_neutral_form_lands_in_extras_under_its_dotted_name() -> None:
    assert decode(**DOTTED).extras == {"stream_options.include_obfuscation": True}
    assert decode(reasoning={"effort": "low", "mode": "pro"}).extras == {"reasoning.mode": "pro"}
    assert decode(text={"verbosity": "low", "tone": "dry"}).extras == {"text.tone": "dry"}


def test_settings_that_say_what_happens_anyway_are_no_extras() -> None:
    request = decode(
        truncation="disabled",
        background=False,
        stream_options={"include_obfuscation": False},
        reasoning={"context": "auto", "mode": "standard"},
        include=["reasoning.encrypted_content"],
        conversation=None,
        prompt=None,
    )
    assert request.extras == {}
    assert request.reasoning is None


def test_case_23_a_field_nobody_knows_is_kept_for_the_upstream_to_judge() -> None:
    assert decode(frobnicate=1, seed=7).extras == {"frobnicate": 1, "seed": 7}


def test_null_fields_count_as_absent() -> None:
    silent = dict.fromkeys([*NEUTRAL, *EXTRAS, *REFUSED, *ECHOED, *DOTTED])
    assert client.decode({**BASE, **silent}) == decode()


def test_the_answer_repeats_settings_that_upstreams_never_see() -> None:
    request = decode(store=False, metadata={"a": "b"}, tools=[FUNCTION])
    assert request.echo == {"store": False, "metadata": {"a": "b"}, "tools": [FUNCTION]}


def test_case_08_instructions_come_before_leading_system_and_developer_items() -> None:
    request = decode(
        instructions="One.",
        input=[
            {"role": "system", "content": "Two."},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Three."}]},
            {"role": "user", "content": "Hi"},
            {"role": "developer", "content": "Later."},
        ],
    )
    assert request.system == (Text("One."), Text("Two."), Text("Three."))
    assert request.messages == (
        Message("user", (Text("Hi"),), "input[2]"),
        Message("system", (Text("Later."),), "input[3]"),
    )


def test_case_24_the_output_cap_is_the_neutral_one() -> None:
    assert decode(max_output_tokens=64).max_tokens == 64
    assert refusal(max_output_tokens=0).param == "max_output_tokens"
    assert refusal(max_output_tokens="64").param == "max_output_tokens"


def test_case_11_reasoning_effort_and_summary_are_read() -> None:
    assert decode(reasoning={"effort": "minimal"}).reasoning == Reasoning(effort="minimal")
    assert decode(reasoning={"generate_summary": "auto"}).reasoning == Reasoning(summary="auto")
    assert refusal(reasoning={"effort": 3}).param == "reasoning.effort"


def test_case_19_the_text_format_becomes_the_response_format() -> None:
    schema = {"type": "object", "properties": {}}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True, "description": "d"}
    assert decode(text={"format": form}).response_format == ResponseFormat("json_schema", schema, "n", "d", True)
    assert decode(text={"format": {"type": "json_object"}}).response_format == ResponseFormat("json_object")
    assert decode(text={"format": {"type": "text"}}).response_format == ResponseFormat("text")
    assert decode(text={"verbosity": "high"}).verbosity == "high"
    assert refusal(text={"format": {"type": "xml"}}).param == "text.format.type"
    assert refusal(text={"format": {"type": "json_schema", "name": "n"}}).param == "text.format.schema"


def test_logprobs_are_asked_for_by_include_or_by_number() -> None:
    assert decode(include=["message.output_text.logprobs"]).logprobs is True
    request = decode(top_logprobs=2)
    assert (request.logprobs, request.top_logprobs) == (True, 2)
    assert decode(top_logprobs=0).logprobs is None
    assert refusal(include=["everything"]).param == "include[0]"
    assert [refusal(include=[name]).param for name in (dict[str, str](), list[str](), None, 7)] == ["include[0]"] * 4


def test_a_function_tool_is_neutral_and_keeps_its_key_order() -> None:
    assert decode(tools=[FUNCTION]).tools == (
        Tool("weather", "Look it up.", {"type": "object", "properties": {"city": {"type": "string"}}}, False),
    )


def test_tools_that_only_openai_runs_stay_raw() -> None:
    hosted = [{"type": "web_search"}, {"type": "mcp", "server_label": "files"}, {"type": "custom", "name": "patch"}]
    tools = decode(tools=hosted).tools
    assert [tool.name for tool in tools] == ["web_search", "files", "patch"]
    assert [tool.raw for tool in tools] == hosted
    assert {tool.dialect for tool in tools} == {"responses"}


def test_a_function_with_settings_only_openai_knows_stays_raw_too() -> None:
    deferred = {**FUNCTION, "defer_loading": True}
    (tool,) = decode(tools=[deferred]).tools
    assert (tool.name, tool.dialect, tool.raw) == ("weather", "responses", deferred)
    assert decode(tools=[{**FUNCTION, "defer_loading": False}]).tools[0].dialect == ""


def test_a_tool_in_chats_shape_is_a_400_that_says_where_the_name_belongs() -> None:
    error = refusal(tools=[{"type": "function", "function": {"name": "weather"}}])
    assert error.param == "tools[0].name"
    assert "under 'function'" in error.message


@pytest.mark.parametrize(
    ("choice", "neutral"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "weather"}, ToolChoice("named", "weather")),
        ({"type": "web_search"}, ToolChoice("named", "web_search")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            ToolChoice("required", allowed=("weather",)),
        ),
    ],
)
def test_case_07_every_form_of_tool_choice_is_read(choice: Any, neutral: ToolChoice) -> None:
    assert decode(tools=[FUNCTION, {"type": "web_search"}], tool_choice=choice).tool_choice == neutral


def test_case_07_a_choice_of_a_tool_that_is_not_there_is_a_400() -> None:
    assert refusal(tools=[FUNCTION], tool_choice={"type": "function", "name": "time"}).param == "tool_choice"
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "time"}]}
    assert refusal(tools=[FUNCTION], tool_choice=allowed).param == "tool_choice.tools[0]"
    assert refusal(tool_choice="sometimes").param == "tool_choice"
    assert (
        refusal(tools=[FUNCTION], tool_choice={"type": "allowed_tools", "mode": "any", "tools": []}).param == "tool_choice.mode"
    )


@pytest.mark.parametrize("value", [None, []])
def test_a_request_without_input_is_a_400(value: Any) -> None:
    assert refusal(input=value).param == "input"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"input": 3}, "input"),
        ({"input": ["Hi"]}, "input[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": []}, "top_p"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"stream": 1}, "stream"),
        ({"store": "yes"}, "store"),
        ({"metadata": []}, "metadata"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"text": "json"}, "text"),
        ({"reasoning": "high"}, "reasoning"),
        ({"include": "all"}, "include"),
        ({"background": "later"}, "background"),
        ({"truncation": 1}, "truncation"),
        ({"stream_options": True}, "stream_options"),
    ],
)
def test_a_field_of_the_wrong_kind_is_a_400_with_its_path(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields).param == param


def test_background_is_refused_with_what_to_do_instead() -> None:
    error = refusal(background=True)
    assert error.kind is ErrorKind.UNSUPPORTED_PARAMETER
    assert "stream" in error.message


def test_a_previous_response_nobody_resolved_is_a_400_with_openais_code() -> None:
    error = refusal(previous_response_id="resp_gone")
    assert (error.param, error.code) == ("previous_response_id", "previous_response_not_found")


@pytest.mark.needs_cassettes
def test_every_recorded_request_decodes_and_no_top_level_field_is_without_effect(
    recorded_requests: list[tuple[str, dict[str, Any]]],
) -> None:
    assert len(recorded_requests) > 60
    without_effect = {"include": ["reasoning.encrypted_content"]}
    for name, body in recorded_requests:
        resolved = with_history(body, [])
        if "prompt" in body:
            with pytest.raises(GatewayError):
                client.decode(resolved)
            continue
        before = json.dumps(resolved)
        whole = client.decode(resolved)
        assert json.dumps(resolved) == before, name
        for field in resolved.keys() - {"model", "input"}:
            rest = {key: value for key, value in resolved.items() if key not in {field, *_users_of(field)}}
            if resolved[field] is None or resolved[field] == without_effect.get(field) or _harmless(field, resolved[field]):
                continue
            assert client.decode(rest) != whole, (name, field)


def _users_of(field: str) -> set[str]:
    return {"tool_choice"} if field == "tools" else set()


def _harmless(field: str, value: Any) -> bool:
    return (field == "stream" and value is False) or (field == "include" and "message.output_text.logprobs" not in value)
