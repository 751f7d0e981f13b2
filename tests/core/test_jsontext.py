"""JSON in and out."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.jsontext import JsonError, dumps, loads

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
@settings(deadline=None)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert loads(dumps(value)) == value


def test_text_stays_text_and_keys_keep_their_order() -> None:
    assert dumps({"b": "grüße", "a": 1}) == '{"b":"grüße","a":1}'.encode()


def test_a_lone_surrogate_survives() -> None:
    assert loads(dumps(loads(b'"\\ud800"'))) == "\ud800"
    assert json.loads(dumps("\ud800 ü")) == "\ud800 ü"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [(b"{", 1, 2), (b'{"a":\n  tru}', 2, 3), (b"", 1, 1), (b"[1,]", 1, 4), (b'{"a" 1}', 1, 6), (b"[NaN]", 1, 1)],
)
def test_an_error_names_its_position(text: bytes, line: int, column: int) -> None:
    with pytest.raises(JsonError) as error:
        loads(text)
    assert (error.value.line, error.value.column) == (line, column)


@pytest.mark.parametrize("text", [b"\xff", b"Infinity", b"-Infinity", b"1e400", b"[-1.5E+999]", b"[" * 100_000])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        loads(text)


def test_the_largest_and_smallest_numbers_are_kept() -> None:
    assert loads(b"[1.7976931348623157e308, 5e-324, 123456789012345678901234567890]") == [
        1.7976931348623157e308,
        5e-324,
        123456789012345678901234567890,
    ]


def test_a_byte_order_mark_is_not_content() -> None:
    assert loads(b"\xef\xbb\xbf{}") == {}
