import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config.interpolate import Filled, TemplateError, Variable, escape, fill, parse_template, variables

SET = {"HOST": "api.example.org", "KEY": "sk-1", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${KEY}", "sk-1"),
        ("https://${HOST}/v1", "https://api.example.org/v1"),
        ("${HOST}:${KEY}", "api.example.org:sk-1"),
        ("${NONE:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${KEY:-fallback}", "sk-1"),
        ("${NONE:-}", ""),
        ("${NONE:-https://${HOST}/v1}", "https://api.example.org/v1"),
        ("${NONE:-${ALSO_NONE:-deep}}", "deep"),
        ("$${KEY}", "${KEY}"),
        ("$$ and $5 and {braces} stay", "$$ and $5 and {braces} stay"),
        ("price: $${x} ${KEY}", "price: ${x} sk-1"),
        ("the value is not read again: ${TRICK}", "the value is not read again: ${KEY}"),
        ("", ""),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    assert fill(text, {**SET, "TRICK": "${KEY}"}.get) == Filled(filled)


@pytest.mark.parametrize(
    ("text", "missing"),
    [("${NONE}", ("NONE",)), ("${EMPTY}", ("EMPTY",)), ("${A}${B}${A}", ("A", "B")), ("${A:-${B}}", ("B",))],
)
def test_unset_and_empty_variables_are_named_and_no_text_is_given(text: str, missing: tuple[str, ...]) -> None:
    assert fill(text, SET.get) == Filled(None, missing)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${", "followed by no variable name"),
        ("${}", "followed by no variable name"),
        ("${1A}", "followed by no variable name"),
        ("${A B}", "is followed by ' '"),
        ("${A:B}", "is followed by ':'"),
        ("${A", "not closed"),
        ("${A:-x", "not closed"),
        ("${Ä}", "followed by no variable name"),
    ],
)
def test_a_malformed_reference_is_refused_in_plain_words(text: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        parse_template(text)


def test_a_template_is_literals_and_variables() -> None:
    assert parse_template("a${B:-c}d") == ("a", Variable("B", ("c",)), "d")


def test_variables_are_listed_once_with_those_inside_defaults() -> None:
    assert variables("${A:-${B}}/${A}/${C}") == ("A", "B", "C")
    assert variables("none") == ()


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="${}:-AB_ x", max_size=30))
def test_an_escaped_text_comes_back_as_it_was(text: str) -> None:
    assert fill(escape(text), SET.get) == Filled(text)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="${}:-AB_ x", max_size=30))
def test_any_text_is_filled_or_refused_and_never_leaves_a_reference(text: str) -> None:
    try:
        filled = fill(text, {"A": "1", "B": "2", "A_": "3"}.get)
    except TemplateError:
        return
    assert (filled.text is None) == bool(filled.missing)
    if filled.text is not None and "$${" not in text:
        assert "${" not in filled.text
