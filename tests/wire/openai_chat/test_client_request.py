"""Chat requests as neutral ones: every documented field arrives, and what is wrong is named."""

import pytest
from tests.wire.openai_chat.client_asked import WEATHER, decode, refused

from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import Message, Reasoning, Request, ResponseFormat, Text


def test_every_setting_with_a_neutral_form_arrives() -> None:
    request = decode(
        max_completion_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=["a", "b"],
        n=2,
        seed=-7,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=2,
        reasoning_effort="high",
        verbosity="low",
        service_tier="flex",
        user="u1",
        metadata={"k": "v"},
        stream=True,
        stream_options={"include_usage": True},
    )
    assert request == Request(
        model="m",
        messages=(Message("user", (Text("Hi"),), "messages[0]"),),
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("a", "b"),
        n=2,
        seed=-7,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=2,
        reasoning=Reasoning(effort="high"),
        verbosity="low",
        service_tier="flex",
        user="u1",
        metadata={"k": "v"},
        stream=True,
        include_usage=True,
    )


def test_null_is_silence() -> None:
    names = ["temperature", "top_p", "n", "stop", "seed", "tools", "tool_choice", "stream", "stream_options", "user", "store"]
    assert decode(**dict.fromkeys(names)) == decode()


def test_case_23_fields_without_a_neutral_form_travel_as_extras() -> None:
    extras = {
        "prediction": {"type": "content"},
        "web_search_options": {},
        "brand_new": 1,
        "store": True,
        "modalities": ["audio"],
    }
    assert decode(**extras).extras == extras


def test_extras_that_say_nothing_are_no_extras() -> None:
    options = {"include_usage": False, "include_obfuscation": False}
    assert decode(store=False, modalities=["text"], service_tier="auto", stream_options=options) == decode()


def test_case_14_stop_may_be_a_string() -> None:
    assert decode(stop="END").stop == ("END",)
    assert refused(stop=["a", ""]).param == "stop"
    assert refused(stop=["a", 1]).param == "stop[1]"


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"reasoning_effort": "none"}, Reasoning(effort="none")),
        ({"reasoning": {"effort": "low"}}, Reasoning(effort="low")),
        ({"reasoning": {"max_tokens": 2000, "enabled": True}}, Reasoning(enabled=True, budget_tokens=2000)),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Reasoning(enabled=True, budget_tokens=1024)),
        ({"thinking": {"type": "adaptive"}}, Reasoning(enabled=True, adaptive=True)),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
    ],
)
def test_case_11_thinking_is_asked_for_in_any_of_the_usual_ways(fields: JsonObject, reasoning: Reasoning) -> None:
    assert decode(**fields).reasoning == reasoning


def test_case_19_response_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    spec = {"name": "answer", "schema": schema, "strict": True, "description": "d"}
    wanted = decode(response_format={"type": "json_schema", "json_schema": spec}).response_format
    assert wanted == ResponseFormat("json_schema", schema, "answer", "d", True)
    assert decode(response_format={"type": "json_object"}).response_format == ResponseFormat("json_object")
    assert decode(response_format={"type": "text"}).response_format == ResponseFormat("text")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"seed": 1.5}, "seed"),
        ({"seed": True}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"logit_bias": {"1": "x"}}, "logit_bias.1"),
        ({"logprobs": 1}, "logprobs"),
        ({"stream": "true"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"thinking": {"type": "loud"}}, "thinking.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format.json_schema.schema"),
        ({"metadata": []}, "metadata"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tools": [WEATHER], "functions": [{"name": "f"}]}, "functions"),
        ({"tools": [WEATHER], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "nope"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_a_wrong_field_is_a_400_naming_its_path(fields: JsonObject, param: str) -> None:
    assert refused(**fields).param == param
