"""What may stand on the command line. Each kind says what it expects where it got something else: argparse names the argument
and ends the command with 2."""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from urllib.parse import urlsplit

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_LONGEST_S = 3600.0


def file_name(text: str) -> str:
    """The name of a file."""
    if not text:
        raise ArgumentTypeError("expected the name of a file, got ''")
    return text


def identifier(text: str) -> str:
    """What names one thing."""
    if not text.strip():
        raise ArgumentTypeError(f"expected an id, got {text!r}")
    return text


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A number of that range."""
    wanted = f"at least {least}" if most is None else f"{least} to {most}"

    def read(text: str) -> int:
        number = int(text) if _WHOLE.fullmatch(text) else None
        if number is None or number < least or (most is not None and number > most):
            raise ArgumentTypeError(f"expected a whole number, {wanted}, got {text!r}")
        return number

    return read


def seconds(text: str) -> float:
    """A length of time that one can wait for."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LONGEST_S:
        raise ArgumentTypeError(f"expected seconds, more than 0 and at most {_LONGEST_S:g}, got {text!r}")
    return value


def address(text: str) -> str:
    """An http or https URL."""
    if (problem := url_problem(text)) is not None:
        raise ArgumentTypeError(problem)
    return text


def provider(text: str) -> str:
    """The name of a provider."""
    from pllm.providers.registry import Registry  # for who names one

    if Registry().get(text) is None:
        raise ArgumentTypeError(f"expected one of {', '.join(Registry().names)}, got {text!r}")
    return text


def url_problem(text: str) -> str | None:
    """Why nobody can be asked at this address; None where somebody can."""
    expected = f"expected a URL such as https://gateway.example.com, got {text!r}"
    if not text.isascii() or not text.isprintable() or " " in text:
        return expected
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return f"{expected} ({error})"
    return None if parts.scheme in ("http", "https") and parts.hostname and port != 0 else expected
