"""The neutral form's messages and media as Chat providers want them."""

import json
from base64 import b64encode
from dataclasses import replace

import pytest
from tests.wire.openai_chat.upstream_asked import WEATHER, body, encode, refused, target, user

from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Quirks
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
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from pllm.wire.openai_chat import upstream


def assistant(*parts: Part, path: str = "messages[1]") -> Message:
    return Message("assistant", parts, path)


ASKED = (
    user(),
    assistant(Text("Let me "), Text("look."), ToolCall("c1", "weather", '{"city": "A"}'), ToolCall("c2", "weather")),
)


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


# --- Round trip -----------------------------------------------------------------------------------------------------


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
