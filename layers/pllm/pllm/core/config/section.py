"""The base of every configuration value: a frozen dataclass that knows how to be validated, compared and printed.

The sections are plain dataclasses, so a cold start that loads a compiled configuration imports no pydantic (which would
cost it more than everything else here together). Where text written by people is checked, pydantic reads the same
annotations through `TypeAdapter`; the imports that needs are inside the methods that pydantic calls.

Every field is annotated `Annotated[type, "what it does"]`; the text is the reference documentation.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar

CREDENTIAL = "credential"
"""Metadata of a field that may hold a credential: it is never printed and never quoted in a message."""


class Section:
    """A mapping of the configuration file. A key that is present but empty means its default."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        names = frozenset(cls.__dataclass_fields__)

        def without_empty(value: object) -> object:
            if value is None:
                return {}
            if not isinstance(value, dict):
                return value
            return {key: item for key, item in value.items() if item is not None or key not in names}

        return core_schema.no_info_before_validator_function(without_empty, handler(source))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # sections hold mappings

    def __repr__(self) -> str:
        shown = (f"{field.name}=***" if is_secret(field) else f"{field.name}={value!r}" for field, value in set_fields(self))
        return f"{type(self).__name__}({', '.join(shown)})"


def is_secret(field: Field[Any]) -> bool:
    return CREDENTIAL in getattr(field.type, "__metadata__", ())


def default_of(field: Field[Any]) -> Any:
    """The value of a field nobody set; `dataclasses.MISSING` when it must be given."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def set_fields(section: Section) -> Iterator[tuple[Field[Any], Any]]:
    """The fields that differ from their defaults, with their values."""
    for field in fields(section):
        value = getattr(section, field.name)
        if value != default_of(field) or type(value) is not type(default_of(field)):
            yield field, value
