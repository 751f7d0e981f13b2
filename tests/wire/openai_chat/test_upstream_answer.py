"""Answers of Chat upstreams as neutral ones: a stream's fold is the buffered answer, and a broken one is never whole."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.openai_chat.recordings import ANSWERS, STREAMS, Recorded, named, needs_recordings
from tests.wire.openai_chat.upstream_told import DONE, ENCODED, buffered, call, event, events, folded, parts

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.folding import fold
from pllm.wire.neutral import (
    BlockStop,
    Choice,
    Citation,
    End,
    Failure,
    Finish,
    Opaque,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageUpdate,
)
from pllm.wire.openai_chat import upstream
from pllm.wire.translator import Encoded

HIDDEN = Encoded(ENCODED.request, hidden_tool="structured_output")


# --- A stream's fold is the buffered answer -------------------------------------------------------------------------


words = st.text(max_size=12)
calls = st.lists(
    st.tuples(st.sampled_from(["f", "g"]), st.sampled_from(["{}", '{"a": "é"}'])).map(
        lambda made: {"type": "function", "function": {"name": made[0], "arguments": made[1]}}
    ),
    max_size=3,
).map(lambda made: [{"id": f"call_{i}", **entry} for i, entry in enumerate(made)])
messages = st.fixed_dictionaries(
    {"reasoning_content": words, "content": words, "refusal": st.just("") | words, "tool_calls": calls},
)


def deltas(message: JsonObject, number: int) -> list[bytes]:
    """The message in pieces of a character or two, as a provider would stream it."""
    pieces: list[bytes] = [event({"role": "assistant", "content": ""}, number=number)]
    for name in ("reasoning_content", "content", "refusal"):
        text = message[name]
        pieces += [event({name: text[i : i + 2]}, number=number) for i in range(0, len(text), 2)]
    for index, made in enumerate(message["tool_calls"]):
        name, arguments = made["function"]["name"], made["function"]["arguments"]
        pieces.append(event(call(index, made["id"], name, ""), number=number))
        pieces += [event(call(index, arguments=arguments[i : i + 3]), number=number) for i in range(0, len(arguments), 3)]
    return pieces


@settings(max_examples=80, deadline=None)
@given(st.lists(messages, min_size=1, max_size=2), st.lists(st.integers(0, 100_000), max_size=12))
def test_folding_a_stream_equals_translating_the_buffered_answer(told: list[JsonObject], cuts: list[int]) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    finished = [(n, message, "tool_calls" if message["tool_calls"] else "stop") for n, message in enumerate(told)]
    listed = [{"index": n, "message": message, "finish_reason": reason} for n, message, reason in finished]
    body = {"id": "c1", "created": 5, "model": "m", "choices": listed, "usage": usage}
    stream = b"".join(piece for n, message, _ in finished for piece in deltas(message, n))
    stream += b"".join(event({}, reason, n) for n, _, reason in finished) + event(choices=[], usage=usage) + DONE
    assert fold(events(stream, cuts=cuts)) == upstream.decode(json.dumps(body).encode(), ENCODED)


@needs_recordings
@named(STREAMS)
def test_every_recorded_stream_decodes_alike_at_any_boundary(recorded: Recorded) -> None:
    whole = events(recorded.body)
    assert events(recorded.body, cuts=range(0, len(recorded.body), 101)) == whole or isinstance(whole[-1], Failure)
    if "stream-error" in recorded.name:
        assert isinstance(whole[-1], Failure)
        assert whole[-1].error.message == "Token limit reached"
        return
    response = fold(whole)
    said = [json.loads(line[6:]) for line in recorded.body.split(b"\n") if line.startswith(b"data: {")]
    texts = [c["delta"].get("content") for e in said for c in e["choices"] if c.get("delta")]
    plain = "".join(text for text in texts if isinstance(text, str))
    assert sum(isinstance(e, Start) for e in whole) == 1
    assert isinstance(whole[0], Start)
    if plain:
        assert plain in "".join(part.text for part in parts(response) if isinstance(part, Text))
    made = {
        c.get("id") for e in said for ch in e["choices"] for c in (ch.get("delta") or {}).get("tool_calls") or [] if c.get("id")
    }
    assert len(made) == sum(isinstance(part, ToolCall) for part in parts(response))


@needs_recordings
@named(ANSWERS)
def test_every_recorded_answer_decodes(recorded: Recorded) -> None:
    response = upstream.decode(recorded.body, ENCODED)
    told = json.loads(recorded.body)
    assert response.id == (told.get("id") or "")
    for choice, raw in zip(response.choices, told["choices"], strict=True):
        content = raw["message"].get("content")
        if isinstance(content, str):
            assert "".join(part.text for part in choice.parts if isinstance(part, Text)) == content
        assert len([p for p in choice.parts if isinstance(p, ToolCall)]) == len(raw["message"].get("tool_calls") or [])
    assert response.usage is not None
    assert response.usage.prompt == told["usage"]["prompt_tokens"]


# --- Cases ----------------------------------------------------------------------------------------------------------


def test_case_01_blocks_are_numbered_in_order_of_appearance_and_stopped_before_the_finish() -> None:
    stream = (
        event({"reasoning_content": "h"}),
        event({"content": "t"}),
        event(call(0, "c1", "f", "")),
        event(call(1, "c2", "g", "{}")),
        event({}, "tool_calls"),
        DONE,
    )
    seen = [(type(e), getattr(e, "index", None)) for e in events(b"".join(stream))]
    assert [index for kind, index in seen if kind is ToolCallStart] == [2, 3]
    assert [index for kind, index in seen if kind is BlockStop] == [0, 1, 2, 3]
    assert [kind for kind, _ in seen[-2:]] == [Finish, End]


@pytest.mark.parametrize(
    "stream",
    [
        (call(None, "c1", "f", '{"a":1}'), call(None, "c2", "g", "{}")),
        (call(0, "c1", "f", '{"a":1}'), call(0, "c2", "g", "{}")),
        (call(0, "c1", "f", '{"a"'), call(0, None, "", ":1}"), call(1, "c2", "g", {})),
        (call(0, "c1", None, None), call(0, None, "f", '{"a":1}'), call(1, "c2", "g", None)),
        (call(0, "c1", "f", ""), call(0, "c1", None, '{"a":1}'), call(0, "c2", "g", ""), call(0, None, None, "{}")),
        ({"tool_calls": [*call(0, "c1", "f", {"a": 1})["tool_calls"], *call(1, "c2", "g")["tool_calls"]]},),
    ],
)
def test_case_01_parallel_calls_are_told_apart_however_the_provider_numbers_them(stream: tuple[JsonObject, ...]) -> None:
    response = folded(*(event(delta) for delta in stream), event({}, "tool_calls"), DONE)
    assert parts(response) == (ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "g"))


def test_case_02_fragments_pass_as_they_come() -> None:
    stream = b"".join((event(call(0, "c", "f", "")), event(call(0, None, None, '{"a')), event(call(0, None, None, '":1}'))))
    fragments = [e.fragment for e in events(stream + event({}, "tool_calls") + DONE) if isinstance(e, ToolCallDelta)]
    assert fragments == ['{"a', '":1}']


def test_a_call_that_never_gets_a_name_is_an_error() -> None:
    with pytest.raises(GatewayError, match="no name"):
        folded(event(call(0, "c", None, "{}")), event({}, "tool_calls"), DONE)


def test_legacy_function_calls_are_tool_calls() -> None:
    legacy = {"function_call": {"name": "f", "arguments": "{}"}}
    assert buffered({"content": None, **legacy}, "function_call").choices == (Choice((ToolCall("", "f"),), "tool_calls"),)


@pytest.mark.parametrize(
    ("raw", "message", "reason"),
    [
        ("stop", {"content": "x"}, "stop"),
        ("length", {"content": "x"}, "length"),
        ("model_length", {"content": "x"}, "length"),
        ("content_filter", {"content": None}, "content_filter"),
        ("stop", {"refusal": "No."}, "refusal"),
        ("stop", call(0, "c", "f", "{}"), "tool_calls"),
        ("tool_calls", {"content": "x"}, "stop"),
        ("eos", {"content": "x"}, "stop"),
        (None, call(0, "c", "f", "{}"), "tool_calls"),
    ],
)
def test_case_13_finish_reasons(raw: Any, message: JsonObject, reason: str) -> None:
    assert buffered(message, raw).choices[0].finish == reason


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
def test_case_13_an_answer_that_the_provider_broke_off_is_an_error(reason: str) -> None:
    with pytest.raises(GatewayError):
        buffered({"content": "x"}, reason)
    assert isinstance(events(event({"content": "x"}) + event({}, reason) + DONE)[-1], Failure)


def test_case_13_the_matched_stop_sequence_is_kept_where_the_provider_tells_it() -> None:
    assert buffered({"content": "x"}, stop_reason="END").choices[0] == Choice((Text("x"),), "stop_sequence", "END")
    assert buffered({"content": "x"}, stop_reason=128009).choices[0].finish == "stop"


def test_case_10_openrouters_reasoning_keeps_its_proofs() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "blob", "format": "anthropic-v1", "id": "r1"},
    ]
    response = buffered({"content": "x", "reasoning": "hm", "reasoning_details": details})
    assert parts(response) == (
        Thinking("hm", "sig", None, "openrouter:anthropic-v1"),
        Thinking("", None, "blob", "openrouter:anthropic-v1", "r1"),
        Text("x"),
    )


def test_case_12_geminis_signature_comes_with_its_call() -> None:
    made = {**call(0, "c", "f", "{}")["tool_calls"][0], "extra_content": {"google": {"thought_signature": "sig"}}}
    assert parts(buffered({"tool_calls": [made]})) == (ToolCall("c", "f", "{}", "sig", "gemini"),)


def test_mistrals_content_parts_are_text_thinking_and_citations() -> None:
    content: list[JsonObject] = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "x"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "image_url", "image_url": "u"},
    ]
    seen = parts(buffered({"content": content}))
    assert seen[0] == Thinking("hm")
    assert seen[1] == Text("x", citations=(Citation(origin="chat", raw=content[2]),))
    assert seen[2] == Opaque("chat", "image_url", content[3])


def test_citations_logprobs_audio_and_custom_calls_arrive() -> None:
    annotation = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
    custom = {"id": "c", "type": "custom", "custom": {"name": "code", "input": "x"}}
    audio = {"id": "a", "data": "AA", "transcript": "hi", "expires_at": 9}
    logprobs = {"content": [{"token": "x", "logprob": -1.0}], "refusal": None}
    message = {"content": "x", "annotations": [annotation], "tool_calls": [custom], "audio": audio}
    choice = buffered(message, logprobs=logprobs).choices[0]
    assert choice.logprobs == logprobs
    assert choice.parts == (
        Text("x", citations=(Citation("u", "t", None, 0, 1, "chat", annotation),)),
        Opaque("chat", "custom_tool_call", custom),
        Opaque("chat", "audio", audio),
    )
    assert choice.finish == "tool_calls"
    pieces: list[JsonObject] = [
        {"audio": {"id": "a", "data": "A"}},
        {"audio": {"data": "A", "transcript": "hi"}},
        {"audio": {"expires_at": 9}},
    ]
    spoken = folded(*(event(piece) for piece in pieces), event({}, "stop"), DONE)
    assert parts(spoken) == (Opaque("chat", "audio", audio),)


def test_case_19_the_hidden_tools_input_is_the_answer_and_is_never_shown() -> None:
    made = call(0, "c", "structured_output", '{"a":1}')
    response = buffered({"content": "Sure:", **made}, "tool_calls", HIDDEN)
    assert response.choices[0] == Choice((Text('{"a":1}'),), "stop")
    stream = b"".join(
        (event({"content": "Sure:"}), event(call(0, "c", "structured_output", "")), event(call(0, None, None, '{"a"')))
    )
    seen = events(stream + event(call(0, None, None, ":1}")) + event({}, "tool_calls") + DONE, HIDDEN)
    assert [e.text for e in seen if isinstance(e, TextDelta)] == ['{"a"', ":1}"]
    assert fold(seen) == response


def test_case_19_the_clients_own_tools_still_work_beside_the_hidden_one() -> None:
    response = buffered({"content": "Let me look.", **call(0, "c", "weather", "{}")}, "tool_calls", HIDDEN)
    assert response.choices[0] == Choice((ToolCall("c", "weather"), Text("Let me look.")), "tool_calls")


def test_case_15_usage_is_disjoint_and_replaced() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4}}
    early = event({"content": "x"}, usage={**usage, "completion_tokens": 1})
    seen = events(early + event({}, "stop", usage=usage) + DONE)
    updates = [e.usage for e in seen if isinstance(e, UsageUpdate)]
    assert [(u.input, u.cache_read, u.output) for u in updates] == [(6, 4, 1), (6, 4, 2)]


def test_azures_first_chunk_about_the_prompt_is_not_the_start() -> None:
    first = event(id="", model="", choices=[], prompt_filter_results=[])
    response = folded(first, event({"content": "x"}), event({}, "stop"), DONE)
    assert (response.id, response.model, response.created_s) == ("c1", "m", 5)
