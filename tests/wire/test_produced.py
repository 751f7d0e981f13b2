"""What a stream has shown of its answer, in tokens that no tokenizer exceeds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.wire.produced import Produced


def of(*deltas: dict[str, Any]) -> Produced:
    produced = Produced()
    for delta in deltas:
        produced.choices([{"index": 0, "delta": delta}])
    return produced


@given(st.lists(st.text(min_size=1), max_size=8))
@settings(deadline=None, max_examples=60)
def test_a_text_counts_its_bytes_and_one_for_each_event(texts: list[str]) -> None:
    # A lone surrogate has three bytes, as any other character of its size.
    expected = sum(len(text.encode("utf-8", "surrogatepass")) + 1 for text in texts)
    assert of(*({"content": text} for text in texts)).tokens == expected


def test_a_role_and_empty_texts_count_nothing() -> None:
    assert of({"role": "assistant", "content": ""}, {}, {"content": None}).tokens == 0


def test_a_call_counts_its_name_and_its_arguments() -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    produced = of({"content": None, "tool_calls": [call]}, {"tool_calls": [{"index": 0, "function": {"arguments": "22"}}]})
    assert produced.tokens >= len("add") + len('{"a":1}') + len("22")


def test_every_choice_counts() -> None:
    produced = Produced()
    produced.choices([{"index": 0, "delta": {"content": "ab"}}, {"index": 1, "delta": {"content": "c"}}])
    assert produced.tokens == 3 + 2


def test_a_completion_counts_its_text() -> None:
    produced = Produced()
    produced.choices([{"index": 0, "text": "abc"}])
    assert produced.tokens == 4


@pytest.mark.parametrize(
    ("deltas", "hidden"),
    [
        ([{"content": "x"}], None),
        ([{"reasoning_content": "x"}], False),
        ([{"reasoning": "x"}, {"content": "y"}], False),
        ([{"reasoning": "x", "reasoning_details": [{"text": "x"}]}], True),
        ([{"audio": {"data": "AAAA"}}], True),
    ],
)
def test_whether_more_was_generated_than_is_shown(deltas: list[dict[str, Any]], hidden: bool | None) -> None:
    assert of(*deltas).hidden is hidden


def test_what_the_provider_told_starts_the_count_anew_when_it_rose() -> None:
    produced = of({"content": "abc"})
    produced.told(0)
    assert produced.tokens == 4
    produced.told(2)
    assert produced.tokens == 0
    produced.text("d")
    produced.told(2)
    assert produced.tokens == 2
