from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pllm.core.config import kinds


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


def refusal(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    return str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize("word", [True, "yes", "Yes", "on", "TRUE"])
def test_a_flag_takes_the_words_of_older_yaml_for_true(word: object) -> None:
    assert read(kinds.Flag, word) is True


@pytest.mark.parametrize("word", [False, "no", "off", "False"])
def test_a_flag_takes_the_words_of_older_yaml_for_false(word: object) -> None:
    assert read(kinds.Flag, word) is False


@pytest.mark.parametrize("value", [0, 1, "1", "maybe", None, []])
def test_a_flag_takes_nothing_else(value: object) -> None:
    assert "expected true or false" in refusal(kinds.Flag, value)


@pytest.mark.parametrize(("value", "number"), [(5, 5), (5.0, 5)])
def test_a_count_is_a_whole_number(value: object, number: int) -> None:
    assert read(kinds.Count, value) == number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "of at least 1, got 0"),
        (-3, "of at least 1, got -3"),
        (1.5, "got 1.5"),
        (True, "got true"),
        ("5", "got the text '5'"),
        ("010", "010 is ambiguous (octal or decimal?), write it without the leading zero"),
        ("${N}", "${...} works in text only, write the number itself"),
        (10**30, "beyond all measure"),
        ({}, "got a mapping"),
    ],
)
def test_what_is_no_count_is_refused_in_plain_words(value: object, said: str) -> None:
    assert said in refusal(kinds.Count, value)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -0.1])
def test_a_price_is_finite_and_not_negative(value: float) -> None:
    assert "expected a number of at least 0" in refusal(kinds.Price, value)


def test_a_ratio_is_above_zero_and_at_most_one() -> None:
    assert read(kinds.Ratio, 1) == 1.0
    assert "above 0 and up to 1" in refusal(kinds.Ratio, 0)
    assert "above 0 and up to 1" in refusal(kinds.Ratio, 1.01)


def test_a_duration_or_size_of_zero_is_refused() -> None:
    assert "leave the key out for no limit" in refusal(kinds.Duration, "0s")
    assert "leave the key out for no limit" in refusal(kinds.Size, 0)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        ("https://api.example.org/v1/", "https://api.example.org/v1"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("${BASE}", "${BASE}"),
        ("https://${HOST}/x/", "https://${HOST}/x"),
    ],
)
def test_an_address_loses_its_trailing_slash(value: str, base: str) -> None:
    assert read(kinds.Url, value) == base


@pytest.mark.parametrize(
    "value", ["api.example.org", "ftp://x", "https://", "https:///v1", "https://h/v1?key=1", "https://h/#x", "https://h/a b"]
)
def test_what_is_no_address_is_refused(value: str) -> None:
    assert "address" in refusal(kinds.Url, value)


def test_an_address_with_a_password_is_refused() -> None:
    said = refusal(kinds.Url, "https://me:hunter2@host/v1")
    assert "must not hold a user name or password" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("value", [" x", "x ", "a\nb", "a\x7fb"])
def test_a_name_has_no_padding_and_no_control_characters(value: str) -> None:
    assert "a name has no spaces around it" in refusal(kinds.Name, value)


def test_a_name_may_be_in_any_script() -> None:
    assert read(kinds.Name, "模型/grün 🚀") == "模型/grün 🚀"


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_text_is_refused(value: str) -> None:
    assert "got an empty one" in refusal(kinds.Text, value)


def test_a_header_value_cannot_smuggle_a_second_header() -> None:
    assert "one line" in refusal(kinds.HeaderValue, "a\r\nx: y")


def test_a_list_may_be_written_as_its_single_element() -> None:
    assert read(kinds.Names, "a") == ("a",)
    assert read(kinds.Names, ["a", "b"]) == ("a", "b")


def test_a_choice_does_not_mind_case_or_underscores_and_names_the_nearest() -> None:
    choice = kinds.one_of(["least-busy", "random"], {"shuffle": "random"})
    assert choice.parse("Least_Busy") == "least-busy"
    assert choice.parse("SHUFFLE") == "random"
    with pytest.raises(ValueError, match="expected one of least-busy, random; got 'rando'; did you mean 'random'"):
        choice.parse("rando")


@pytest.mark.parametrize(("kind", "value"), [(kinds.Object, []), (kinds.Objects, {}), (kinds.Objects, ["x"])])
def test_mappings_and_lists_of_mappings_are_told_apart(kind: Any, value: object) -> None:
    assert "of mappings" in refusal(kind, value) or "a mapping" in refusal(kind, value)


def test_any_value_is_taken_as_it_is() -> None:
    value = {"type": "function", "function": {"name": "f"}}
    assert read(kinds.AnyValue, value) == value
    assert read(kinds.Object, value) == value
    assert read(kinds.Objects, [value]) == [value]
