"""Neutral answers in a Chat client's words: strict by the official SDK, and the same streamed as buffered."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.openai_chat.judges import accumulated, chunks, completion
from tests.wire.openai_chat.recordings import ANSWERS, STREAMS, Recorded, named, needs_recordings

from pllm.core.errors import broken_stream
from pllm.core.jsontext import JsonObject
from pllm.wire.folding import fold, unfold
from pllm.wire.lane import AnswerContext, WireRequest
from pllm.wire.neutral import (
    Choice,
    Citation,
    End,
    Event,
    Failure,
    Finish,
    FinishReason,
    LogprobsDelta,
    Message,
    Opaque,
    Part,
    Ping,
    Refusal,
    Request,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageUpdate,
)
from pllm.wire.openai_chat import client, upstream
from pllm.wire.translator import Encoded

ASKED = Request("public", (Message("user", (Text("Hi"),)),))
USAGE_ASKED = Request("public", ASKED.messages, stream=True, include_usage=True)
LEGACY = Request("public", ASKED.messages, echo={"functions": True})
CONTEXT = AnswerContext("public", 1_800_000_000, "5eed")
ENCODED = Encoded(WireRequest("chat/completions", b"{}", "m", True))
DONE = b"data: [DONE]\n\n"


def answer(*parts: Part, finish: FinishReason = "stop", usage: Usage | None = None, **fields: Any) -> Response:
    return Response("id1", "m", (Choice(parts, finish, **fields),), usage, 5)


def told(response: Response, asked: Request = ASKED) -> JsonObject:
    body = client.encode(response, asked, CONTEXT)
    completion(body)
    return dict(json.loads(body))


def message(response: Response, asked: Request = ASKED) -> JsonObject:
    return dict(told(response, asked)["choices"][0]["message"])


def streamed(events: list[Event], asked: Request = ASKED) -> bytes:
    encoder = client.encoder(asked, CONTEXT)
    return b"".join(encoder.feed([event]) for event in events)


def deltas(stream: bytes) -> list[JsonObject]:
    chunks(stream)
    blocks = [json.loads(block[6:]) for block in stream.split(b"\n\n") if block.startswith(b"data: {")]
    return [choice["delta"] for block in blocks for choice in block["choices"]]


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


# --- Streamed -------------------------------------------------------------------------------------------------------


def test_case_01_a_calls_index_is_its_ordinal_and_its_id_comes_once() -> None:
    events: list[Event] = [
        Start("i", "m"),
        ThinkingDelta(0, "hm"),
        TextDelta(1, "Look:"),
        ToolCallStart(2, "c1", "f"),
        ToolCallDelta(2, '{"a"'),
        ToolCallDelta(2, ": 1}"),
        ToolCallStart(4, "c2", "g"),
        Finish("tool_calls"),
        End(),
    ]
    calls = [call for delta in deltas(streamed(events)) for call in delta.get("tool_calls", [])]
    assert calls == [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ": 1}"}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def test_case_02_a_call_without_arguments_ends_as_an_empty_object() -> None:
    events: list[Event] = [Start(), ToolCallStart(0, "c", "f"), ToolCallDelta(0, ""), Finish("tool_calls"), End()]
    made = accumulated(streamed(events)).choices[0].message.tool_calls
    assert made is not None
    assert made[0].function.arguments == "{}"


def test_the_role_comes_once_in_the_first_delta_of_each_choice() -> None:
    response = Response("i", "m", (Choice((Text("a"),), "stop"), Choice((Text("b"),), "stop")))
    seen = deltas(streamed(unfold(response)))
    assert [delta.get("role") for delta in seen] == ["assistant", None, None, "assistant", None]


def test_case_16_usage_is_the_last_chunk_for_those_who_asked_and_none_for_others() -> None:
    events = unfold(answer(Text("x"), usage=Usage(3, output=4)))
    asked = [json.loads(block[6:]) for block in streamed(events, USAGE_ASKED).split(b"\n\n") if block.startswith(b"data: {")]
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["total_tokens"] == 7
    assert all(block["usage"] is None for block in asked[:-1])
    plain = streamed(events)
    assert b"usage" not in plain
    assert plain.endswith(DONE)


def test_case_17_and_18_a_failure_is_an_error_event_and_nothing_after() -> None:
    stream = streamed([Start(), TextDelta(0, "x"), Failure(broken_stream("it was cut"))])
    last = json.loads(stream.rstrip().rpartition(b"data: ")[2])
    assert last["error"]["code"] == "stream_broken"
    assert b"[DONE]" not in stream
    assert b'"finish_reason":"' not in stream
    with pytest.raises(Exception, match="it was cut"):
        accumulated(stream)


def test_pings_are_comments() -> None:
    assert streamed([Ping()]) == b": keep-alive\n\n"


def test_logprobs_stand_beside_the_text_that_they_are_about() -> None:
    tokens: list[JsonObject] = [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []} for token in "ab"]
    pieces = [{"content": [token], "refusal": None} for token in tokens]
    events: list[Event] = [TextDelta(0, "a"), LogprobsDelta(pieces[0]), TextDelta(0, "b"), LogprobsDelta(pieces[1])]
    stream = client.encoder(ASKED, CONTEXT).feed([Start(), *events, Finish("stop"), End()])
    seen = [(c.choices[0].delta.content, c.choices[0].logprobs is not None) for c in chunks(stream)]
    assert seen == [(None, False), ("a", True), ("b", True), (None, False)]
    alone = client.encoder(ASKED, CONTEXT)
    assert alone.feed([Start()]) and b'"logprob"' in alone.feed([LogprobsDelta(pieces[0])])


def test_case_10_a_proof_streams_once_at_the_end_of_its_block() -> None:
    events: list[Event] = [
        Start(),
        ThinkingDelta(0, "h"),
        ThinkingDelta(0, "m"),
        ThinkingDelta(0, "", "sig", None, "anthropic"),
    ]
    seen = deltas(streamed([*events, Finish("stop"), End()]))
    assert "".join(delta.get("reasoning_content", "") for delta in seen) == "hm"
    assert [delta["thinking_blocks"] for delta in seen if "thinking_blocks" in delta] == [
        [{"index": 0, "type": "thinking", "thinking": "hm", "signature": "sig"}]
    ]


def test_surrogate_pairs_and_control_characters_survive() -> None:
    text = "🙂é\u2028\r\n\x00"
    assert accumulated(streamed(unfold(answer(Text(text))))).choices[0].message.content == text


# --- Streamed and buffered are the same -----------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=10)
proofs = st.builds(Thinking, texts, st.none() | st.just("sig"), st.none(), st.sampled_from(["anthropic", "gemini"]))
made_calls = st.builds(
    ToolCall,
    st.uuids().map(str),
    st.sampled_from(["f", "g"]),
    st.sampled_from(["{}", '{"a": "é"}']),
    st.none() | st.just("sig"),
    st.just("gemini"),
)
web = st.builds(Citation, st.just("https://a.org"), st.just("t"), st.none(), st.just(0), st.integers(1, 9), st.just("chat"))
spoken = st.builds(Text, texts.filter(bool), citations=st.lists(web, max_size=2).map(tuple))
turns = st.tuples(
    st.lists(proofs, max_size=2),
    st.lists(spoken, max_size=2),
    st.lists(st.builds(Refusal, texts), max_size=1),
    st.lists(made_calls, max_size=3),
).map(lambda lists: tuple(part for some in lists for part in some))
endings = st.sampled_from(["stop", "length", "refusal", "pause"])
responses = st.builds(
    Response,
    st.just("id1"),
    st.just("m"),
    st.lists(st.builds(Choice, turns, endings), min_size=1, max_size=2).map(tuple),
    st.builds(Usage, st.integers(0, 9), st.integers(0, 9), output=st.integers(0, 9)),
    st.just(5),
)


def comparable(choice: JsonObject) -> JsonObject:
    """A choice without the bookkeeping of streams: list indexes, and names that are absent here and null there."""
    said = {key: value for key, value in choice["message"].items() if value is not None and key != "parsed"}
    for name, entries in said.items():
        if isinstance(entries, list):
            said[name] = [{key: value for key, value in entry.items() if key != "index"} for entry in entries]
    for call in said.get("tool_calls", []):
        call["function"].pop("parsed_arguments", None)
    return {"finish_reason": choice["finish_reason"], "message": said}


@settings(max_examples=60, deadline=None)
@given(responses)
def test_the_official_accumulator_makes_of_our_stream_what_we_answer_buffered(response: Response) -> None:
    buffered = told(response, USAGE_ASKED)
    whole = accumulated(streamed(unfold(response), USAGE_ASKED), len(response.choices)).model_dump()
    assert [comparable(c) for c in whole["choices"]] == [comparable(c) for c in buffered["choices"]]
    assert whole["usage"]["total_tokens"] == buffered["usage"]["total_tokens"]


@settings(max_examples=60, deadline=None)
@given(responses, st.integers(1, 50))
def test_our_stream_read_by_our_own_decoder_is_our_buffered_answer_read_by_it(response: Response, size: int) -> None:
    decoder = upstream.decoder(ENCODED)
    stream = streamed(unfold(response), USAGE_ASKED)
    events = [event for i in range(0, len(stream), size) for event in decoder.feed(stream[i : i + size])] + decoder.close()
    again, direct = fold(events), upstream.decode(client.encode(response, USAGE_ASKED, CONTEXT), ENCODED)
    assert spelt(again) == spelt(direct)


def spelt(response: Response) -> list[tuple[dict[str, str], list[ToolCall], str]]:
    def texts_of(choice: Choice) -> dict[str, str]:
        joined: dict[str, str] = {}
        for part in choice.parts:
            if isinstance(part, Text | Refusal | Thinking) and part.text:
                joined[type(part).__name__] = joined.get(type(part).__name__, "") + part.text
        return joined

    return [(texts_of(c), [part for part in c.parts if isinstance(part, ToolCall)], c.finish) for c in response.choices]


# --- Recordings -----------------------------------------------------------------------------------------------------


@needs_recordings
@named(tuple(r for r in STREAMS if "stream-error" not in r.name))
def test_every_recorded_stream_comes_out_strict_and_whole(recorded: Recorded) -> None:
    decoder = upstream.decoder(ENCODED)
    events = decoder.feed(recorded.body) + decoder.close()
    stream = client.encoder(USAGE_ASKED, CONTEXT).feed(events)
    response = fold(events)
    said = accumulated(stream).choices[0].message
    assert (said.content or "") == "".join(part.text for part in response.choices[0].parts if isinstance(part, Text))
    assert len(said.tool_calls or []) == sum(isinstance(part, ToolCall) for part in response.choices[0].parts)
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks(stream))


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


def test_usage_told_late_reaches_the_last_chunk() -> None:
    events: list[Event] = [Start(usage=Usage(3)), TextDelta(0, "x"), UsageUpdate(Usage(3, output=1)), Finish("stop"), End()]
    usage = accumulated(streamed(events, USAGE_ASKED)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 1)


def test_blocks_that_come_whole_are_streamed_whole() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "code", "input": "x"}}
    audio = {"id": "a", "data": "AA", "transcript": "hi", "expires_at": 9}
    foreign = (Opaque("messages", "server_tool_use", {"id": "s"}), Opaque("messages", "result", {"id": "r"}))
    page = Citation(None, "a.pdf", raw={"type": "page_location"})
    parts = (*foreign, Text("x", citations=(page,)), ToolCall("c1", "f"), Opaque("chat", "custom_tool_call", custom))
    response = answer(*parts, Opaque("chat", "audio", audio))
    stream = streamed(unfold(response))
    seen = [delta for block in stream.split(b"\n\n") if block.startswith(b"data: {") for delta in _deltas(block)]
    merged = {name: [entry for delta in seen for entry in delta.get(name, [])] for name in ("provider_blocks", "citations")}
    expected = message(response)
    for name, entries in merged.items():
        assert [{k: v for k, v in entry.items() if k != "index"} for entry in entries] == expected[name]
        assert [entry["index"] for entry in entries] == list(range(len(entries)))
    assert [call["index"] for delta in seen for call in delta.get("tool_calls", []) if "id" in call] == [0, 1]
    assert [delta["audio"] for delta in seen if "audio" in delta] == [audio]


def _deltas(block: bytes) -> list[JsonObject]:
    return [choice["delta"] for choice in json.loads(block[6:])["choices"]]


def test_errors_have_openais_shape() -> None:
    assert json.loads(client.error(broken_stream("x")))["error"]["type"] == "upstream_error"


def test_logprobs_of_one_chunk_never_overwrite_those_of_another() -> None:
    pieces: list[JsonObject] = [{"content": None, "refusal": None}, {"content": [], "refusal": None}]
    stream = client.encoder(ASKED, CONTEXT).feed([Start(), TextDelta(0, "a"), *(LogprobsDelta(piece) for piece in pieces)])
    assert sum(chunk.choices[0].logprobs is not None for chunk in chunks(stream)) == 2
