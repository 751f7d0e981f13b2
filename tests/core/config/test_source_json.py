import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config.source import Mark, SourceError, read


def refusal(text: str) -> str:
    with pytest.raises(SourceError) as caught:
        read(text, "c.json")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "c.json:1:2: error: not JSON: expected a key in double quotes"),
        ('{"a": 1,}', "c.json:1:9: error: not JSON: expected a key in double quotes"),
        ('{"a" 1}', "c.json:1:6: error: not JSON: expected ':'"),
        ('{"a": 1\n "b": 2}', "c.json:2:2: error: not JSON: expected ','"),
        ("[1, 2", "not JSON: expected ','"),
        ("[,1]", "not JSON: expected a value"),
        ("[1] x", "c.json:1:5: error: not JSON: expected the end of the file"),
        ("[NaN]", "not JSON: expected a value"),
        ("[01]", "not JSON: expected ','"),
        ("[1e999]", "a number beyond all measure"),
        (f"[{'9' * 50}]", "a number beyond all measure"),
        ('["open', "not JSON: unterminated string"),
        ('["a\nb"]', "not JSON: invalid control character"),
        ('["\\x"]', "not JSON: invalid \\escape"),
        ('["\\ud800"]', "lone surrogate"),
        ("[" * 200, "nested deeper than 100"),
        ("{'a': 1}", "expected a key in double quotes"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_key_given_twice_is_a_problem_with_both_lines() -> None:
    document = read('{"a": {"b": 1,\n "b": 2}}', "c.json")
    assert [str(problem) for problem in document.problems] == [
        "c.json:2:2: error: key 'b' stands here again; it was first given on line 1; keep one of them"
    ]


def test_places_count_lines_and_columns_from_one() -> None:
    document = read('\ufeff{\r\n  "a": [1,\n    {"b": "x"}]\n}', "c.json")
    assert document.keys["a",] == Mark(2, 3)
    assert document.values["a", 1, "b"] == Mark(3, 11)


def test_json_is_known_by_its_name_or_its_first_character() -> None:
    assert read(' {"a": 1}', "ssm://config").data == {"a": 1}
    assert read("{a: 1}", "c.yaml").data == {"a": 1}
    assert read("[1]", "c.JSON").data == [1]


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=15,
)


@settings(deadline=None, max_examples=150)
@given(_VALUES, st.sampled_from([None, 2]), st.booleans())
def test_what_the_standard_library_writes_is_read_the_same(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=True)
    if not ascii_only and all(
        ord(character) >= 32 and ord(character) != 127 for character in json.dumps(value, ensure_ascii=False)
    ):
        text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert read(text, "c.json").data == value
