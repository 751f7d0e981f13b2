"""Streams of GenerateContentResponse chunks: complete or an explicit failure, at any chunk boundary (translation case 18)."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.gemini.judge import ask, target
from tests.wire.gemini.provider import SIGNATURE, Script, answer, call, scripts, sse, text

from pllm.core.errors import ErrorKind
from pllm.core.jsontext import JsonObject
from pllm.wire.folding import fold, unfold
from pllm.wire.gemini import upstream
from pllm.wire.neutral import BlockStop, End, Event, Failure, Finish, Start, TextDelta, ToolCallStart, UsageUpdate
from pllm.wire.translator import Encoded

PLAIN = upstream.encode(ask(stream=True), target())

STREAM = Script(
    [
        (
            [
                text("Let me think", thought=True),
                text("Grüße, 👋"),
                call("look", {"city": "Łódź"}, signature=SIGNATURE),
                call("find", {}),
            ],
            "STOP",
        )
    ],
    [3, 1, 4],
)


BAD_EVENTS = [b"{", b"nonsense", b"[]", b'{"candidates": 3}', b'{"candidates":[{"content":{"parts":[7]}}]}']


def asked_for(candidates: int) -> Encoded:
    return upstream.encode(ask(stream=True, n=candidates), target())


def decoded(pieces: list[bytes], encoded: Encoded = PLAIN) -> list[Event]:
    decoder = upstream.decoder(encoded)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.close()]


def split(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[start:end] for start, end in pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(scripts, st.lists(st.integers(0, 5000), max_size=12))
def test_folding_a_stream_equals_translating_the_buffered_answer(script: Script, cuts: list[int]) -> None:
    encoded = asked_for(len(script.candidates))
    whole = upstream.decode(json.dumps(script.whole()).encode(), encoded)
    streamed = fold(decoded(split(sse(*script.stream()), cuts), encoded))
    assert streamed == whole
    assert fold(unfold(whole)) == whole


@settings(max_examples=80, deadline=None)
@given(scripts)
def test_events_of_a_stream_are_well_nested_and_end_once(script: Script) -> None:
    events = decoded([sse(*script.stream())], asked_for(len(script.candidates)))
    assert isinstance(events[0], Start) and isinstance(events[-1], End)
    assert sum(isinstance(event, Start | End) for event in events) == 2
    assert sum(isinstance(event, Finish) for event in events) == len(script.candidates)
    opened: dict[int, set[int]] = {}
    closed: dict[int, set[int]] = {}
    for event in events:
        if isinstance(event, Start | End | UsageUpdate | Failure):
            continue
        assert hasattr(event, "choice")
        was, done = opened.setdefault(event.choice, set()), closed.setdefault(event.choice, set())
        if isinstance(event, BlockStop):
            assert event.index in was - done
            done.add(event.index)
        elif isinstance(event, Finish):
            assert was == done == set(range(len(was)))
        elif hasattr(event, "index"):
            assert event.index not in done
            was.add(event.index)


def test_case_01_parallel_calls_are_blocks_of_their_own_in_order() -> None:
    events = decoded([sse(*STREAM.stream())])
    starts = [event for event in events if isinstance(event, ToolCallStart)]
    assert [(start.index, start.name) for start in starts] == [(2, "look"), (3, "find")]
    assert len({start.id for start in starts}) == 2


def test_case_16_usage_is_known_before_the_end_although_no_client_asked() -> None:
    events = decoded([sse(*STREAM.stream())])
    assert any(
        isinstance(event, UsageUpdate) for event in events[: events.index(next(e for e in events if isinstance(e, Finish)))]
    )


@pytest.mark.parametrize("event", range(len(STREAM.stream())))
class TestFaults:
    @pytest.mark.parametrize(
        "bad", [b"{", b"nonsense", b"[]", b'{"candidates": 3}', b'{"candidates":[{"content":{"parts":[7]}}]}']
    )
    def test_case_18_a_malformed_event_is_a_failure_and_never_an_end(self, event: int, bad: bytes) -> None:
        chunks = [sse(chunk) for chunk in STREAM.stream()]
        chunks[event] = b"data: " + bad + b"\n\n"
        events = decoded(chunks)
        assert failure(events).kind is ErrorKind.UPSTREAM_PROTOCOL

    def test_case_18_an_error_object_inside_the_stream_is_that_error(self, event: int) -> None:
        chunks: list[JsonObject] = STREAM.stream()
        chunks[event] = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
        error = failure(decoded([sse(*chunks)]))
        assert error.kind is ErrorKind.UPSTREAM_OVERLOADED and error.message == "The model is overloaded."

    def test_case_18_a_stream_cut_before_this_event_is_a_failure(self, event: int) -> None:
        events = decoded([sse(*STREAM.stream()[:event])])
        assert failure(events).kind is ErrorKind.STREAM_BROKEN

    def test_case_13_a_malformed_call_is_a_failure_that_keeps_what_was_counted(self, event: int) -> None:
        chunks = STREAM.stream()
        chunks[event] = answer(text("so far"), finish="MALFORMED_FUNCTION_CALL", finishMessage="Malformed function call: look(")
        events = decoded([sse(*chunks)])
        assert "MALFORMED_FUNCTION_CALL" in failure(events).message
        assert any(isinstance(known, UsageUpdate) for known in events)
        assert any(isinstance(delta, TextDelta) and delta.text == "so far" for delta in events)


def failure(events: list[Event]) -> Any:
    assert isinstance(events[-1], Failure)
    assert not any(isinstance(event, Failure | End | Finish) for event in events[:-1])
    return events[-1].error


def test_case_18_a_stream_cut_at_any_byte_is_a_failure_until_its_last_object_is_whole() -> None:
    body = sse(*STREAM.stream())
    whole = len(body.rstrip())
    for cut in range(len(body)):
        ended = decoded([body[:cut]])[-1]
        assert isinstance(ended, End) if cut >= whole else isinstance(ended, Failure), cut


def test_case_18_one_candidate_missing_of_those_asked_for_is_a_failure() -> None:
    body = sse(answer(text("only one")))
    assert isinstance(decoded([body], asked_for(1))[-1], End)
    assert failure(decoded([body], asked_for(2))).kind is ErrorKind.STREAM_BROKEN


def test_case_18_after_a_failure_or_the_end_the_decoder_is_deaf() -> None:
    decoder = upstream.decoder(PLAIN)
    assert isinstance(decoder.feed(b"data: x\n\n")[-1], Failure)
    assert decoder.feed(sse(answer(text("late")))) == [] and decoder.close() == []
    decoder = upstream.decoder(PLAIN)
    decoder.feed(sse(answer(text("done"))))
    assert isinstance(decoder.close()[-1], End)
    assert decoder.feed(sse(answer(text("late")))) == [] and decoder.close() == []


def test_a_candidate_may_repeat_its_finish_reason_and_go_on() -> None:
    chunks = [answer(text("one ")), answer(text("two")), answer(call("look"))]
    response = fold(decoded([sse(*chunks)]))
    assert response.choices[0].finish == "tool_calls"
    assert [getattr(part, "text", None) for part in response.choices[0].parts] == ["one two", None]


def test_comments_and_events_without_data_are_passed_over() -> None:
    body = b": keep-alive\n\nid: 3\n\n" + sse(answer(text("hi")))
    assert fold(decoded([body])).choices[0].parts[0] == fold(decoded([sse(answer(text("hi")))])).choices[0].parts[0]


_KEYS = """candidates content parts text functionCall name args index finishReason usageMetadata promptFeedback blockReason
error details code status groundingMetadata groundingSupports groundingChunks segment logprobsResult chosenCandidates createTime
responseId thoughtSignature"""

_any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS.split()), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_any_json, max_size=3))
def test_no_chunk_however_strange_makes_the_decoder_raise(chunks: list[object]) -> None:
    events = decoded([sse(*chunks)])
    assert isinstance(events[-1], End | Failure)
    assert sum(isinstance(event, End | Failure) for event in events) == 1
