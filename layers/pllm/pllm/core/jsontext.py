"""JSON as the gateway reads and writes it: strict on input, position named, nothing changed on the way through."""

import json
from collections.abc import Mapping
from math import inf
from typing import Any, NoReturn

Json = Any
"""A JSON value: dict, list, str, int, float, bool or None."""

JsonObject = dict[str, Any]
FrozenJson = Mapping[str, Any]


class JsonError(ValueError):
    """Not JSON. `line` and `column` count from 1; the message names them."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"{reason} at line {line}, column {column}")
        self.line = line
        self.column = column


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (inf, -inf):
        raise ValueError(f"the number {text[:20]} is too large to be kept")
    return number


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def loads(data: bytes | str) -> Json:
    """Parse one JSON value; raises JsonError with its position. NaN, Infinity, numbers beyond a float,
    bad UTF-8 and absurd nesting are refused."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise JsonError(f"invalid UTF-8 byte 0x{error.object[error.start]:02x}", 1, error.start + 1) from None
    try:
        return _decoder.decode(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise JsonError(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise JsonError("nested too deeply", 1, 1) from None
    except ValueError as error:
        raise JsonError(str(error), 1, 1) from None


def dumps(value: Json) -> bytes:
    """Compact UTF-8 JSON. Key order is kept (prompt caches depend on it); lone surrogates stay escaped."""
    try:
        return _compact.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")
