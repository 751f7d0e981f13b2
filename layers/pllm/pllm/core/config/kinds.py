"""The kinds of value a configuration key may hold. Each reads what a person wrote, or says in plain words what is wrong.

A kind is metadata in an `Annotated` type; pydantic asks it for a validator, the reference asks it for its name. These are
plain classes because every cold start makes them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Annotated, Any

from pllm.core.config.units import parse_duration, parse_size, parse_usd, show

_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_PADDED = re.compile(r"[-+]?0[0-9_]+", re.ASCII)
_LARGEST = 2**63 - 1  # what a table's counters are kept well within
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)


class Reads:
    """A scalar. `parse` returns the value or raises ValueError; `title` names the kind in the reference."""

    __slots__ = ("parse", "title")

    def __init__(self, title: str, parse: Callable[[Any], Any]) -> None:
        self.title = title
        self.parse = parse

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.parse)


class OneOrMany:
    """A list that may be written as its single element."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        def listed(value: object) -> object:
            return value if isinstance(value, list) else [value]

        return core_schema.no_info_before_validator_function(listed, handler(source))


class NotEmpty:
    """A list with at least one element."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        def counted(value: tuple[Any, ...]) -> tuple[Any, ...]:
            if not value:
                raise ValueError("expected at least one, got an empty list")
            return value

        return core_schema.no_info_after_validator_function(counted, handler(source))


class Shorthand:
    """A mapping that may be written as the text of its one important key."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        def expanded(value: object) -> object:
            return {self.key: value} if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(expanded, handler(source))


def _text(value: object) -> str:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("expected text, got an empty one")
        return value
    hint = f"; put it in quotes: '{value}'" if isinstance(value, int | float) and not isinstance(value, bool) else ""
    raise ValueError(f"expected text, got {show(value)}{hint}")


def _name(value: object) -> str:
    text = _text(value)
    if text != text.strip() or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"a name has no spaces around it and no control characters; got {show(text)}")
    return text


def _url(value: object) -> str:
    """An address without a trailing slash. One with `${...}` in it is checked once it is filled in."""
    text = _text(value).strip()
    problem = None if "${" in text else url_problem(text)
    if problem:
        raise ValueError(problem)
    return text.rstrip("/")


def url_problem(text: str) -> str | None:
    """Why a text is not the base address of an HTTP API, or None."""
    scheme, separator, rest = text.partition("://")
    host = rest.split("/")[0]
    if scheme not in ("http", "https") or not separator or not host:
        return f"expected an address such as https://host/v1, got {show(text)}"
    if "@" in host:
        return "an address must not hold a user name or password: use api_key or headers"
    if any(character in text for character in "?# \t\r\n"):
        return f"an address has no spaces, '?' or '#'; got {show(text)}"
    return None


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"expected true or false, got {show(value)}")


def _refuse_text(value: object, wanted: str) -> None:
    if not isinstance(value, str):
        return
    if "${" in value:
        raise ValueError(f"expected {wanted}; ${{...}} works in text only, write the number itself")
    if _PADDED.fullmatch(value):
        raise ValueError(f"expected {wanted}; {value} is ambiguous (octal or decimal?), write it without the leading zero")
    raise ValueError(f"expected {wanted}, got the text {show(value)}")


def _whole(low: int, high: int | None = None) -> Callable[[object], int]:
    wanted = "a whole number" + _range(low, high)

    def parse(value: object) -> int:
        _refuse_text(value, wanted)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected {wanted}, got {show(value)}")
        if value < low or (high is not None and value > high):
            raise ValueError(f"expected {wanted}, got {value}")
        if value > _LARGEST:
            raise ValueError(f"{value} is beyond all measure; leave the key out for no limit")
        return value

    return parse


def _real(low: float, high: float | None = None, *, above: bool = False) -> Callable[[object], float]:
    wanted = "a number" + (
        f" above {low:g}" + (f" and up to {high:g}" if high is not None else "") if above else _range(low, high)
    )

    def parse(value: object) -> float:
        _refuse_text(value, wanted)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected {wanted}, got {show(value)}")
        if value < low or (above and value == low) or (high is not None and value > high) or not isfinite(value):
            raise ValueError(f"expected {wanted}, got {value:g}")
        return float(value)

    return parse


def _range(low: float, high: float | None) -> str:
    return f" from {low:g} to {high:g}" if high is not None else f" of at least {low:g}"


def _positive(parse: Callable[[object], float]) -> Callable[[object], float]:
    def parse_positive(value: object) -> float:
        number = parse(value)
        if not number:
            raise ValueError("expected more than 0; leave the key out for no limit")
        return number

    return parse_positive


def _header_name(value: object) -> str:
    text = _text(value)
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError(f"{show(text)} is not an HTTP header name")
    return text


def _header_value(value: object) -> str:
    text = _text(value)
    if any(character in text for character in "\r\n\0"):
        raise ValueError("a header value is one line")
    return text


def _anything(value: object) -> object:
    return value


def _object(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping, got {show(value)}")
    return value


def _objects(value: object) -> object:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"expected a list of mappings, got {show(value)}")
    return value


def one_of(choices: Iterable[str], synonyms: Mapping[str, str] | None = None) -> Reads:
    """Text from a fixed set (of strings or of StrEnum members). Case and `_` for `-` do not matter; a synonym stands for
    the choice it names."""
    names = tuple(choices)
    known = {_folded(name): name for name in names}
    known.update({_folded(other): name for other, name in (synonyms or {}).items()})

    def parse(value: object) -> str:
        text = _text(value)
        if (found := known.get(_folded(text))) is not None:
            return found
        from difflib import get_close_matches  # for mistakes only: a cold start makes none

        near = get_close_matches(_folded(text), known, n=1)
        hint = f"; did you mean '{known[near[0]]}'?" if near else ""
        raise ValueError(f"expected one of {', '.join(names)}; got {show(text)}{hint}")

    return Reads(" \\| ".join(f"`{name}`" for name in names), parse)


def _folded(text: str) -> str:
    return text.strip().lower().replace("_", "-")


Text = Annotated[str, Reads("text", _text)]
Name = Annotated[str, Reads("name", _name)]
Url = Annotated[str, Reads("address", _url)]
Flag = Annotated[bool, Reads("true / false", _flag)]
Count = Annotated[int, Reads("whole number, at least 1", _whole(1))]
Index = Annotated[int, Reads("whole number, at least 0", _whole(0))]
Integer = Annotated[int, Reads("whole number", _whole(-_LARGEST))]
Weight = Annotated[float, Reads("number, at least 0", _real(0))]
Ratio = Annotated[float, Reads("number above 0, up to 1", _real(0, 1, above=True))]
Probability = Annotated[float, Reads("number from 0 to 1", _real(0, 1))]
Temperature = Annotated[float, Reads("number from 0 to 2", _real(0, 2))]
Penalty = Annotated[float, Reads("number from -2 to 2", _real(-2, 2))]
Price = Annotated[float, Reads("USD", _real(0))]
Duration = Annotated[float, Reads("duration", _positive(parse_duration))]
Money = Annotated[int, Reads("USD", parse_usd)]
Size = Annotated[int, Reads("size", _positive(parse_size))]
HeaderName = Annotated[str, Reads("header name", _header_name)]
HeaderValue = Annotated[str, Reads("text", _header_value)]
AnyValue = Annotated[Any, Reads("any value", _anything)]
Object = Annotated[Mapping[str, Any], Reads("mapping", _object)]
Objects = Annotated[list[Mapping[str, Any]], Reads("list of mappings", _objects)]
Names = Annotated[tuple[Name, ...], OneOrMany()]
Texts = Annotated[tuple[Text, ...], OneOrMany()]
