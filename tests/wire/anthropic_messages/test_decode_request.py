"""A Messages client's request in the neutral form, and what is wrong with it named by its path."""

import base64
import json
from typing import Any

import pytest
from anthropic import Anthropic
from httpx2 import Client, MockTransport, Request, Response
from tests.wire.anthropic_messages.judge import sent, target

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.anthropic_messages import client, upstream
from pllm.wire.anthropic_messages.seal import Sealed, is_foreign, seal, unseal
from pllm.wire.neutral import (
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Url,
)
from pllm.wire.translator import ClientWire

PNG = base64.b64encode(b"\x89PNG").decode()


def body(*content: Any, **fields: Any) -> JsonObject:
    messages = [{"role": "user", "content": list(content) or "hi"}]
    return {"model": "claude", "max_tokens": 100, "messages": messages, **fields}


def parts(*content: Any) -> tuple[Part, ...]:
    return client.decode(body(*content)).messages[0].parts


def complaint(wrong: JsonObject) -> str | None:
    with pytest.raises(GatewayError) as caught:
        client.decode(wrong)
    assert caught.value.status == 400
    return caught.value.param


def test_a_plain_request_says_what_it_says() -> None:
    wire: ClientWire = client
    request = wire.decode(
        body(
            system="Be brief.",
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            stop_sequences=["END"],
            stream=True,
            metadata={"user_id": "u"},
            service_tier="standard_only",
        )
    )
    assert (request.model, request.max_tokens, request.stream, request.dialect) == ("claude", 100, True, "messages")
    assert (request.temperature, request.top_p, request.top_k, request.stop) == (0.5, 0.9, 40, ("END",))
    assert (request.system, request.user, request.service_tier) == ((Text("Be brief."),), "u", "default")
    assert request.messages[0].parts == (Text("hi"),) and request.messages[0].path == "messages[0]"
    assert request.extras == {}


def test_case_02_an_input_may_be_null_or_empty() -> None:
    inputs: tuple[Any, ...] = (None, "", {})
    for given in inputs:
        assert parts({"type": "tool_use", "id": "t", "name": "f", "input": given}) == (ToolCall("t", "f", "{}"),)
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"b": 1, "a": [2]}, "caller": {"type": "direct"}}
    assert parts(call) == (ToolCall("t", "f", '{"b":1,"a":[2]}'),)


def test_case_03_results_keep_errors_images_and_documents() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    rich = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}, image], "is_error": True}
    assert parts(rich) == (ToolResult("t", (Text("x"), Image(Inline(b"\x89PNG", "image/png"))), True),)
    assert parts({"type": "tool_result", "tool_use_id": "t", "content": "plain"}) == (ToolResult("t", (Text("plain"),)),)
    assert parts({"type": "tool_result", "tool_use_id": "t"}) == (ToolResult("t"),)


@pytest.mark.parametrize(
    ("given", "choice", "parallel"),
    [
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required"), False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, ToolChoice("named", "f"), True),
        ({"type": "none"}, ToolChoice("none"), None),
    ],
)
def test_case_07_tool_choices_are_understood(given: JsonObject, choice: ToolChoice, parallel: bool | None) -> None:
    request = client.decode(body(tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice=given))
    assert (request.tool_choice, request.parallel_tool_calls) == (choice, parallel)
    assert sent(request)["tool_choice"]["type"] == given["type"]


def test_case_08_system_blocks_are_hoisted_only_from_the_front() -> None:
    request = client.decode(
        body(
            system=[{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
            messages=[
                {"role": "system", "content": "b"},
                {"role": "user", "content": "hi"},
                {"role": "system", "content": [{"type": "text", "text": "c"}]},
            ],
        )
    )
    assert request.system == (Text("a", CacheMark()), Text("b"))
    assert [(message.role, message.path) for message in request.messages] == [
        ("user", "messages[1]"),
        ("system", "messages[2]"),
    ]


def test_case_10_thinking_comes_back_with_its_proof_and_its_origin() -> None:
    said = parts(
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "blob"},
        {"type": "thinking", "thinking": "bare", "signature": ""},
        {"type": "thinking", "thinking": "", "signature": seal(Sealed("signature", "gemini", "gs:1"))},
        {"type": "thinking", "thinking": "sum", "signature": seal(Sealed("redacted", "openai", "enc", "rs_1"))},
    )
    assert said == (
        Thinking("hm", "sig", origin="anthropic"),
        Thinking(redacted="blob", origin="anthropic"),
        Thinking("bare"),
        Thinking("", "gs:1", origin="gemini"),
        Thinking("sum", redacted="enc", origin="openai", id="rs_1"),
    )


def test_case_12_a_carried_call_signature_rejoins_its_call() -> None:
    carrier = {"type": "thinking", "thinking": "", "signature": seal(Sealed("call", "gemini", "abc=="))}
    calls: list[JsonObject] = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in ("a", "b")]
    first, second = parts(carrier, *calls)
    assert first == ToolCall("a", "f", "{}", "abc==", "gemini")
    assert second == ToolCall("b", "f")


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Reasoning(True, budget_tokens=2048)),
        ({"thinking": {"type": "disabled"}}, Reasoning(False)),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}},
            Reasoning(True, "high", adaptive=True, display="omitted"),
        ),
        ({"output_config": {"effort": "low"}}, Reasoning(effort="low")),
        ({}, None),
    ],
)
def test_case_11_thinking_and_effort_are_understood(fields: JsonObject, reasoning: Reasoning | None) -> None:
    assert client.decode(body(**fields)).reasoning == reasoning


@pytest.mark.parametrize("fields", [{"output_config": {"format": ...}}, {"output_format": ...}])
def test_case_19_output_formats_are_understood_in_both_spellings(fields: JsonObject) -> None:
    schema = {"type": "object", "properties": {}}
    wanted = json.loads(json.dumps(fields, default=lambda _: {"type": "json_schema", "schema": schema}))
    request = client.decode(body(**wanted))
    assert request.response_format is not None and request.response_format.schema == schema
    assert sent(request)["output_config"] == {"format": {"type": "json_schema", "schema": schema}}


def test_case_21_media_come_from_every_source() -> None:
    said = parts(
        {"type": "image", "source": {"type": "url", "url": "https://x/i"}},
        {"type": "image", "source": {"type": "file", "file_id": "f1"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
            "title": "t",
            "citations": {"enabled": True},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "content", "content": "x"}},
        {"type": "document", "source": {"type": "url", "url": "https://x/p"}, "context": "about"},
    )
    assert said[:4] == (
        Image(Url("https://x/i")),
        Image(FileId("f1"), cache=CacheMark("1h")),
        Document(Inline(b"\x89PNG", "application/pdf"), "t", citations=True),
        Document(Inline(b"words", "text/plain")),
    )
    assert all(isinstance(part, Opaque) and part.type == "document" for part in said[4:])


def test_case_23_fields_and_blocks_of_anthropics_own_are_kept_for_upstreams_that_know_them() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    search = {"type": "web_search_20250305", "name": "web_search", "cache_control": {"type": "ephemeral"}}
    request = client.decode(body(block, tools=[search], container="c", speed="fast", future={"a": 1}))
    assert request.messages[0].parts == (Opaque("messages", "server_tool_use", block),)
    assert request.tools[0].raw == {"type": "web_search_20250305", "name": "web_search"}
    assert request.tools[0].cache == CacheMark()
    assert request.extras == {"container": "c", "speed": "fast", "future": {"a": 1}}
    again = json.loads(upstream.encode(request, target()).request.body)
    assert again["messages"][0]["content"] == [block] and again["tools"] == [search]
    assert (again["container"], again["speed"], again["future"]) == ("c", "fast", {"a": 1})


def test_case_23_fields_inside_blocks_and_tools_that_nobody_else_knows_are_named_by_their_path() -> None:
    tool = {
        "name": "f",
        "input_schema": {"type": "object"},
        "defer_loading": True,
        "eager_input_streaming": True,
        "strict": None,
    }
    extras = client.decode(body({"type": "text", "text": "x", "novel": 1}, tools=[tool], output_config={"task": 2})).extras
    assert extras == {"messages[0].content[0].novel": 1, "tools[0].defer_loading": True, "output_config.task": 2}


def test_case_23_keeping_all_thinking_is_no_edit_of_the_context() -> None:
    keep = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    clear = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert client.decode(body(context_management=keep)).extras == {}
    assert client.decode(body(context_management=clear)).extras == {"context_management": clear}


def test_case_23_a_way_of_thinking_newer_than_this_wire_is_kept_as_it_is() -> None:
    between = {"type": "between_tools"}
    request = client.decode(body(thinking=between, output_config={"effort": "low"}))
    assert request.extras == {"thinking": between} and request.reasoning == Reasoning(effort="low")
    assert sent(request)["thinking"] == between


def test_case_12_a_seal_that_was_tampered_with_proves_nothing_to_anyone() -> None:
    for broken in ("pllm1:", "pllm1:x:gemini::p", "pllm1:s:gemini", "pllm1:s:gemini::"):
        assert unseal(broken) is None and is_foreign(broken)
        thought = parts({"type": "thinking", "thinking": "x", "signature": broken})
        assert thought == (Thinking("x"),)


TEXT = {"type": "text", "text": "x"}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (body(model=""), "model"),
        (body(max_tokens=None), "max_tokens"),
        (body(max_tokens=0), "max_tokens"),
        (body(max_tokens=True), "max_tokens"),
        (body(messages={}), "messages"),
        (body(messages=["x"]), "messages[0]"),
        (body(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": "user"}]), "messages[0].content"),
        (body("text"), "messages[0].content[0]"),
        (body({"text": "x"}), "messages[0].content[0].type"),
        (body({"type": "text"}), "messages[0].content[0].text"),
        (body({"type": "image"}), "messages[0].content[0].source"),
        (
            body({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%"}}),
            "messages[0].content[0].source.data",
        ),
        (body({"type": "tool_use", "id": "t", "name": "f", "input": [1]}), "messages[0].content[0].input"),
        (body({"type": "tool_result", "content": []}), "messages[0].content[0].tool_use_id"),
        (body({**TEXT, "cache_control": {"type": "ephemeral", "ttl": "2h"}}), "messages[0].content[0].cache_control"),
        (body(system=[{"type": "text", "text": 1}]), "system[0].text"),
        (body(tools=[{"input_schema": {}}]), "tools[0].name"),
        (body(tools=[{"name": "f", "input_schema": []}]), "tools[0].input_schema"),
        (body(tool_choice={"type": "maybe"}), "tool_choice.type"),
        (body(tool_choice={"type": "tool"}), "tool_choice.name"),
        (body(thinking={"type": "enabled", "budget_tokens": 5}), "thinking.budget_tokens"),
        (body(stop_sequences=[1]), "stop_sequences[0]"),
        (body(temperature="hot"), "temperature"),
        (body(stream="yes"), "stream"),
        (body(output_config={"format": {"type": "xml"}}), "output_config.format.type"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(wrong: JsonObject, path: str) -> None:
    assert complaint(wrong) == path


def test_what_the_official_sdk_sends_is_understood_and_sent_on() -> None:
    seen: list[JsonObject] = []

    def serve(request: Request) -> Response:
        seen.append(json.loads(request.content))
        return Response(200, json={"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": {}})

    with Client(transport=MockTransport(serve)) as http, Anthropic(api_key="k", http_client=http) as sdk:
        sdk.messages.create(
            model="claude",
            max_tokens=1000,
            system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            tools=[{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
            messages=[
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
            ],
        )
    again = sent(client.decode(seen[0]))
    assert again["system"] == seen[0]["system"] and again["tools"] == seen[0]["tools"]
    assert again["messages"][1] == seen[0]["messages"][1]
