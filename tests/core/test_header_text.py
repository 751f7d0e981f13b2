"""Names in headers: plain ones as they are, every other one told apart and given back by any percent-decoder."""

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.header_text import MOST_CHARACTERS, header_list, header_text

names = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpt-4o", "gpt-4o"),
        ("us.anthropic.claude:0/a b~{x}", "us.anthropic.claude:0/a b~{x}"),
        ("modèle", "mod%C3%A8le"),
        ("模型", "%E6%A8%A1%E5%9E%8B"),
        ("100%", "100%25"),
        ("%C3%A8", "%25C3%25A8"),
        ("a\r\nset-cookie: b", "a%0D%0Aset-cookie: b"),
        (" a b ", "%20a b%20"),
        ("\ud800", "%3F"),
    ],
)
def test_a_name_is_printable_ascii_in_a_header(name: str, value: str) -> None:
    assert header_text(name) == value


@given(names)
@settings(deadline=None, max_examples=200)
def test_every_name_comes_back_from_a_percent_decoder(name: str) -> None:
    value = header_text(name)
    assert value.isascii() and (value.isprintable() or not value)
    assert value == value.strip()
    assert unquote(value, errors="strict") == name


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), max_size=4))
@settings(deadline=None, max_examples=100)
def test_a_list_comes_back_name_for_name(given_names: list[str]) -> None:
    value = header_list(tuple(given_names))
    assert [unquote(one) for one in value.split(", ") if one] == given_names


@pytest.mark.parametrize("names", [("x" * 9_000,), ("é" * 900, "b"), ("field",) * 1_000])
def test_a_list_that_would_be_too_long_for_the_headers_of_an_answer_ends_in_dots(names: tuple[str, ...]) -> None:
    value = header_list(("first", *names))
    assert len(value) <= MOST_CHARACTERS
    assert value.startswith("first, ")
    assert value.endswith(", ...")
