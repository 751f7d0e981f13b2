"""Reading a client's JSON with the dotted path of what is wrong in every complaint."""

from typing import Any, NoReturn

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject


def refuse(path: str, wanted: str) -> NoReturn:
    raise invalid(f"'{path}' must be {wanted}.", path)


def text(value: Any, path: str) -> str:
    return value if isinstance(value, str) else refuse(path, "a string")


def optional_text(value: Any, path: str) -> str | None:
    return None if value is None else text(value, path)


def named(value: Any, path: str) -> str:
    return value if isinstance(value, str) and value else refuse(path, "a non-empty string")


def flag(value: Any, path: str) -> bool | None:
    return value if value is None or isinstance(value, bool) else refuse(path, "true or false")


def whole(value: Any, path: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        refuse(path, f"a whole number of at least {least}")
    return value


def number(value: Any, path: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(path, "a number")
    return float(value)


def mapping(value: Any, path: str) -> JsonObject:
    return value if isinstance(value, dict) else refuse(path, "an object")


def sequence(value: Any, path: str) -> list[Any]:
    return value if isinstance(value, list) else refuse(path, "a list")
