"""A stream's fold is the buffered answer, whatever the order in which deltas of its blocks arrive."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.wire.folding import fold, unfold
from pllm.wire.neutral import (
    BlockStop,
    Choice,
    Citation,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    Opaque,
    Part,
    Ping,
    Refusal,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolResult,
    Usage,
    UsageUpdate,
)

text = st.text(max_size=8)
names = st.sampled_from(["get_time", "look_up"])
citations = st.builds(Citation, url=st.none() | text, title=st.none() | text, start=st.none() | st.integers(0, 9))
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text, citations=st.lists(citations, max_size=2).map(tuple)),
    st.builds(Refusal, text),
    st.builds(Thinking, text, st.none() | st.just("sig"), st.none() | st.just("blob"), st.sampled_from(["", "anthropic"])),
    st.builds(ToolCall, text, names, st.sampled_from(["{}", '{"a": 1}']), st.none() | st.just("sig"), st.just("gemini")),
    st.builds(Opaque, st.just("messages"), st.just("server_tool_use"), st.just({"id": "s1"})),
)
choices = st.builds(
    Choice,
    st.lists(parts, max_size=4).map(tuple),
    st.sampled_from(["stop", "length", "tool_calls"]),
    st.none() | st.just("END"),
    st.none() | st.just({"content": [{"token": "a"}]}),
)
responses = st.builds(
    Response,
    text,
    text,
    st.lists(choices, min_size=1, max_size=3).map(tuple),
    st.none() | st.builds(Usage, st.integers(0, 9), output=st.integers(0, 9)),
    st.none() | st.integers(0, 9),
    st.none() | st.just("default"),
    st.none() | st.just("fp"),
)


def shredded(event: Event) -> list[Event]:
    """The same delta in pieces of one character."""
    match event:
        case TextDelta(_, value) if len(value) > 1:
            return [replace(event, text=character) for character in value]
        case ToolCallDelta(_, value) if len(value) > 1:
            return [replace(event, fragment=character) for character in value]
        case ThinkingDelta(_, value) if len(value) > 1:
            return [*(ThinkingDelta(event.index, c, choice=event.choice) for c in value), replace(event, text="")]
        case _:
            return [event]


@settings(max_examples=150, deadline=None)
@given(responses)
def test_unfolding_and_folding_gives_the_answer_back(response: Response) -> None:
    assert fold(unfold(response)) == response


@settings(max_examples=100, deadline=None)
@given(responses)
def test_small_deltas_pings_and_choices_in_another_order_fold_to_the_same(response: Response) -> None:
    stream = [piece for event in unfold(response) for piece in (Ping(), *shredded(event))]
    body = [event for event in stream if not isinstance(event, Start | End)]
    by_choice = sorted(body, key=lambda event: -getattr(event, "choice", 0))
    assert fold([stream[0], stream[1], *by_choice, End()]) == response


def test_usage_replaces_and_never_adds() -> None:
    stream: list[Event] = [
        Start(usage=Usage(5)),
        Finish("stop"),
        UsageUpdate(Usage(5, output=1)),
        UsageUpdate(Usage(5, output=3)),
        End(),
    ]
    assert fold(stream).usage == Usage(5, output=3)


def test_logprobs_of_several_chunks_join() -> None:
    pieces: list[Event] = [LogprobsDelta({"content": [1], "refusal": None}), LogprobsDelta({"content": [2], "refusal": None})]
    assert fold([Start(), *pieces, Finish("stop"), End()]).choices[0].logprobs == {"content": [1, 2], "refusal": None}


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert fold([Start(), ToolCallStart(0, "c", "f"), BlockStop(0), Finish("tool_calls"), End()]).choices[0].parts == (
        ToolCall("c", "f", "{}"),
    )


def test_citations_may_come_before_their_text() -> None:
    citation = Citation(url="https://example.org")
    stream: list[Event] = [Start(), CitationDelta(0, citation), TextDelta(0, "x"), Finish("stop"), End()]
    assert fold(stream).choices[0].parts == (Text("x", citations=(citation,)),)


def test_a_failure_is_raised_as_it_is() -> None:
    error = broken_stream("x")
    with pytest.raises(GatewayError) as caught:
        fold([Start(), Failure(error)])
    assert caught.value is error
    assert caught.value.kind is ErrorKind.STREAM_BROKEN


@pytest.mark.parametrize("stream", [[Start()], [Start(), End()], [Start(), Finish("stop")], []])
def test_an_unfinished_stream_has_no_buffered_equivalent(stream: list[Event]) -> None:
    with pytest.raises(ValueError, match="did not end"):
        fold(stream)


def test_an_answer_cannot_hold_what_only_a_request_can() -> None:
    with pytest.raises(ValueError, match="ToolResult"):
        unfold(Response("", "", (Choice((ToolResult("c"),), "stop"),)))
