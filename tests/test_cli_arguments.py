"""What may stand on the command line, and what is said of the rest."""

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from pllm.cli_arguments import address, file_name, identifier, provider, seconds, url_problem, whole_number

Kind = Callable[[str], object]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (file_name, "-", "-"),
        (identifier, "gpt-4o@openai/gpt-4o#1", "gpt-4o@openai/gpt-4o#1"),
        (whole_number(0), "0", 0),
        (whole_number(1, 65_535), "65535", 65_535),
        (seconds, "0.5", 0.5),
        (address, "http://127.0.0.1:8000/x", "http://127.0.0.1:8000/x"),
        (address, "http://[::1]:8000", "http://[::1]:8000"),
        (provider, "openai", "openai"),
    ],
)
def test_what_is_meant_is_taken(kind: Kind, text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (file_name, "", "expected the name of a file, got ''"),
        (identifier, " ", "expected an id, got ' '"),
        (whole_number(0), "x", "expected a whole number, at least 0, got 'x'"),
        (whole_number(0), "-1", "at least 0, got '-1'"),
        (whole_number(0), "1e3", "got '1e3'"),
        (whole_number(0), "٣", "got '٣'"),
        (whole_number(0), "9" * 19, "expected a whole number"),
        (whole_number(0, 65_535), "65536", "0 to 65535, got '65536'"),
        (seconds, "soon", "expected seconds, more than 0 and at most 3600, got 'soon'"),
        (seconds, "0", "got '0'"),
        (seconds, "-1", "got '-1'"),
        (seconds, "nan", "got 'nan'"),
        (seconds, "inf", "got 'inf'"),
        (provider, "nobody", "got 'nobody'"),
        (address, "nope", "expected a URL such as https://gateway.example.com, got 'nope'"),
    ],
)
def test_what_is_not_is_told_what_was_expected(kind: Kind, text: str, words: str) -> None:
    with pytest.raises(ArgumentTypeError) as refused:
        kind(text)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway",
        "ftp://x",
        "https://",
        "http://[::1",
        "http://x:port",
        "http://x:99999",
        "http://x:0",
        "http://x/ä",
        "http://x/a b",
        "http://x/\n",
    ],
)
def test_an_address_at_which_nobody_can_be_asked_is_none(url: str) -> None:
    problem = url_problem(url)
    assert problem is not None
    assert "expected a URL" in problem
