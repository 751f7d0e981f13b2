"""Typed reading of a request's fields: a value that is not what the dialect says becomes a 400 naming its dotted path."""

from collections.abc import Callable
from typing import Any, TypeVar

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonObject

T = TypeVar("T")

_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def kind(value: Json) -> str:
    """The JSON kind of a value, with its article, for messages."""
    return _KINDS.get(type(value), "null")


def string(value: Json, path: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"'{path}' must be a string, not {kind(value)}.", path)
    return value


def boolean(value: Json, path: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(f"'{path}' must be true or false, not {kind(value)}.", path)
    return value


def number(value: Json, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"'{path}' must be a number, not {kind(value)}.", path)
    return value


def count(value: Json, path: str) -> int:
    """A whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"'{path}' must be a whole number of at least 0.", path)
    return value


def positive(value: Json, path: str) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise invalid(f"'{path}' must be a whole number of at least 1.", path)
    return value


def mapping(value: Json, path: str) -> JsonObject:
    if not isinstance(value, dict):
        raise invalid(f"'{path}' must be an object, not {kind(value)}.", path)
    return value


def sequence(value: Json, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(f"'{path}' must be a list, not {kind(value)}.", path)
    return value


def optional(body: JsonObject, name: str, read: Callable[[Json, str], T], under: str = "") -> T | None:
    """`body[name]` as `read` takes it; None where it is absent or null. `under` is the path of `body` itself."""
    value = body.get(name)
    return None if value is None else read(value, f"{under}.{name}" if under else name)


def required(body: JsonObject, name: str, read: Callable[[Json, str], T], under: str = "") -> T:
    path = f"{under}.{name}" if under else name
    if body.get(name) is None:
        raise invalid(f"'{path}' is required.", path)
    return read(body[name], path)
