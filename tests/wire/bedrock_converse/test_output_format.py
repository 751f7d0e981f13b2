import json
from typing import Any

import pytest
from tests.wire.bedrock_converse.judge import CLAUDE_45, GPT_OSS, HELLO, LLAMA, sent, target

from pllm.core.errors import GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.bedrock_converse import upstream
from pllm.wire.neutral import Request, ResponseFormat

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"b": {"$ref": "#/$defs/b"}, "a": {"type": "string", "maxLength": 3}},
    "required": ["b", "a"],
    "$defs": {"b": {"type": "integer"}},
}
WANTED = ResponseFormat("json_schema", SCHEMA, "thing", "a thing")


def asked(wanted: ResponseFormat) -> Request:
    return Request("m", HELLO, max_tokens=9, response_format=wanted)


def test_case_19_a_schema_is_native_where_the_model_has_it() -> None:
    body = sent(asked(WANTED), target(CLAUDE_45))
    described = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (described["name"], described["description"]) == ("thing", "a thing")
    assert "toolConfig" not in body
    encoded = upstream.encode(asked(WANTED), target(CLAUDE_45))
    assert (encoded.hidden_tool, encoded.emulated) == (None, ())


def test_case_20_the_native_schema_is_inlined_closed_and_keeps_its_order() -> None:
    body = sent(asked(WANTED), target(CLAUDE_45))
    schema = json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
    assert schema == {
        "type": "object",
        "properties": {"b": {"type": "integer"}, "a": {"type": "string"}},
        "required": ["b", "a"],
        "additionalProperties": False,
    }
    assert list(schema["properties"]) == ["b", "a"]
    lost = upstream.encode(asked(WANTED), target(CLAUDE_45)).dropped
    assert lost == ("response_format.json_schema.schema.properties.a.maxLength",)


def test_case_19_elsewhere_a_hidden_tool_imitates_it_and_the_client_is_told() -> None:
    encoded = upstream.encode(asked(WANTED), target(GPT_OSS))
    assert encoded.emulated == ("response_format",)
    (entry,) = sent(asked(WANTED), target(GPT_OSS))["toolConfig"]["tools"]
    assert entry["toolSpec"]["name"] == encoded.hidden_tool
    assert entry["toolSpec"]["inputSchema"]["json"]["properties"]["a"] == {"type": "string", "maxLength": 3}
    assert entry["toolSpec"]["description"].endswith("a thing")


@pytest.mark.parametrize("profile", [CLAUDE_45, GPT_OSS])
def test_case_19_json_object_has_no_schema_and_is_imitated_everywhere(profile: ModelProfile) -> None:
    (entry,) = sent(asked(ResponseFormat("json_object")), target(profile))["toolConfig"]["tools"]
    assert entry["toolSpec"]["inputSchema"]["json"]["additionalProperties"] is True


def test_case_19_text_is_what_happens_anyway() -> None:
    body = sent(asked(ResponseFormat("text")), target(GPT_OSS))
    assert "toolConfig" not in body and "outputConfig" not in body


@pytest.mark.parametrize("profile", [LLAMA, ModelProfile(structured_output="tool", supports_tools=False)])
def test_case_19_a_model_that_can_do_neither_is_a_400(profile: ModelProfile) -> None:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(asked(WANTED), target(profile))
    assert caught.value.param == "response_format"
    assert "response_format" in upstream.encode(asked(WANTED), target(profile, drop=True)).dropped


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (None, "missing"),
        ({"type": "array"}, "object"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, "recursive"),
    ],
)
def test_case_20_a_schema_that_cannot_be_sent_is_a_400(schema: Any, reason: str) -> None:
    with pytest.raises(GatewayError, match=reason) as caught:
        upstream.encode(asked(ResponseFormat("json_schema", schema)), target(CLAUDE_45))
    assert caught.value.param == "response_format.json_schema.schema"
