import typing
from base64 import b64encode
from typing import Any

import pytest
from openai.types.responses.response_input_item_param import ResponseInputItemParam

from pllm.core.errors import GatewayError
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Citation,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from pllm.wire.openai_responses.items import Conversation, read_input

PNG = b"\x89PNG\r\n"
PNG_URL = "data:image/png;base64," + b64encode(PNG).decode()


def messages(*items: dict[str, Any]) -> tuple[Message, ...]:
    return read_input(list(items)).messages


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(parts)}


def refusal(*items: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read_input(list(items))
    assert caught.value.status == 400
    return caught.value


def test_text_alone_is_one_user_message() -> None:
    assert read_input("Hi") == Conversation((), (Message("user", (Text("Hi"),), "input"),))


def test_a_turn_of_reasoning_message_and_calls_becomes_one_assistant_message() -> None:
    turn, result = messages(
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "ENC"},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": "Let me look."},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}', "status": "completed"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
    )
    assert turn == Message(
        "assistant",
        (
            Thinking("Hm.", "ENC", origin="openai", id="rs_1"),
            Text("Let me look."),
            ToolCall("c1", "f", '{"a":1}'),
            ToolCall("c2", "g", "{}"),
        ),
        "input[0]",
    )
    assert result == Message("user", (ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"),))), "input[4]")


def test_case_03_results_stay_apart_from_the_users_next_words() -> None:
    found = messages(
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"role": "user", "content": "And now?"},
    )
    assert [message.role for message in found] == ["assistant", "user", "user"]
    assert found[2].parts == (Text("And now?"),)


def test_case_03_a_result_may_hold_images_and_files() -> None:
    (message,) = messages(
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "https://a/b.png", "detail": "high"},
                {"type": "input_file", "file_id": "file_1"},
            ],
        }
    )
    assert message.parts == (
        ToolResult("c1", (Text("see"), Image(Url("https://a/b.png"), "high"), Document(FileId("file_1")))),
    )


@pytest.mark.parametrize("arguments", ["", None, "  "])
def test_case_02_a_call_without_arguments_reads_as_an_empty_object(arguments: Any) -> None:
    (message,) = messages({"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments})
    assert message.parts == (ToolCall("c", "f", "{}"),)


@pytest.mark.parametrize("arguments", ["{oops", "[1]", '"text"', 3])
def test_case_02_malformed_arguments_in_history_are_a_400_naming_the_item(arguments: Any) -> None:
    error = refusal(
        {"role": "user", "content": "Hi"}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}
    )
    assert error.param == "input[1].arguments"


def test_case_04_text_beside_a_refusal_keeps_both() -> None:
    (message,) = messages(
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Well,", "annotations": []},
                {"type": "refusal", "refusal": "no."},
            ],
        }
    )
    assert message.parts == (Text("Well,"), Refusal("no."))


def test_case_10_another_providers_proof_comes_back_as_its_own() -> None:
    (message,) = messages(
        {
            "type": "reasoning",
            "id": "rs_pllm_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "pllm1:anthropic:signature:Si:g==",
        },
        {"type": "reasoning", "id": "rs_pllm_2", "summary": [], "encrypted_content": "pllm1:anthropic:redacted:XX"},
        {"type": "reasoning", "id": "rs_pllm_3", "summary": [{"type": "summary_text", "text": "Open."}]},
    )
    assert message.parts == (
        Thinking("Hm.", "Si:g==", origin="anthropic", id="rs_pllm_1"),
        Thinking(redacted="XX", origin="anthropic", id="rs_pllm_2"),
        Thinking("Open.", id="rs_pllm_3"),
    )


def test_reasoning_in_the_open_is_read_from_its_content() -> None:
    (message,) = messages(
        {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "We need 4."}]}
    )
    assert message.parts == (Thinking("We need 4.", id="rs"),)


def test_case_12_geminis_thought_signature_comes_back_on_its_call() -> None:
    (message,) = messages(
        {
            "type": "function_call",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
            "extra_content": {"google": {"thought_signature": "TS"}},
        }
    )
    assert message.parts == (ToolCall("c", "f", "{}", "TS", "gemini"),)


def test_case_21_images_by_address_by_data_url_and_by_id() -> None:
    parameters = "data:image/PNG;charset=x;base64," + b64encode(PNG).decode()
    (message,) = messages(
        user(
            {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
            {"type": "input_image", "image_url": PNG_URL, "detail": "auto"},
            {"type": "input_image", "image_url": parameters},
            {"type": "input_image", "image_url": "data:image/svg+xml,%3Csvg/%3E"},
            {"type": "input_image", "file_id": "file_1"},
        )
    )
    assert message.parts == (
        Image(Url("https://a/b.png"), "low"),
        Image(Inline(PNG, "image/png"), "auto"),
        Image(Inline(PNG, "image/png")),
        Image(Inline(b"<svg/>", "image/svg+xml")),
        Image(FileId("file_1")),
    )


def test_case_21_files_by_address_by_bytes_and_by_id() -> None:
    pdf = b"%PDF-1.7"
    (message,) = messages(
        user(
            {"type": "input_file", "file_url": "https://a/b.pdf", "filename": "b.pdf"},
            {"type": "input_file", "file_data": "data:application/pdf;base64," + b64encode(pdf).decode(), "filename": "c.pdf"},
            {"type": "input_file", "file_data": b64encode(pdf).decode()},
            {"type": "input_file", "file_id": "file_1", "detail": "auto"},
        )
    )
    assert message.parts == (
        Document(Url("https://a/b.pdf"), "b.pdf"),
        Document(Inline(pdf, "application/pdf"), "c.pdf"),
        Document(Inline(pdf, "application/pdf")),
        Document(FileId("file_1")),
    )


def test_case_21_audio_is_bytes_and_a_short_format_name() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": b64encode(b"RIFF").decode(), "format": "wav"}}
    assert messages(user(audio))[0].parts == (Audio(Inline(b"RIFF", "audio/wav"), "wav"),)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "image_url": "data:image/png;base64,@@"}, "image_url"),
        ({"type": "input_image", "image_url": "data:nothing"}, "image_url"),
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_file"}, "file_data"),
        ({"type": "input_file", "file_data": b64encode(b"PK\x03\x04").decode()}, "file_data"),
        ({"type": "input_file", "file_id": "f", "detail": "high"}, "detail"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "input_audio.data"),
        ({"type": "input_text"}, "text"),
        ({"type": "output_text", "text": "no"}, "type"),
        ({"text": "no"}, "type"),
    ],
)
def test_a_part_that_cannot_be_read_is_a_400_with_its_path(part: dict[str, Any], param: str) -> None:
    assert refusal(user(part)).param == f"input[0].content[0].{param}"


def test_case_22_cache_breakpoints_become_cache_marks() -> None:
    (message,) = messages(
        user(
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
        )
    )
    assert message.parts == (Text("a", CacheMark("5m")), Text("b", CacheMark("1h")))


def test_annotations_of_an_earlier_answer_are_citations() -> None:
    note = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 4}
    (message,) = messages(
        {"role": "assistant", "content": [{"type": "output_text", "text": "Text", "annotations": [note]}]},
    )
    assert message.parts == (Text("Text", citations=(Citation("https://a", "A", None, 0, 4, "openai", note),)),)


def test_an_item_reference_that_nobody_resolved_is_a_400() -> None:
    for item in ({"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}):
        error = refusal(item)
        assert (error.param, error.code) == ("input[0]", "item_not_found")
        assert "msg_1" in error.message


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"content": "Hi"}, "input[0].type"),
        ({"role": "narrator", "content": "Hi"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": 3}, "input[0].content"),
        ({"role": "system", "content": [{"type": "input_image", "image_url": "https://a"}]}, "input[0].content[0].type"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, "input[0].name"),
        ({"type": "function_call_output", "output": "x"}, "input[0].call_id"),
        ({"type": "function_call_output", "call_id": "c", "output": 3}, "input[0].output"),
        ({"type": "reasoning", "id": "r", "summary": "text"}, "input[0].summary"),
        ({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": 3}, "input[0].encrypted_content"),
    ],
)
def test_an_item_that_cannot_be_read_is_a_400_with_its_path(item: dict[str, Any], param: str) -> None:
    assert refusal(item).param == param


def _sdk_types() -> set[str]:
    found: set[str] = set()
    for form in typing.get_args(ResponseInputItemParam):
        hints = typing.get_type_hints(form)
        found |= {name for name in _literals(hints["type"]) if isinstance(name, str)}
    return found


def _literals(hint: Any) -> set[Any]:
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    return {name for inner in typing.get_args(hint) for name in _literals(inner)}


READ = {"message", "function_call", "function_call_output", "reasoning", "item_reference"}


def test_the_sdk_knows_the_items_that_are_read_apart() -> None:
    assert _sdk_types() > READ


@pytest.mark.parametrize("name", sorted(_sdk_types() - READ))
def test_every_other_item_of_the_sdk_survives_whole(name: str) -> None:
    item = {"type": name, "id": "x", "call_id": "c", "odd": {"deep": [1, 2]}}
    (message,) = messages(item)
    assert message.parts == (Opaque("responses", name, item),)
    assert message.role == ("user" if name.endswith(("_output", "_response")) else "assistant")


def test_a_call_of_a_tool_in_openais_namespace_survives_whole() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "files"}
    assert messages(item)[0].parts == (Opaque("responses", "function_call", item),)
