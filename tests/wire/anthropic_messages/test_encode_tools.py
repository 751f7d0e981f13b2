"""Tools and the choice among them, as Anthropic wants them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.wire.anthropic_messages.encoded import CLOCK, LOOP, WEATHER, refusal
from tests.wire.anthropic_messages.judge import ADAPTIVE, ask, encoded, sent, target

from pllm.core.profile import ModelProfile
from pllm.wire.neutral import CacheMark, Tool, ToolChoice


def test_case_06_tools_are_rebuilt_from_history_and_may_not_be_called() -> None:
    result = encoded(ask(*LOOP))
    body = json.loads(result.request.body)
    assert [tool["name"] for tool in body["tools"]] == ["weather", "clock"]
    assert body["tool_choice"] == {"type": "none"}
    assert result.emulated == ("tools",)


def test_case_06_a_choice_among_no_tools_never_reaches_the_provider() -> None:
    body = sent(ask(tool_choice=ToolChoice("auto"), parallel_tool_calls=False))
    assert "tool_choice" not in body and "tools" not in body
    assert refusal(ask(tool_choice=ToolChoice("required"))).param == "tool_choice"


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), None, {"type": "any"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("named", "clock"), None, {"type": "tool", "name": "clock"}),
    ],
)
def test_case_07_every_tool_choice_has_its_anthropic_form(
    choice: ToolChoice | None, parallel: bool | None, expected: dict[str, Any] | None
) -> None:
    body = sent(ask(tools=(WEATHER, CLOCK), tool_choice=choice, parallel_tool_calls=parallel))
    assert body.get("tool_choice") == expected
    assert [tool["name"] for tool in body["tools"]] == ["weather", "clock"]


def test_case_07_allowed_tools_filter_and_unknown_names_are_refused() -> None:
    body = sent(ask(tools=(WEATHER, CLOCK), tool_choice=ToolChoice("required", allowed=("clock",))))
    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]) == (["clock"], {"type": "any"})
    assert "'zz'" in refusal(ask(tools=(CLOCK,), tool_choice=ToolChoice("named", "zz"))).message
    cannot = ModelProfile(supports_tool_choice_any=False)
    assert refusal(ask(tools=(CLOCK,), tool_choice=ToolChoice("required")), profile=cannot).param == "tool_choice"


def test_case_20_missing_schemas_become_empty_objects_and_key_order_is_kept() -> None:
    ordered = Tool("t", parameters={"properties": {"z": {"$ref": "#/$defs/Z"}, "a": {}}, "$defs": {"Z": {"type": "string"}}})
    tools = sent(ask(tools=(ordered, CLOCK)))["tools"]
    assert list(tools[0]["input_schema"]["properties"]) == ["z", "a"]
    assert tools[0]["input_schema"]["$defs"] == {"Z": {"type": "string"}}
    assert tools[1]["input_schema"] == {"type": "object", "properties": {}}


def test_case_20_strict_tools_are_closed_on_models_known_to_compile_them() -> None:
    strict = replace(WEATHER, strict=True)
    tool = sent(ask(tools=(strict,)), target(ADAPTIVE))["tools"][0]
    assert tool["strict"] is True and tool["input_schema"]["additionalProperties"] is False
    result = encoded(ask(tools=(strict,)))
    assert "strict" not in json.loads(result.request.body)["tools"][0]
    assert result.dropped == ("tools[0].strict",)


def test_case_23_other_dialects_tools_are_refused_or_dropped_and_our_own_pass() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    raw = Tool("web_search", dialect="messages", raw=search, cache=CacheMark())
    assert sent(ask(tools=(raw,)))["tools"] == [{**search, "cache_control": {"type": "ephemeral"}}]
    foreign = Tool("file_search", dialect="responses", raw={"type": "file_search"})
    assert refusal(ask(tools=(foreign,))).param == "tools[0]"
    assert "tools" not in sent(ask(tools=(foreign,)), target(drop_unsupported=True))
    assert refusal(ask(tools=(CLOCK,)), profile=ModelProfile(supports_tools=False)).param == "tools"
