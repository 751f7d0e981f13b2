"""Neutral requests as Chat bodies: valid by the official SDK's types, and honest about what was lost."""

import json
from dataclasses import replace

import pytest
from tests.wire.openai_chat.recordings import REQUESTS, Recorded, named, needs_recordings
from tests.wire.openai_chat.upstream_asked import SCHEMA, WEATHER, body, encode, refused, target

from pllm.core.errors import ErrorKind
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Quirks
from pllm.wire.neutral import Reasoning, ResponseFormat, Tool, ToolChoice
from pllm.wire.openai_chat import client, upstream

# --- Tools ----------------------------------------------------------------------------------------------------------


def test_case_20_tools_keep_order_and_get_a_schema_that_is_one() -> None:
    written = body(encode(tools=(WEATHER, Tool("time", strict=True))))["tools"]
    assert written[0] == {
        "type": "function",
        "function": {"name": "weather", "description": "Tells the weather.", "parameters": SCHEMA},
    }
    assert written[1]["function"] == {"name": "time", "parameters": {"type": "object", "properties": {}}, "strict": True}


def test_case_20_a_strict_tool_of_an_anthropic_client_is_closed_as_openai_demands() -> None:
    tool = Tool("f", None, {"type": "object", "properties": {"a": {"type": "string"}}}, True)
    function = body(encode(tools=(tool,), dialect="messages"))["tools"][0]["function"]
    assert function["parameters"]["additionalProperties"] is False
    assert function["parameters"]["required"] == ["a"]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("named", "weather"), {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_case_07_tool_choices(choice: ToolChoice, written: object) -> None:
    made = body(encode(tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=False))
    assert (made["tool_choice"], made["parallel_tool_calls"]) == (written, False)


def test_case_07_allowed_tools_narrow_the_list() -> None:
    made = body(encode(tools=(WEATHER, Tool("time")), tool_choice=ToolChoice("required", allowed=("time",))))
    assert [tool["function"]["name"] for tool in made["tools"]] == ["time"]
    assert made["tool_choice"] == "required"


def test_case_07_a_model_that_cannot_be_forced_is_not_silently_left_free() -> None:
    to = target(ModelProfile(supports_tool_choice_any=False))
    assert refused(tools=(WEATHER,), tool_choice=ToolChoice("required"), to=to).param == "tool_choice"


def test_tools_that_another_provider_runs_are_refused_by_name() -> None:
    search = Tool("web_search", dialect="messages", raw={"type": "web_search_20250305"})
    assert refused(tools=(search,)).param == "tools.web_search"
    own = Tool("code", dialect="chat", raw={"type": "custom", "custom": {"name": "code"}})
    assert body(encode(tools=(own,)))["tools"] == [dict(own.raw or {})]


# --- Structured output ----------------------------------------------------------------------------------------------


WANTED = ResponseFormat("json_schema", SCHEMA, "place", "Where.", True)


def test_case_19_native_structured_output() -> None:
    spec = {"name": "place", "schema": SCHEMA, "description": "Where.", "strict": True}
    assert body(encode(response_format=WANTED))["response_format"] == {"type": "json_schema", "json_schema": spec}
    assert body(encode(response_format=ResponseFormat("json_object")))["response_format"] == {"type": "json_object"}
    assert "response_format" not in body(encode(response_format=ResponseFormat("text")))


def test_case_19_a_hidden_forced_tool_where_there_is_no_native_one() -> None:
    to = target(ModelProfile(structured_output="tool"))
    encoded = encode(response_format=WANTED, to=to)
    written = body(encoded)
    assert encoded.hidden_tool == written["tools"][0]["function"]["name"] == written["tool_choice"]["function"]["name"]
    assert written["tools"][0]["function"]["parameters"] == SCHEMA
    assert encoded.emulated == ("response_format",)
    assert "response_format" not in written


def test_case_19_the_hidden_tool_works_beside_the_clients_own() -> None:
    to = target(ModelProfile(structured_output="tool"))
    taken = Tool("structured_output")
    encoded = encode(response_format=WANTED, tools=(WEATHER, taken), to=to)
    written = body(encoded)
    assert [tool["function"]["name"] for tool in written["tools"]] == ["weather", "structured_output", encoded.hidden_tool]
    assert written["tool_choice"] == "required"
    named = encode(response_format=WANTED, tools=(WEATHER,), tool_choice=ToolChoice("named", "weather"), to=to)
    assert named.hidden_tool is None


def test_case_19_a_model_with_neither_is_a_400() -> None:
    assert refused(response_format=WANTED, to=target(ModelProfile(structured_output="none"))).param == "response_format"


# --- Settings -------------------------------------------------------------------------------------------------------


def test_all_settings_of_the_dialect_are_written() -> None:
    settings: JsonObject = {
        "temperature": 0,
        "top_p": 0.5,
        "seed": 4,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "logit_bias": {"5": 1},
        "logprobs": True,
        "top_logprobs": 2,
        "verbosity": "low",
        "user": "u",
        "n": 2,
        "service_tier": "flex",
    }
    written = body(encode(stop=("a",), reasoning=Reasoning(effort="high"), metadata={"k": "v"}, stream=True, **settings))
    assert {name: written[name] for name in settings} == settings
    assert written["stop"] == ["a"]
    assert written["reasoning_effort"] == "high"
    assert written["metadata"] == {"k": "v"}
    assert (written["stream"], written["stream_options"]) == (True, {"include_usage": True})


def test_case_16_usage_is_not_asked_of_those_who_cannot_be_asked() -> None:
    assert "stream_options" not in body(encode(stream=True, to=target(quirks=Quirks(stream_usage=False))))


def test_case_14_too_many_stop_sequences_are_a_400() -> None:
    assert refused(stop=tuple("abcde"), to=target(ModelProfile(max_stop_sequences=4))).param == "stop"


def test_case_23_a_refused_parameter_names_itself_and_the_model() -> None:
    to = target(ModelProfile(refused_params=frozenset({"seed"})))
    error = refused(seed=1, to=to)
    assert (error.param, error.kind) == ("seed", ErrorKind.UNSUPPORTED_PARAMETER)
    assert "public" in error.message
    assert encode(seed=1, to=replace(to, drop_unsupported=True)).dropped == ("seed",)


def test_case_23_extras_pass_by_meaning_or_are_refused_by_name() -> None:
    assert body(encode(extras={"prediction": {"type": "content", "content": "x"}, "store": True}))["store"] is True
    assert refused(extras={"mcp_servers": []}, dialect="messages").param == "mcp_servers"
    assert refused(extras={"store": True}, dialect="responses").param == "store"
    assert body(encode(extras={"prompt_cache_key": "k"}, dialect="responses"))["prompt_cache_key"] == "k"
    assert refused(top_k=5).param == "top_k"
    open_to_it = target(quirks=Quirks(accepted=frozenset({"top_k", "min_p"})))
    made = body(encode(top_k=5, extras={"min_p": 0.1}, to=open_to_it), valid=False)
    assert (made["top_k"], made["min_p"]) == (5, 0.1)
    assert encode(extras={"new": 1}, to=target(drop_unsupported=True)).dropped == ("new",)


def test_case_24_caps_and_defaults() -> None:
    to = target(quirks=Quirks(token_cap="max_completion_tokens"), defaults={"temperature": 0.2, "max_tokens": 7})
    assert body(encode(to=to)).items() >= {"temperature": 0.2, "max_completion_tokens": 7}.items()
    assert body(encode(max_tokens=3, to=to))["max_completion_tokens"] == 3


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (8000, "medium"), (32000, "high")])
def test_case_11_a_budget_becomes_the_effort_it_amounts_to(budget: int, effort: str) -> None:
    encoded = encode(reasoning=Reasoning(enabled=True, budget_tokens=budget))
    assert body(encoded)["reasoning_effort"] == effort
    assert encoded.emulated == ("thinking.budget_tokens",)


def test_case_11_switching_thinking_off() -> None:
    off = Reasoning(enabled=False)
    assert body(encode(reasoning=off, to=target(quirks=Quirks(accepted=frozenset({"thinking"})))), valid=False)["thinking"] == {
        "type": "disabled"
    }
    assert refused(reasoning=Reasoning(enabled=True), to=target(ModelProfile(thinking="none"))).param == "reasoning_effort"
    assert "reasoning_effort" not in body(encode(reasoning=off))
    assert body(encode(reasoning=off, to=target(ModelProfile(known=True))))["reasoning_effort"] == "none"
    assert "reasoning_effort" not in body(encode(reasoning=off, to=target(ModelProfile(known=True, thinking="none"))))
    always = target(ModelProfile(known=True, can_disable_thinking=False))
    assert refused(reasoning=Reasoning(effort="none"), to=always).param == "reasoning_effort"
    assert refused(reasoning=Reasoning(effort="high"), to=target(ModelProfile(thinking="none"))).param == "reasoning_effort"


def test_what_only_shapes_the_telling_of_thoughts_is_dropped_and_reported() -> None:
    encoded = encode(reasoning=Reasoning(effort="low", summary="auto", display="omitted"))
    assert encoded.dropped == ("reasoning.summary", "thinking.display")


def test_settings_of_other_dialects_find_their_words_here() -> None:
    encoded = encode(service_tier="standard_only", metadata={"a": "b"}, dialect="messages")
    assert body(encoded)["service_tier"] == "default"
    assert encoded.emulated == ("service_tier",)
    assert encoded.dropped == ("metadata",)


# --- Round trip -----------------------------------------------------------------------------------------------------


@needs_recordings
@named(REQUESTS)
def test_every_recorded_request_survives_the_neutral_form(recorded: Recorded) -> None:
    asked = client.decode({"model": "m", **recorded.request})
    marks = "cache_control" if "openrouter" in recorded.name else ""
    own = frozenset(asked.extras) | {"top_k", "thinking"}
    to = target(quirks=Quirks(cache_marks=marks, reasoning_field="reasoning_content", accepted=own), repair_history=True)
    encoded = upstream.encode(asked, to)
    written = json.loads(encoded.request.body)
    again = client.decode({**written, "model": asked.model})
    assert "\n\n".join(text.text for text in again.system) == "\n\n".join(text.text for text in asked.system)
    assert [tool.name for tool in again.tools] == [tool.name for tool in asked.tools]
    if encoded.dropped or encoded.emulated:
        return
    spoken = [message for message in asked.messages if message.parts]
    assert [message.role for message in again.messages] == [message.role for message in spoken]
    bare = replace(asked, messages=(), system=(), tools=(), include_usage=asked.stream)
    assert replace(again, messages=(), system=(), tools=()) == bare


def test_case_19_an_anthropic_clients_schema_is_closed_as_strict_mode_demands() -> None:
    wanted = ResponseFormat("json_schema", {"type": "object", "properties": {"a": {"type": "string"}}}, strict=True)
    encoded = encode(response_format=wanted, dialect="messages")
    spec = body(encoded)["response_format"]["json_schema"]
    assert (spec["name"], spec["schema"]["additionalProperties"], spec["schema"]["required"]) == ("response", False, ["a"])


def test_case_19_a_tool_choice_of_none_leaves_only_the_hidden_tool() -> None:
    to = target(ModelProfile(structured_output="tool"))
    encoded = encode(response_format=WANTED, tools=(WEATHER,), tool_choice=ToolChoice("none"), to=to)
    assert [tool["function"]["name"] for tool in body(encoded)["tools"]] == [encoded.hidden_tool]


def test_what_may_be_dropped_is_dropped_and_reported() -> None:
    search = Tool("web_search", dialect="messages", raw={"type": "web_search_20250305"})
    profile = ModelProfile(structured_output="none", supports_tool_choice_any=False, known=True, can_disable_thinking=False)
    encoded = encode(
        tools=(WEATHER, search),
        tool_choice=ToolChoice("required"),
        response_format=WANTED,
        reasoning=Reasoning(effort="none"),
        to=target(profile, drop_unsupported=True),
    )
    assert body(encoded).keys() == {"model", "messages", "tools"}
    assert encoded.dropped == ("tools.web_search", "tool_choice", "response_format", "reasoning_effort")
