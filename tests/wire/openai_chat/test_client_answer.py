"""Neutral answers in a Chat client's words: strict by the official SDK, and the same streamed as buffered."""

import json

import pytest
from tests.wire.openai_chat.client_told import ASKED, CONTEXT, ENCODED, answer, deltas, message, streamed, told
from tests.wire.openai_chat.judges import chunks, completion
from tests.wire.openai_chat.recordings import ANSWERS, Recorded, named, needs_recordings

from pllm.core.errors import broken_stream
from pllm.wire.folding import unfold
from pllm.wire.neutral import (
    Choice,
    Citation,
    FinishReason,
    Opaque,
    Part,
    Refusal,
    Request,
    Response,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from pllm.wire.openai_chat import client, upstream

LEGACY = Request("public", ASKED.messages, echo={"functions": True})
CALLS = (ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "g"))


# --- Buffered -------------------------------------------------------------------------------------------------------


def test_a_plain_answer() -> None:
    assert told(answer(Text("He"), Text("llo"), usage=Usage(5, 2, output=3, reasoning=1))) == {
        "id": "id1",
        "object": "chat.completion",
        "created": 5,
        "model": "public",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
        },
    }


def test_what_the_provider_does_not_say_we_do() -> None:
    body = told(Response("", "", (Choice((Text("x"),), "stop"),)))
    assert (body["id"], body["created"]) == ("chatcmpl-5eed", 1_800_000_000)


def test_case_04_content_is_null_only_without_text() -> None:
    assert message(answer(Text("Look:"), *CALLS))["content"] == "Look:"
    assert message(answer(*CALLS))["content"] is None


def test_case_10_thinking_is_shown_and_its_proofs_are_handed_out() -> None:
    blocks = (Thinking("hm", "sig", origin="anthropic"), Thinking(redacted="blob", origin="anthropic"))
    other = (Thinking("more", "g", origin="gemini", id="i1"), Thinking("idle"))
    seen = message(answer(*blocks, *other, Text("x")))
    assert seen["reasoning_content"] == "hmmoreidle"
    assert seen["thinking_blocks"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "blob"},
        {"type": "thinking", "thinking": "more", "signature": "g", "origin": "gemini", "id": "i1"},
    ]


def test_case_10_and_12_our_answer_sent_back_is_the_same_turn() -> None:
    parts: tuple[Part, ...] = (
        Thinking("hm", "sig", origin="anthropic"),
        Thinking(redacted="blob", origin="anthropic"),
        Opaque("messages", "server_tool_use", {"id": "s"}),
        Text("Look:"),
        ToolCall("c1", "f", '{"a": 1}', "gsig", "gemini"),
        ToolCall("c2", "g"),
    )
    back = client.decode({"model": "m", "messages": [{"role": "user", "content": "x"}, message(answer(*parts))]})
    assert back.messages[1].parts == parts


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("pause", "length"),
        ("tool_calls", "stop"),
    ],
)
def test_case_13_finish_reasons_are_openais_own(reason: FinishReason, shown: str) -> None:
    assert told(answer(Text("x"), finish=reason))["choices"][0]["finish_reason"] == shown
    stream = streamed(unfold(answer(Text("x"), finish=reason)))
    assert chunks(stream)[-1].choices[0].finish_reason == shown


def test_case_13_a_turn_that_calls_tools_says_so_also_where_the_provider_says_stop() -> None:
    for reason in ("stop", "tool_calls"):
        response = answer(*CALLS, finish=reason)
        assert told(response)["choices"][0]["finish_reason"] == "tool_calls"
        assert chunks(streamed(unfold(response)))[-1].choices[0].finish_reason == "tool_calls"
    assert told(answer(*CALLS, finish="length"))["choices"][0]["finish_reason"] == "length"


def test_case_13_a_refusals_text_is_kept() -> None:
    seen = message(answer(Refusal("No."), finish="refusal"))
    assert (seen["content"], seen["refusal"]) == (None, "No.")


def test_case_15_cache_writes_are_part_of_the_prompt_and_told_apart() -> None:
    usage = told(answer(Text("x"), usage=Usage(5, 2, 3, 4, output=1)))["usage"]
    assert usage["prompt_tokens"] == 14
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2, "audio_tokens": 0, "cache_write_tokens": 7}


def test_calls_that_came_without_an_id_get_one_and_the_same_in_a_stream() -> None:
    response = answer(ToolCall("", "f"), ToolCall("", "g"))
    ids = [call["id"] for call in message(response)["tool_calls"]]
    assert len(set(ids)) == 2
    assert ids == [
        call["id"] for delta in deltas(streamed(unfold(response))) for call in delta.get("tool_calls", []) if "id" in call
    ]


def test_citations_are_annotations_where_they_have_an_address() -> None:
    web = Citation("https://a.org", None, "q", None, None, "anthropic")
    page = Citation(None, "a.pdf", "q", 1, 2, "anthropic", {"type": "page_location"})
    seen = message(answer(Text("ab"), Text("cde", citations=(web, page))))
    assert seen["annotations"][0]["url_citation"] == {
        "url": "https://a.org",
        "title": "",
        "start_index": 2,
        "end_index": 5,
    }
    assert seen["citations"] == [{"title": "a.pdf", "quote": "q", "start": 1, "end": 2, "raw": {"type": "page_location"}}]


def test_blocks_of_the_dialect_and_of_others() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "code", "input": "x"}}
    audio = {"id": "a", "data": "AA", "transcript": "hi", "expires_at": 9}
    parts = (Opaque("chat", "audio", audio), Opaque("chat", "custom_tool_call", custom), Opaque("messages", "x", {"a": 1}))
    seen = message(answer(*parts))
    assert (seen["audio"], seen["tool_calls"]) == (audio, [custom])
    assert seen["provider_blocks"] == [{"dialect": "messages", "type": "x", "block": {"a": 1}}]


def test_tiers_and_fingerprints() -> None:
    body = told(Response("i", "m", (Choice((), "stop"),), None, 5, "standard", "fp"))
    assert (body["service_tier"], body["system_fingerprint"]) == ("default", "fp")
    assert "service_tier" not in told(Response("i", "m", (Choice((), "stop"),), None, 5, "batch"))


def test_legacy_clients_are_answered_in_legacy_words() -> None:
    response = answer(CALLS[0], finish="tool_calls")
    choice = told(response, LEGACY)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
    assert choice["finish_reason"] == "function_call"
    stream = streamed(unfold(response), LEGACY)
    pieces = [delta["function_call"] for delta in deltas(stream) if "function_call" in delta]
    assert "".join(piece["arguments"] for piece in pieces) == '{"a": 1}'
    assert chunks(stream)[-1].choices[0].finish_reason == "function_call"


# --- Recordings -----------------------------------------------------------------------------------------------------


@needs_recordings
@named(ANSWERS)
def test_every_recorded_answer_comes_out_strict_and_whole(recorded: Recorded) -> None:
    response = upstream.decode(recorded.body, ENCODED)
    body = completion(client.encode(response, ASKED, CONTEXT))
    given_choices = json.loads(recorded.body)["choices"]
    for choice, raw in zip(body.choices, given_choices, strict=True):
        content = raw["message"].get("content")
        if isinstance(content, str):
            assert (choice.message.content or "") == content
        assert len(choice.message.tool_calls or []) == len(raw["message"].get("tool_calls") or [])
        expected = "content_filter" if raw["message"].get("refusal") else raw["finish_reason"]
        assert choice.finish_reason == expected


def test_errors_have_openais_shape() -> None:
    assert json.loads(client.error(broken_stream("x")))["error"]["type"] == "upstream_error"
