"""Tools and tool choice (translation cases 7, 20, 23)."""

from typing import Any

import pytest
from tests.wire.gemini.judge import DROP, FIND, LOOK, OBJECT, ask, encoded, refused, sent

from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import (
    Tool,
    ToolChoice,
)


class TestToolChoice:
    def chosen(self, choice: ToolChoice | None, **fields: Any) -> tuple[list[str], JsonObject]:
        body = sent(ask(tools=(LOOK, FIND), tool_choice=choice, **fields))
        return [tool["name"] for tool in body["tools"][0]["functionDeclarations"]], body.get("toolConfig", {})

    @pytest.mark.parametrize(
        ("choice", "wanted"),
        [
            (None, {}),
            (ToolChoice("auto"), {}),
            (ToolChoice("none"), {"functionCallingConfig": {"mode": "NONE"}}),
            (ToolChoice("required"), {"functionCallingConfig": {"mode": "ANY"}}),
            (ToolChoice("named", "find"), {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["find"]}}),
            (
                ToolChoice("required", allowed=("look",)),
                {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
            ),
        ],
    )
    def test_case_07_modes(self, choice: ToolChoice | None, wanted: JsonObject) -> None:
        assert self.chosen(choice) == (["look", "find"], wanted)

    def test_case_07_allowed_tools_under_auto_are_the_only_ones_sent(self) -> None:
        assert self.chosen(ToolChoice("auto", allowed=("find",))) == (["find"], {})

    def test_case_07_an_unknown_name_is_a_400(self) -> None:
        assert "'nope'" in refused(ask(tools=(LOOK,), tool_choice=ToolChoice("named", "nope"))).message
        assert "'nope'" in refused(ask(tools=(LOOK,), tool_choice=ToolChoice("auto", allowed=("nope",)))).message

    def test_case_07_serial_calls_cannot_be_promised(self) -> None:
        assert refused(ask(tools=(LOOK,), parallel_tool_calls=False)).param == "parallel_tool_calls"
        assert encoded(ask(tools=(LOOK,), parallel_tool_calls=False), DROP)[0].dropped == ("parallel_tool_calls",)
        assert self.chosen(None, parallel_tool_calls=True)[1] == {}

    def test_strict_tools_are_validated_natively(self) -> None:
        body = sent(ask(tools=(Tool("f", None, OBJECT, strict=True),)))
        assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


class TestTools:
    def test_case_20_parameters_take_the_form_that_keeps_most(self) -> None:
        free = {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}}
        unique = {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}}
        how, body = encoded(ask(tools=(LOOK, Tool("free", None, free), Tool("unique", None, unique), Tool("bare"))))
        look, free_form, lossy, bare = body["tools"][0]["functionDeclarations"]
        assert look["parameters"]["properties"] == {"q": {"type": "STRING"}} and look["description"] == "Looks."
        assert free_form["parametersJsonSchema"] == free
        assert "uniqueItems" not in str(lossy) and how.dropped == ("tools.unique.properties.l.uniqueItems",)
        assert bare == {"name": "bare"}

    @pytest.mark.parametrize(
        ("raw", "wanted"),
        [
            ({"googleSearch": {}}, {"googleSearch": {}}),
            ({"google_search": {}}, {"googleSearch": {}}),
            ({"type": "google_search"}, {"googleSearch": {}}),
            ({"type": "code_execution"}, {"codeExecution": {}}),
            (
                {"type": "file_search", "file_search_store_names": ["s"]},
                {"fileSearch": {"fileSearchStoreNames": ["s"]}},
            ),
        ],
    )
    def test_googles_own_tools_go_through(self, raw: JsonObject, wanted: JsonObject) -> None:
        assert sent(ask(tools=(Tool("", raw=raw),)))["tools"] == [wanted]

    def test_own_and_googles_tools_together(self) -> None:
        body = sent(ask(tools=(LOOK, Tool("", raw={"googleSearch": {}}))))
        assert len(body["tools"]) == 2 and body["toolConfig"] == {"includeServerSideToolInvocations": True}

    def test_case_23_another_providers_tool_is_refused_by_name(self) -> None:
        tool = Tool("web_search", dialect="messages", raw={"type": "web_search_20250305", "name": "web_search"})
        assert refused(ask(tools=(tool,))).param == "tools.web_search"
        assert "tools" not in sent(ask(tools=(tool,)), DROP)
