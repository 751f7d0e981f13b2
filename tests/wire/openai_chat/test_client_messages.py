"""A Chat client's messages, calls and parts in the neutral form."""

from typing import Any

import pytest
from tests.wire.openai_chat.client_asked import USER, WEATHER, decode, refused
from tests.wire.openai_chat.recordings import REQUESTS, Recorded, named, needs_recordings

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Url,
)
from pllm.wire.openai_chat import client

TIME: JsonObject = {"type": "function", "function": {"name": "time"}}


def assistant(**fields: Any) -> JsonObject:
    return {"role": "assistant", **fields}


def call(name: str = "weather", arguments: Any = "{}", call_id: str = "c1", **fields: Any) -> JsonObject:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def test_case_08_leading_system_and_developer_messages_are_hoisted_in_order_with_their_marks() -> None:
    marked = [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral", "ttl": "1h"}}, {"type": "text", "text": "c"}]
    request = decode({"role": "system", "content": "a"}, {"role": "developer", "content": marked}, USER)
    assert request.system == (Text("a"), Text("b", CacheMark("1h")), Text("c"))
    assert [message.role for message in request.messages] == ["user"]


def test_case_08_a_later_system_message_keeps_its_place() -> None:
    request = decode({"role": "system", "content": "a"}, USER, {"role": "developer", "content": "b"}, USER)
    assert request.system == (Text("a"),)
    assert request.messages[1] == Message("system", (Text("b"),), "messages[2]")


def test_case_02_empty_and_null_arguments_are_an_empty_object() -> None:
    for arguments in ("", None, "  ", "{}"):
        request = decode(USER, assistant(content=None, tool_calls=[call(arguments=arguments)]))
        assert request.messages[1].parts[0] == ToolCall("c1", "weather", "{}")


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "NaN", '"x"', 3])
def test_case_02_malformed_arguments_are_a_400_naming_the_message(arguments: object) -> None:
    error = refused(USER, assistant(tool_calls=[call(), call(arguments=arguments, call_id="c2")]))
    assert error.param == "messages[1].tool_calls[1].function.arguments"


def test_case_02_arguments_keep_their_text_to_the_letter() -> None:
    text = '{ "b":1.0, "a": "\\u00e9" }'
    parts = decode(USER, assistant(tool_calls=[call(arguments=text)])).messages[1].parts
    assert parts == (ToolCall("c1", "weather", text),)


def test_case_03_tool_messages_are_results_in_user_turns() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    told = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "72"}, image], "is_error": True}
    request = decode(USER, assistant(tool_calls=[call()]), told)
    content = (Text("72"), Image(Url("https://example.org/a.png")))
    assert request.messages[2] == Message("user", (ToolResult("c1", content, True),), "messages[2]")


def test_case_04_text_beside_a_tool_call_is_kept() -> None:
    parts = [{"type": "text", "text": "Let me "}, {"type": "text", "text": "look."}]
    request = decode(USER, assistant(content=parts, tool_calls=[call()]))
    assert request.messages[1].parts == (Text("Let me "), Text("look."), ToolCall("c1", "weather"))


def test_legacy_functions_are_tools_and_their_results_find_their_calls() -> None:
    said = assistant(content=None, function_call={"name": "f", "arguments": '{"a":1}'})
    told = {"role": "function", "name": "f", "content": "1"}
    request = decode(USER, said, told, functions=[{"name": "f"}], function_call={"name": "f"})
    made = request.messages[1].parts[0]
    assert isinstance(made, ToolCall)
    assert request.messages[2].parts == (ToolResult(made.id, (Text("1"),), name="f"),)
    assert request.tools == (Tool("f"),)
    assert request.tool_choice == ToolChoice("named", "f")
    assert request.echo == {"functions": True}


def test_case_07_tool_choices() -> None:
    tools = [WEATHER, TIME]
    only_time = {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]}
    allowed = {"type": "allowed_tools", "allowed_tools": only_time}
    for given, expected in (
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"function": {"name": "time"}}, ToolChoice("named", "time")),
        ({"type": "function", "function": {"name": "time"}}, ToolChoice("named", "time")),
        (allowed, ToolChoice("required", allowed=("time",))),
    ):
        assert decode(tools=tools, tool_choice=given).tool_choice == expected
    assert decode(tools=tools, parallel_tool_calls=False).parallel_tool_calls is False


def test_case_06_choices_about_no_tools_at_all_are_not_passed_on() -> None:
    request = decode(tool_choice="auto", parallel_tool_calls=True)
    assert (request.tool_choice, request.parallel_tool_calls) == (None, None)


def test_case_20_tools_keep_their_order_and_their_schemas_key_order() -> None:
    schema = {"type": "object", "properties": {"z": {}, "a": {}}, "required": ["z"]}
    tools = [{"type": "function", "function": {"name": "b", "parameters": schema, "strict": True}}, TIME]
    request = decode(tools=tools)
    assert request.tools == (Tool("b", None, schema, True), Tool("time"))
    assert list(request.tools[0].parameters or {}) == ["type", "properties", "required"]


def test_custom_tools_and_their_calls_stay_within_the_dialect() -> None:
    tool = {"type": "custom", "custom": {"name": "code"}}
    made = {"id": "c1", "type": "custom", "custom": {"name": "code", "input": "x"}}
    request = decode(USER, assistant(tool_calls=[made]), tools=[tool])
    assert request.tools == (Tool("code", dialect="chat", raw=tool),)
    assert request.messages[1].parts == (Opaque("chat", "custom_tool_call", made),)


def test_case_10_thinking_comes_back_with_its_proof() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "blob"},
        {"type": "thinking", "thinking": "", "signature": "g", "origin": "gemini", "id": "i1"},
    ]
    said = assistant(content="x", reasoning_content="hm", thinking_blocks=blocks, tool_calls=[call()])
    assert decode(USER, said).messages[1].parts == (
        Thinking("hm", "sig", None, "anthropic"),
        Thinking("", None, "blob", "anthropic"),
        Thinking("", "g", None, "gemini", "i1"),
        Text("x"),
        ToolCall("c1", "weather"),
    )


def test_case_10_thinking_without_proof_is_just_thinking() -> None:
    assert decode(USER, assistant(content="x", reasoning_content="hm")).messages[1].parts == (Thinking("hm"), Text("x"))
    assert decode(USER, assistant(content="x", reasoning="hm")).messages[1].parts == (Thinking("hm"), Text("x"))


def test_case_12_geminis_thought_signature_comes_back() -> None:
    extra = {"google": {"thought_signature": "sig"}}
    parts = decode(USER, assistant(tool_calls=[call(extra_content=extra), call(call_id="c2")])).messages[1].parts
    assert parts == (ToolCall("c1", "weather", "{}", "sig", "gemini"), ToolCall("c2", "weather"))


def test_blocks_of_other_dialects_come_back() -> None:
    block = {"dialect": "messages", "type": "server_tool_use", "block": {"id": "s"}}
    assert decode(USER, assistant(content="x", provider_blocks=[block])).messages[1].parts[0] == Opaque(
        "messages", "server_tool_use", {"id": "s"}
    )


def test_refusals_audio_and_names_are_kept() -> None:
    request = decode({**USER, "name": "ann"}, assistant(refusal="No.", audio={"id": "a1"}))
    assert request.messages[0].name == "ann"
    assert request.messages[1].parts == (Refusal("No."), Opaque("chat", "audio", {"id": "a1"}))


def test_case_21_media_in_all_forms() -> None:
    parts: list[JsonObject] = [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/PNG;charset=x;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "data:text/plain,h%20i"}},
        {"type": "input_audio", "input_audio": {"data": "aGk", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        {"type": "file", "file": {"file_data": "aG\nk="}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "video_url", "video_url": {"url": "https://example.org/v"}},
    ]
    assert decode({"role": "user", "content": parts}).messages[0].parts == (
        Image(Url("https://example.org/a.png"), "low"),
        Image(Inline(b"hi", "image/png")),
        Image(Inline(b"h i", "text/plain")),
        Audio(Inline(b"hi", "audio/mpeg"), "mp3"),
        Document(Inline(b"hi", "application/pdf"), "a.pdf"),
        Document(Inline(b"hi", "application/pdf")),
        Document(FileId("f1")),
        Opaque("chat", "video_url", parts[-1]),
    )


def test_case_22_cache_marks_are_read_wherever_clients_put_them() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    part = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}
    told = {"role": "tool", "tool_call_id": "c1", "content": "r", **mark}
    request = decode(
        {"role": "user", "content": [part, {"type": "text", "text": "b", **mark}]},
        assistant(tool_calls=[call()]),
        told,
        tools=[{**WEATHER, **mark}],
    )
    assert request.messages[0].parts == (Text("a", CacheMark("1h")), Text("b", CacheMark("5m")))
    assert request.messages[2].parts == (ToolResult("c1", (Text("r"),), cache=CacheMark("5m")),)
    assert request.tools[0].cache == CacheMark("5m")


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"content": "x"}, "role"),
        ({"role": "robot", "content": "x"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": 3}, "content"),
        ({"role": "user", "content": ["x"]}, "content[0]"),
        ({"role": "system", "content": [{"type": "file", "file": {"file_id": "f"}}]}, "content[0].type"),
        ({"role": "tool", "content": "x"}, "tool_call_id"),
        ({"role": "function", "content": "x"}, "name"),
        (assistant(tool_calls="x"), "tool_calls"),
        (assistant(tool_calls=[{"type": "function", "function": {"name": "f"}}]), "tool_calls[0].id"),
        (assistant(tool_calls=[{"id": "c", "type": "function"}]), "tool_calls[0].function"),
        (assistant(thinking_blocks=[{"type": "idea"}]), "thinking_blocks[0].type"),
        (assistant(thinking_blocks=[{"type": "redacted_thinking"}]), "thinking_blocks[0].data"),
    ],
)
def test_a_wrong_message_is_a_400_naming_its_path(message: JsonObject, param: str) -> None:
    assert refused(USER, message).param == f"messages[1].{param}"


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"text": "x"}, ".type"),
        ({"type": "text"}, ".text"),
        ({"type": "image_url", "image_url": {}}, ".image_url.url"),
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, ".image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,@@"}}, ".image_url.url"),
        ({"type": "input_audio", "input_audio": {"data": "aGk="}}, ".input_audio.format"),
        ({"type": "input_audio", "input_audio": {"data": "*", "format": "wav"}}, ".input_audio.data"),
        ({"type": "file", "file": {}}, ".file"),
        ({"type": "text", "text": "x", "cache_control": {"type": "x"}}, ".cache_control"),
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2d"}}, ".cache_control"),
    ],
)
def test_a_wrong_part_is_a_400_naming_its_path(part: JsonObject, param: str) -> None:
    assert refused({"role": "user", "content": [part]}).param == f"messages[0].content[0]{param}"


def test_case_21_a_tool_result_does_not_swallow_what_it_cannot_hold() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    error = refused(USER, assistant(tool_calls=[call()]), {"role": "tool", "tool_call_id": "c1", "content": [audio]})
    assert error.param == "messages[2].content[0]"


def test_no_messages_is_a_400() -> None:
    wrong: list[Any] = [[], None, "x", {}]
    for messages in wrong:
        with pytest.raises(GatewayError) as caught:
            client.decode({"model": "m", "messages": messages})
        assert caught.value.param == "messages"


@needs_recordings
@named(REQUESTS)
def test_every_recorded_request_is_understood(recorded: Recorded) -> None:
    request = client.decode({"model": "m", **recorded.request})
    roles = [message["role"] for message in recorded.request["messages"]]
    leading = next((i for i, role in enumerate(roles) if role not in ("system", "developer")), len(roles))
    assert len(request.messages) == len(roles) - leading
    assert len(request.tools) == len(recorded.request.get("tools") or ())


def test_options_parts_and_marks_that_are_seldom_seen() -> None:
    request = decode(
        {**USER, "cache_control": {"type": "ephemeral"}},
        assistant(content=[{"type": "refusal", "refusal": "No."}], cache_control={"type": "ephemeral"}),
        {"role": "system", "content": "Be brief.", "name": "boss"},
        stream_options={"include_obfuscation": True},
    )
    assert request.messages[0].parts == (Text("Hi", CacheMark()),)
    assert request.messages[1].parts == (Refusal("No."),)
    assert request.messages[2] == Message("system", (Text("Be brief."),), "messages[2]", "boss")
    assert request.extras == {"stream_options": {"include_obfuscation": True}}
