"""Whole requests: where they go, and that nothing the gateway sends is refused by botocore's model of Converse."""

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.bedrock_converse.judge import CLAUDE_45, CLAUDE_46, GPT_OSS, HELLO, LLAMA, NOVA_2, judge, sent, target

from pllm.core.errors import GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.bedrock_converse import upstream
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Document,
    Image,
    Inline,
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Url,
)
from pllm.wire.translator import UpstreamWire

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"


def test_the_wire_is_an_upstream_wire_that_needs_bytes() -> None:
    wire: UpstreamWire = upstream
    assert wire.dialect == "converse"
    assert wire.needs_bytes == {"image", "document", "audio"}


@pytest.mark.parametrize("model", ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", ARN, "meta.llama3-70b-instruct-v1:0"])
@pytest.mark.parametrize("stream", [False, True])
def test_model_ids_and_arns_are_one_percent_encoded_step_of_the_path(model: str, stream: bool) -> None:
    encoded = upstream.encode(Request("m", HELLO, max_tokens=9, stream=stream), target(CLAUDE_45, model))
    judge(encoded)
    head, step, operation = encoded.request.path.split("/")
    assert (head, unquote(step), operation) == ("model", model, "converse-stream" if stream else "converse")
    assert encoded.request.headers["accept"] == ("application/vnd.amazon.eventstream" if stream else "application/json")


def test_a_plain_question_is_this_body() -> None:
    request = Request("m", HELLO, system=(Text("Be kind."),), temperature=0.5, max_tokens=9)
    assert sent(request, target(CLAUDE_45)) == {
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "system": [{"text": "Be kind."}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5},
    }


# --- Whatever a client says ---

marks = st.one_of(st.none(), st.sampled_from([CacheMark("5m"), CacheMark("1h")]))
words = st.text(max_size=12)
images = st.builds(
    Image,
    st.sampled_from([Inline(b"\x89PNG\r\n\x1a\nx", "image/png"), Url("s3://bucket/a.webp"), Inline(b"BM", "image/bmp")]),
    cache=marks,
)
documents = st.builds(
    Document, st.sampled_from([Inline(b"%PDF-1", "application/pdf"), Inline(b"a", "text/plain")]), words, marks, st.booleans()
)
audios = st.just(Audio(Inline(b"RIFF", "audio/wav"), "wav"))
texts = st.builds(Text, words, marks)
thoughts = st.builds(
    Thinking,
    words,
    st.one_of(st.none(), st.just("c2ln")),
    st.one_of(st.none(), st.just("ZGF0")),
    st.sampled_from(["anthropic", "gemini", "", "converse"]),
)
call_ids = st.one_of(st.sampled_from(["call_1", "toolu_2"]), st.text(min_size=1, max_size=70))
tool_names = st.sampled_from(["get_weather", "get_time", "old"])
arguments = st.sampled_from(["{}", '{"a":{"b":[1,null]}}', "", '{"ü":1}'])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    said: list[Message] = []
    for number in range(draw(st.integers(0, 4))):
        path = f"messages[{number}]"
        match draw(st.sampled_from(["user", "assistant", "system", "tools"])):
            case "user":
                parts = draw(st.lists(st.one_of(texts, images, documents, audios), max_size=3))
                said.append(Message("user", tuple(parts), path))
            case "assistant":
                said.append(Message("assistant", tuple(draw(st.lists(st.one_of(texts, thoughts), max_size=3))), path))
            case "system":
                said.append(Message("system", (draw(texts),), path))
            case _:
                calls = draw(
                    st.lists(st.builds(ToolCall, call_ids, tool_names, arguments, cache=marks), min_size=1, max_size=2)
                )
                content = st.lists(st.one_of(texts, images, documents), max_size=2).map(tuple)
                results = [ToolResult(call.id, draw(content), draw(st.booleans()), cache=draw(marks)) for call in calls]
                said += [Message("assistant", tuple(calls), path), Message("user", tuple(results), path)]
    return tuple(said)


schemas = st.sampled_from(
    [
        None,
        {},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": ["string", "null"]}}},
    ]
)
tools = st.lists(
    st.builds(Tool, tool_names, st.one_of(st.none(), words), schemas, st.sampled_from([None, True]), marks),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)
choices = st.sampled_from(
    [None, ToolChoice("auto"), ToolChoice("none"), ToolChoice("required"), ToolChoice("named", "get_time")]
)
formats = st.one_of(
    st.none(),
    st.just(ResponseFormat("json_object")),
    st.builds(ResponseFormat, st.just("json_schema"), schemas, st.sampled_from([None, "city", "not a name!"])),
)
reasonings = st.one_of(
    st.none(),
    st.builds(Reasoning, st.sampled_from([None, False]), st.sampled_from(["none", "minimal", "high"])),
    st.builds(Reasoning, st.just(True), st.none(), st.sampled_from([1024, 50_000])),
)
extras = st.sampled_from([{}, {"performance_config": {"latency": "optimized"}}, {"additionalModelRequestFields": {"k": 1}}])
profiles = st.sampled_from([ModelProfile(), CLAUDE_45, CLAUDE_46, GPT_OSS, NOVA_2, LLAMA])

requests = st.builds(
    Request,
    st.just("m"),
    conversations(),
    st.lists(texts, max_size=2).map(tuple),
    tools,
    choices,
    st.sampled_from([None, True, False]),
    st.sampled_from([None, 1, 3000]),
    st.sampled_from([None, 0.0, 1, 1.7]),
    st.sampled_from([None, 0.5, 1.0]),
    st.sampled_from([None, 40]),
    st.lists(st.text(min_size=1, max_size=4), max_size=3).map(tuple),
    user=st.one_of(st.none(), words),
    reasoning=reasonings,
    response_format=formats,
    service_tier=st.sampled_from([None, "auto", "flex"]),
    stream=st.booleans(),
    extras=extras,
)


@settings(deadline=None, max_examples=250)
@given(requests, profiles, st.booleans(), st.booleans())
def test_everything_sent_is_valid_to_botocore_and_everything_else_is_a_400(
    request: Request, profile: ModelProfile, drop: bool, repair: bool
) -> None:
    try:
        encoded = upstream.encode(request, target(profile, drop=drop, repair=repair))
    except GatewayError as error:
        assert error.status == 400
        assert error.param
        return
    body = judge(encoded)
    assert_well_formed(body)
    assert encoded == upstream.encode(request, target(profile, drop=drop, repair=repair))


def assert_well_formed(body: dict[str, Any]) -> None:
    """What botocore does not check and Bedrock does."""
    roles = [turn["role"] for turn in body["messages"]]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    points = 0
    for turn in body["messages"]:
        kinds = [next(iter(block)) for block in turn["content"]]
        assert kinds
        assert "document" not in kinds or "text" in kinds
        points += kinds.count("cachePoint")
        assert kinds[0] != "cachePoint"
    tool_blocks = any({"toolUse", "toolResult"} & set(block) for turn in body["messages"] for block in turn["content"])
    assert not tool_blocks or "toolConfig" in body
    assert body["inferenceConfig"]["maxTokens"] >= 1
    budget = body.get("additionalModelRequestFields", {}).get("thinking", {}).get("budget_tokens")
    assert budget is None or 1024 <= budget < body["inferenceConfig"]["maxTokens"]
    documents = [block["document"]["name"] for turn in body["messages"] for block in turn["content"] if "document" in block]
    assert len(set(documents)) == len(documents)
    assert points <= 4
