"""An answer streamed to a Chat client: chunk by chunk, and the same as the buffered one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.openai_chat.client_told import ASKED, CONTEXT, ENCODED, answer, deltas, message, streamed, told, web
from tests.wire.openai_chat.judges import accumulated, chunks
from tests.wire.openai_chat.recordings import STREAMS, Recorded, named, needs_recordings

from pllm.core.errors import broken_stream
from pllm.core.jsontext import JsonObject
from pllm.wire.folding import fold, unfold
from pllm.wire.neutral import (
    Choice,
    Citation,
    End,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    Opaque,
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

USAGE_ASKED = Request("public", ASKED.messages, stream=True, include_usage=True)
DONE = b"data: [DONE]\n\n"


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


def test_logprobs_of_one_chunk_never_overwrite_those_of_another() -> None:
    pieces: list[JsonObject] = [{"content": None, "refusal": None}, {"content": [], "refusal": None}]
    stream = client.encoder(ASKED, CONTEXT).feed([Start(), TextDelta(0, "a"), *(LogprobsDelta(piece) for piece in pieces)])
    assert sum(chunk.choices[0].logprobs is not None for chunk in chunks(stream)) == 2
