"""Several answers from upstreams that give one (translation case 23)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.errors import GatewayError, malformed_upstream
from pllm.core.profile import ModelProfile
from pllm.wire.fan_out import FannedDecoder, merge, total
from pllm.wire.folding import fold, unfold
from pllm.wire.frames import frame
from pllm.wire.lane import AnswerContext, Quirks, Target
from pllm.wire.lanes import client_wire, upstream_wire
from pllm.wire.neutral import (
    Choice,
    End,
    Event,
    Failure,
    Message,
    Ping,
    Request,
    Response,
    Start,
    Text,
    ToolCall,
    Usage,
    UsageUpdate,
)
from pllm.wire.translated import FannedLane, translated_lane

CONTEXT = AnswerContext("m", 1, "00")
ASKED = Request("m", (Message("user", (Text("hi"),)),), n=3)


class Scripted:
    """A decoder whose bytes are numbers of events: b"2" lets two more of its events out."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._left = list(events)

    def feed(self, data: bytes) -> list[Event]:
        count = int(data)
        out, self._left = self._left[:count], self._left[count:]
        return out

    def close(self) -> list[Event]:
        return [Failure(malformed_upstream("cut"))] if self._left else []


def answer(number: int) -> Response:
    parts = (Text(f"answer {number}"), ToolCall(f"c{number}", "f", '{"n": 1}'))
    usage = Usage(input=10, cache_read=number, output=number, reasoning=1)
    return Response(f"id{number}", "model", (Choice(parts, "tool_calls"),), usage)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=40))
def test_streams_interleaved_in_any_order_fold_to_the_merged_answers(order: list[tuple[int, int]]) -> None:
    answers = [answer(number) for number in range(3)]
    decoder = FannedDecoder([Scripted(unfold(one)) for one in answers])
    fed = [frame(branch, str(count).encode()) for branch, count in order]
    rest = [frame(branch, b"99") + frame(branch, b"") for branch in range(3)]
    events = [event for data in [*fed, *rest] for event in decoder.feed(data)]
    assert fold(events) == replace(merge(answers), id=fold(events).id)
    assert [type(event) for event in events].count(End) == 1
    assert [type(event) for event in events].count(Start) == 1
    assert decoder.close() == []


def test_choices_are_numbered_by_call_and_usage_is_summed() -> None:
    merged = merge([answer(0), answer(1), answer(2)])
    assert [choice.parts[0] for choice in merged.choices] == [Text(f"answer {n}") for n in range(3)]
    assert merged.usage == Usage(input=30, cache_read=3, output=3, reasoning=3)
    assert (merged.id, merged.model) == ("id0", "model")
    assert merge([replace(answer(0), usage=None)]).usage is None


def test_usage_is_known_so_far_at_every_moment() -> None:
    def stream(tokens: int) -> list[Event]:
        return [Start(usage=Usage(input=tokens)), UsageUpdate(Usage(input=tokens, output=9))]

    decoder = FannedDecoder([Scripted(stream(5)), Scripted(stream(7))])
    known = [
        event.usage
        for data in (frame(0, b"1"), frame(1, b"2"), frame(0, b"1"))
        for event in decoder.feed(data)
        if isinstance(event, UsageUpdate)
    ]
    assert known == [Usage(input=5), Usage(input=12), Usage(input=12, output=9), Usage(input=12, output=18)]
    assert total([]) == Usage()


@pytest.mark.parametrize("position", range(8))
def test_case_18_whatever_breaks_one_answer_breaks_the_whole(position: int) -> None:
    whole = unfold(answer(0))
    broken = [*whole[:position], Failure(malformed_upstream("boom"))]
    decoder = FannedDecoder([Scripted(whole), Scripted(broken)])
    events = decoder.feed(frame(0, b"99") + frame(1, b"99") + frame(1, b""))
    assert isinstance(events[-1], Failure)
    assert End not in {type(event) for event in events}
    assert decoder.feed(frame(0, b"1")) == []
    assert decoder.close() == []


def test_an_answer_that_ends_early_or_never_is_a_failure() -> None:
    early = FannedDecoder([Scripted(unfold(answer(0))), Scripted(unfold(answer(1)))])
    assert isinstance(early.feed(frame(0, b"99") + frame(1, b"3") + frame(1, b""))[-1], Failure)
    silent = FannedDecoder([Scripted(unfold(answer(0))), Scripted(unfold(answer(1)))])
    silent.feed(frame(0, b"99"))
    (failure,) = silent.close()
    assert isinstance(failure, Failure) and failure.error.status == 502


def test_a_sign_of_life_from_any_call_is_one() -> None:
    assert FannedDecoder([Scripted([Ping()]), Scripted([])]).feed(frame(0, b"1")) == [Ping()]


def lane(dialect: str = "converse", n: int = 3, **changes: Any) -> Any:
    target = Target("up", "public", "p", **({"profile": ModelProfile(thinking="none")} | changes))
    return translated_lane(client_wire("chat"), upstream_wire(dialect), replace(ASKED, n=n), target, CONTEXT)


@pytest.mark.parametrize("dialect", ["converse", "messages"])
def test_case_23_n_becomes_as_many_calls_and_says_so(dialect: str) -> None:
    made = lane(dialect)
    assert made.request.copies == 3
    assert "n" in made.emulated and "n" not in made.dropped
    assert "n" not in json.loads(made.request.body)
    assert made.request.body == lane(dialect, 1).request.body


def test_a_dialect_that_has_n_is_asked_once() -> None:
    made = lane("gemini")
    assert not isinstance(made, FannedLane)
    assert json.loads(made.request.body)["generationConfig"]["candidateCount"] == 3
    assert made.request.copies == 1


def test_a_model_that_refuses_n_is_asked_several_times() -> None:
    made = lane("gemini", profile=ModelProfile(refused_params=frozenset({"n"})))
    assert made.request.copies == 3
    assert lane("gemini", quirks=Quirks(refused=frozenset({"n"}))).request.copies == 3


def test_a_configured_n_counts_where_the_client_says_nothing() -> None:
    assert lane(n=1, defaults={"n": 2}).request.copies == 2
    assert lane(n=3, defaults={"n": 2}).request.copies == 3


def test_too_many_answers_are_a_400_that_says_how_many_there_may_be() -> None:
    with pytest.raises(GatewayError, match=r"n is 9.*'public'.*at most 8") as caught:
        lane(n=9)
    assert (caught.value.status, caught.value.param) == (400, "n")
