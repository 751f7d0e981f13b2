"""Neutral requests as Chat bodies: valid by the official SDK's types, and honest about what was lost."""

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from tests.wire.openai_chat.judges import expect_valid_request
from tests.wire.openai_chat.recordings import REQUESTS, Recorded, named, needs_recordings

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Quirks, Target
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
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
from pllm.wire.openai_chat import client, upstream
from pllm.wire.translator import Encoded

TARGET = Target("up", "public", "openai")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "Tells the weather.", SCHEMA)


def user(*parts: Part, path: str = "messages[0]") -> Message:
    return Message("user", parts or (Text("Hi"),), path)


def assistant(*parts: Part, path: str = "messages[1]") -> Message:
    return Message("assistant", parts, path)


ASKED = (
    user(),
    assistant(Text("Let me "), Text("look."), ToolCall("c1", "weather", '{"city": "A"}'), ToolCall("c2", "weather")),
)


def target(profile: ModelProfile | None = None, quirks: Quirks | None = None, **fields: Any) -> Target:
    return Target("up", "public", "p", profile=profile or ModelProfile(), quirks=quirks or Quirks(), **fields)


def encode(*messages: Message, to: Target = TARGET, **fields: Any) -> Encoded:
    return upstream.encode(Request("public", messages or (user(),), **fields), to)


def body(encoded: Encoded, *, valid: bool = True, beyond: tuple[str, ...] = ()) -> JsonObject:
    written: JsonObject = json.loads(encoded.request.body)
    if valid:
        expect_valid_request(written, beyond)
    return written


def refused(*messages: Message, to: Target = TARGET, **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        encode(*messages, to=to, **fields)
    assert caught.value.status == 400
    return caught.value


# --- Messages -------------------------------------------------------------------------------------------------------


def test_a_plain_request_is_plain() -> None:
    encoded = encode(system=(Text("Be"), Text("brief.")), max_tokens=5, temperature=0.5)
    assert body(encoded) == {
        "model": "up",
        "messages": [{"role": "system", "content": "Be\n\nbrief."}, {"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "max_tokens": 5,
    }
    assert (encoded.request.path, encoded.request.model, encoded.request.stream) == ("chat/completions", "up", False)
    assert (encoded.dropped, encoded.emulated, encoded.hidden_tool) == ((), (), None)


def test_case_03_each_result_is_a_tool_message_and_the_users_words_follow() -> None:
    answered = user(ToolResult("c1", (Text("72"), Text("F"))), ToolResult("c2", (Text("no"),), True), Text("Go on"))
    encoded = encode(*ASKED, answered)
    assert body(encoded)["messages"][2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "72\nF"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no"},
        {"role": "user", "content": "Go on"},
    ]
    assert encoded.emulated == ("messages[0].tool_result.is_error",)


def test_case_03_images_in_a_result_go_on_in_the_user_message_behind() -> None:
    picture = Image(Inline(b"x", "image/png"))
    encoded = encode(user(), assistant(ToolCall("c1", "weather")), user(ToolResult("c1", (picture,)), Text("Well?")))
    tool, said = body(encoded)["messages"][2:]
    assert tool["content"] == "(the result is attached to the next user message)"
    assert [part["type"] for part in said["content"]] == ["text", "image_url", "text"]
    assert encoded.emulated == ("messages[0].tool_result.media",)


def test_case_04_text_beside_calls_is_joined_in_order() -> None:
    asked = body(encode(*ASKED, user(ToolResult("c1"), ToolResult("c2"))))["messages"][1]
    assert asked["content"] == "Let me look."
    assert [call["id"] for call in asked["tool_calls"]] == ["c1", "c2"]
    silent = body(encode(user(), assistant(ToolCall("c1", "weather")), user(ToolResult("c1"))))["messages"][1]
    assert silent["content"] is None


def test_case_05_orphans_are_a_400_or_mended() -> None:
    assert refused(*ASKED, user(ToolResult("c1"))).param == "messages[1]"
    assert refused(user(ToolResult("zz"))).param == "messages[0]"
    encoded = encode(*ASKED, user(ToolResult("c1", (Text("72"),))), to=target(repair_history=True))
    assert [m["role"] for m in body(encoded)["messages"]] == ["user", "assistant", "tool", "tool"]
    assert encoded.emulated[0] == "tool_result:c2"


def test_case_06_choices_about_tools_go_only_with_tools() -> None:
    written = body(encode(*ASKED, user(ToolResult("c1"), ToolResult("c2")), parallel_tool_calls=False))
    assert written.keys() == {"model", "messages"}


def test_case_08_a_later_system_message_keeps_its_place() -> None:
    later = Message("system", (Text("Now in French."),), "messages[1]")
    roles = [message["role"] for message in body(encode(user(), later, user()))["messages"]]
    assert roles == ["user", "system", "user"]


def test_case_09_prefill_is_passed_or_refused_as_the_model_takes_it() -> None:
    assert body(encode(user(), assistant(Text("It is"))))["messages"][-1] == {"role": "assistant", "content": "It is"}
    assert refused(user(), assistant(Text("It is")), to=target(ModelProfile(supports_prefill=False))).param == "messages[1]"


def test_case_10_thinking_is_left_out_where_the_provider_has_no_place_for_it() -> None:
    encoded = encode(user(), assistant(Thinking("hm", "sig", origin="anthropic"), Text("x")), user())
    assert body(encoded)["messages"][1] == {"role": "assistant", "content": "x"}
    assert encoded.dropped == ("thinking",)
    only = encode(user(), assistant(Thinking("hm")), user())
    assert [message["role"] for message in body(only)["messages"]] == ["user", "user"]


def test_case_10_thinking_goes_back_where_the_provider_wants_it() -> None:
    to = target(quirks=Quirks(reasoning_field="reasoning_content"))
    encoded = encode(user(), assistant(Thinking("hm"), Text("x")), user(), to=to)
    assert body(encoded, beyond=("reasoning_content",))["messages"][1]["reasoning_content"] == "hm"
    assert encoded.dropped == ()


def test_case_10_openrouters_details_go_back_in_their_own_format_and_no_others() -> None:
    to = target(quirks=Quirks(reasoning_field="reasoning_details"))
    own = (Thinking("hm", "sig", None, "openrouter:anthropic-v1", "r1"), Thinking("", None, "blob", "openrouter:"))
    encoded = encode(user(), assistant(*own, Thinking("x", "s", origin="anthropic"), Text("x")), user(), to=to)
    assert body(encoded, beyond=("reasoning_details",))["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-v1", "id": "r1"},
        {"type": "reasoning.encrypted", "data": "blob"},
    ]


def test_case_12_a_thought_signature_goes_back_with_its_call() -> None:
    encoded = encode(user(), assistant(ToolCall("c1", "weather", "{}", "sig", "gemini")), user(ToolResult("c1")))
    call = body(encoded, beyond=("extra_content",))["messages"][1]["tool_calls"][0]
    assert call["extra_content"] == {"google": {"thought_signature": "sig"}}


def test_refusals_names_and_blocks_of_the_dialect_survive() -> None:
    custom = Opaque("chat", "custom_tool_call", {"id": "c", "type": "custom", "custom": {"name": "code", "input": "x"}})
    said = assistant(Refusal("No."), Opaque("chat", "audio", {"id": "a1", "data": "long"}), custom)
    first, second = body(encode(Message("user", (Text("x"),), "messages[0]", "ann"), said))["messages"]
    assert first["name"] == "ann"
    assert second["refusal"] == "No."
    assert second["audio"] == {"id": "a1"}
    assert second["tool_calls"] == [dict(custom.raw)]


def test_blocks_of_another_dialect_are_refused_by_name_or_dropped_and_reported() -> None:
    foreign = Opaque("messages", "server_tool_use", {})
    for messages in ((user(), assistant(foreign, Text("x")), user()), (user(Text("x"), foreign),)):
        assert "server_tool_use" in refused(*messages).message
        encoded = encode(*messages, to=target(drop_unsupported=True))
        assert "server_tool_use" not in json.dumps(body(encoded))
        assert len(encoded.dropped) == 1


# --- Media ----------------------------------------------------------------------------------------------------------


def test_case_21_media_in_all_forms() -> None:
    parts: tuple[Part, ...] = (
        Image(Url("https://example.org/a.png"), "high"),
        Image(Inline(b"hi", "image/png")),
        Audio(Inline(b"hi", "audio/mpeg")),
        Audio(Inline(b"hi", "audio/wav"), "wav"),
        Document(Inline(b"hi", "application/pdf"), "a b.pdf"),
        Document(FileId("f1")),
        Document(Inline(b"hi", "text/plain"), "a.txt"),
        Opaque("chat", "video_url", {"type": "video_url", "video_url": {"url": "u"}}),
    )
    encoded = encode(user(*parts))
    packed = b64encode(b"hi").decode()
    assert body(encoded, valid=False)["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{packed}"}},
        {"type": "input_audio", "input_audio": {"data": packed, "format": "mp3"}},
        {"type": "input_audio", "input_audio": {"data": packed, "format": "wav"}},
        {"type": "file", "file": {"filename": "a b.pdf", "file_data": f"data:application/pdf;base64,{packed}"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "text", "text": '<document name="a.txt">\nhi\n</document>'},
        {"type": "video_url", "video_url": {"url": "u"}},
    ]
    assert encoded.emulated == ("messages[0].file",)
    body(encode(user(*parts[:-1])))


@pytest.mark.parametrize(
    "part",
    [
        Document(Url("https://example.org/a.pdf")),
        Audio(Url("https://example.org/a.wav")),
        Audio(Inline(b"x", "audio/ogg")),
    ],
)
def test_case_21_media_that_cannot_be_sent_is_a_400_and_not_dropped(part: Part) -> None:
    assert refused(user(part), to=target(drop_unsupported=True)).param == "messages[0]"


def test_case_21_a_model_that_cannot_see_is_not_sent_images() -> None:
    blind = target(ModelProfile(modalities=frozenset({"text"})), drop_unsupported=True)
    for part in (Image(Url("https://x")), Audio(Inline(b"", "audio/wav")), Document(FileId("f"))):
        assert "public" in refused(user(part), to=blind).message
    assert upstream.needs_bytes == {"document", "audio"}


def test_case_22_cache_marks_are_stripped_and_reported_where_there_are_none() -> None:
    tool = replace(WEATHER, cache=CacheMark())
    encoded = encode(user(Text("x", CacheMark())), system=(Text("s", CacheMark("1h")),), tools=(tool,))
    assert "cache" not in json.dumps(body(encoded))
    assert encoded.dropped == ("cache_control",)


def test_case_22_cache_marks_are_spelt_as_the_provider_spells_them() -> None:
    marked = (user(Text("x", CacheMark()), Image(Url("https://x"), cache=CacheMark("1h"))),)
    fields: JsonObject = {"system": (Text("s", CacheMark("1h")),)}
    written = body(encode(*marked, to=target(quirks=Quirks(cache_marks="cache_control")), **fields), beyond=("cache_control",))
    system, said = (message["content"] for message in written["messages"])
    assert system == [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert said[0]["cache_control"] == {"type": "ephemeral"}
    assert said[1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    points = body(encode(*marked, to=target(quirks=Quirks(cache_marks="prompt_cache_breakpoint")), **fields))
    assert points["messages"][1]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}


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


def test_case_22_marks_on_results_and_assistant_turns() -> None:
    said = assistant(Text("a", CacheMark()), Text("b"), ToolCall("c1", "weather"))
    messages = (user(), replace(said, name="bot"), user(ToolResult("c1", (Text("r"),), cache=CacheMark())))
    to = target(quirks=Quirks(cache_marks="cache_control"))
    written = body(encode(*messages, to=to), beyond=("cache_control",))["messages"]
    assert written[1]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert written[1]["name"] == "bot"
    assert written[2]["content"] == [{"type": "text", "text": "r", "cache_control": {"type": "ephemeral"}}]
    plain = encode(*messages)
    assert body(plain)["messages"][2]["content"] == "r"
    assert plain.dropped == ("cache_control",)


def test_images_by_file_id_and_stream_options_of_the_dialect() -> None:
    options = {"stream_options": {"include_obfuscation": True}}
    written = body(encode(user(Image(FileId("f1"))), stream=True, extras=options))
    assert written["messages"][0]["content"] == [{"type": "file", "file": {"file_id": "f1"}}]
    assert written["stream_options"] == {"include_obfuscation": True, "include_usage": True}


def test_a_user_message_cannot_hold_what_only_an_assistant_says() -> None:
    error = refused(user(Text("x"), Thinking("hm")))
    assert (error.param, "Thinking" in error.message) == ("messages[0]", True)


def test_case_10_foreign_proofs_alone_are_left_out_of_openrouters_details() -> None:
    to = target(quirks=Quirks(reasoning_field="reasoning_details"))
    encoded = encode(user(), assistant(Thinking("x", "s", origin="anthropic"), Text("x")), user(), to=to)
    assert "reasoning_details" not in body(encoded)["messages"][1]
    assert encoded.dropped == ("thinking",)
