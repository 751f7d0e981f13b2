"""CountTokens, botocore's model being the judge."""

import json
from typing import Any

import pytest
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from tests.wire.bedrock_converse.judge import CLAUDE_45, HELLO, _as_params, assistant, operation, service_model, target, user

from pllm.core.errors import GatewayError
from pllm.wire.bedrock_converse import upstream
from pllm.wire.bedrock_converse.count_tokens import foundation_model
from pllm.wire.neutral import Image, Inline, Reasoning, Request, Text, Tool, ToolCall, ToolResult, Url

WEATHER = Tool("get_weather", "Weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


APPLICATION = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/a1"
MODEL = "anthropic.claude-sonnet-4-20250514-v1:0"


def counted(request: Request) -> dict[str, Any]:
    wire = upstream.encode_count(request, target(CLAUDE_45, MODEL))
    body: dict[str, Any] = json.loads(wire.body)
    count = operation("CountTokens")
    params = {**_as_params(body, count.input_shape), "modelId": MODEL}
    report = ParamValidator().validate(params, count.input_shape)
    assert not report.has_errors(), report.generate_report()
    sent = create_serializer(service_model().metadata["protocol"]).serialize_to_request(params, count)
    assert (sent["method"], sent["url_path"], json.loads(sent["body"])) == ("POST", f"/{wire.path}", body)
    converse: dict[str, Any] = body["input"]["converse"]
    return converse


def test_what_is_counted_is_what_would_be_sent() -> None:
    turns = (
        user("look", Image(Inline(b"\x89PNG\r\n\x1a\n", "image/png"))),
        assistant(ToolCall("c1", "get_weather")),
        user(ToolResult("c1", (Text("rain"),)), path="messages[2]"),
    )
    request = Request("m", turns, system=(Text("Be brief."),), tools=(WEATHER,), stream=True, temperature=0.5)
    converse = counted(request)
    whole = json.loads(upstream.encode(request, target(CLAUDE_45, MODEL)).request.body)
    assert set(converse) == {"messages", "system", "toolConfig"}
    assert all(converse[name] == whole[name] for name in converse)


def test_thinking_is_counted_too() -> None:
    request = Request("m", HELLO, reasoning=Reasoning(True, budget_tokens=2000), max_tokens=4000)
    assert "thinking" in json.dumps(counted(request)["additionalModelRequestFields"])


@pytest.mark.parametrize(
    ("model", "counted_as"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("global.anthropic.claude-opus-4-8", "anthropic.claude-opus-4-8"),
        ("us-gov.anthropic.claude-x", "anthropic.claude-x"),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        (
            "arn:aws:bedrock:eu-west-1:1:application-inference-profile/a1",
            "arn:aws:bedrock:eu-west-1:1:application-inference-profile/a1",
        ),
    ],
)
def test_an_inference_profile_is_counted_as_its_foundation_model(model: str, counted_as: str) -> None:
    assert foundation_model(model) == counted_as


def test_the_count_is_read() -> None:
    assert upstream.decode_count(b'{"inputTokens": 375}') == 375


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"inputTokens": true}', b'{"inputTokens": -1}'])
def test_an_answer_without_a_count_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        upstream.decode_count(body)
    assert caught.value.status == 502


def test_what_converse_cannot_carry_cannot_be_counted() -> None:
    with pytest.raises(GatewayError) as caught:
        upstream.encode_count(Request("m", (user(Image(Url("https://x.example/a.png"))),)), target())
    assert caught.value.status == 400
