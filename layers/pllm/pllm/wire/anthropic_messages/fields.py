"""What reading a Messages request needs beyond the shared typed readers."""

from typing import NoReturn

from pllm.core.errors import invalid
from pllm.core.jsontext import Json
from pllm.wire.fields import boolean, mapping, sequence, string
from pllm.wire.fields import number as any_number

__all__ = ["flag", "mapping", "named", "number", "optional_text", "refuse", "sequence", "string", "whole"]


def refuse(path: str, wanted: str) -> NoReturn:
    raise invalid(f"'{path}' must be {wanted}.", path)


def optional_text(value: Json, path: str) -> str | None:
    return None if value is None else string(value, path)


def named(value: Json, path: str) -> str:
    return value if isinstance(value, str) and value else refuse(path, "a non-empty string")


def flag(value: Json, path: str) -> bool | None:
    return None if value is None else boolean(value, path)


def whole(value: Json, path: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        refuse(path, f"a whole number of at least {least}")
    return value


def number(value: Json, path: str) -> float | None:
    return None if value is None else any_number(value, path)
