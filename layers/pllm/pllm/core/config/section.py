"""The base of every configuration value: a frozen dataclass that knows how to be validated, compared and printed.

`@section` makes one. It is `dataclass` without the methods that the library writes and compiles anew for each class: those
cost a cold start 20 ms for all sections together, the shared ones here under one. Otherwise a section is an ordinary frozen
dataclass with keyword arguments, to mypy, to `replace` and to pydantic.

The sections are plain dataclasses, so a cold start that loads a compiled configuration imports no pydantic (which would
cost it more than everything else here together). Where text written by people is checked, pydantic reads the same
annotations through `TypeAdapter`; the imports that needs are inside the methods that pydantic calls.

Every field is annotated `Annotated[type, "what it does"]`; the text is the reference documentation.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

CREDENTIAL = "credential"
"""Metadata of a field that may hold a credential: it is never printed and never quoted in a message."""


class Section:
    """A mapping of the configuration file. A key that is present but empty means its default."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    _defaults: ClassVar[Mapping[str, Any]]
    _factories: ClassVar[tuple[tuple[str, Callable[[], Any]], ...]]

    def __init__(self, **values: Any) -> None:
        own = vars(self)
        own.update(self._defaults)
        for name, make in self._factories:
            if name not in values:
                own[name] = make()
        own.update(values)
        if own.keys() != self.__dataclass_fields__.keys():
            raise TypeError(_argument_problem(type(self), values))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

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
        shown = (f"{item.name}=***" if is_secret(item) else f"{item.name}={value!r}" for item, value in set_fields(self))
        return f"{type(self).__name__}({', '.join(shown)})"


S = TypeVar("S", bound=Section)


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False, field_specifiers=(field,))
def section(cls: type[S]) -> type[S]:
    """Make a subclass of Section a frozen dataclass with keyword arguments."""
    made = dataclass(init=False, repr=False, eq=False, match_args=False, kw_only=True)(cls)
    found = made.__dataclass_fields__.values()
    made._defaults = {item.name: item.default for item in found if item.default is not MISSING}
    made._factories = tuple((item.name, item.default_factory) for item in found if item.default_factory is not MISSING)
    return made


def _argument_problem(cls: type[Section], values: Mapping[str, Any]) -> str:
    unknown = [name for name in values if name not in cls.__dataclass_fields__]
    if unknown:
        return f"{cls.__name__}() got an unexpected keyword argument {unknown[0]!r}"
    given = {*values, *cls._defaults, *(name for name, _ in cls._factories)}
    missing = [name for name in cls.__dataclass_fields__ if name not in given]
    return f"{cls.__name__}() is missing the keyword arguments {', '.join(map(repr, missing))}"


def is_secret(item: Field[Any]) -> bool:
    """Whether a field may hold a credential."""
    return CREDENTIAL in getattr(item.type, "__metadata__", ())


def default_of(item: Field[Any]) -> Any:
    """The value of a field nobody set; `dataclasses.MISSING` when it must be given."""
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def set_fields(section: Section) -> Iterator[tuple[Field[Any], Any]]:
    """The fields that differ from their defaults, with their values."""
    for item in fields(section):
        value = getattr(section, item.name)
        if value != default_of(item) or type(value) is not type(default_of(item)):
            yield item, value
