"""Sections as JSON values and back, without validation: for what was validated before it was written.

Only what differs from its default is written. Reading is what a cold start pays for, so it looks at nothing it need not.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pllm.core.config.section import Section, set_fields

S = TypeVar("S", bound=Section)
_Convert = Callable[[Any], Any]


def to_plain(value: Any) -> Any:
    """JSON values of a section or of anything in one; fields at their defaults are left out."""
    if isinstance(value, Section):
        return {field.name: to_plain(item) for field, item in set_fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def from_plain(cls: type[S], data: Mapping[str, Any]) -> S:
    """The section that `to_plain` wrote. Raises TypeError for keys it never writes."""
    arguments = dict(data)
    for name, convert in _converters(cls).items():
        if name in arguments:
            arguments[name] = convert(arguments[name])
    return cls(**arguments)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every text in it changed (mapping keys are names and stay). What does not change is shared."""
    if isinstance(value, str):
        changed = value if isinstance(value, Enum) else change(value)
        return value if changed == value else changed
    if isinstance(value, Section):
        return _map_section(value, change)
    if isinstance(value, tuple):
        return _kept(value, tuple(map_texts(item, change) for item in value))
    if isinstance(value, dict):
        return _kept(value, {key: map_texts(item, change) for key, item in value.items()})
    if isinstance(value, list):
        return _kept(value, [map_texts(item, change) for item in value])
    return value


def _map_section(section: S, change: Callable[[str], str]) -> S:
    changes: dict[str, Any] = {}
    for name, item in vars(section).items():
        if item.__class__ not in _NO_TEXT and (new := map_texts(item, change)) is not item:
            changes[name] = new
    return replace(section, **changes) if changes else section


_NO_TEXT = frozenset({NoneType, bool, int, float})


def _kept(old: Any, new: Any) -> Any:
    pairs = zip(old.values(), new.values(), strict=True) if isinstance(old, dict) else zip(old, new, strict=True)
    return old if all(before is after for before, after in pairs) else new


_known: dict[type[Section], dict[str, _Convert]] = {}


def _converters(cls: type[Section]) -> dict[str, _Convert]:
    """The fields of a class whose JSON values need converting, worked out once."""
    if cls not in _known:
        _known[cls] = _work_out_converters(cls)
    return _known[cls]


def _work_out_converters(cls: type[Section]) -> dict[str, _Convert]:
    found = {name: _converter(field.type) for name, field in cls.__dataclass_fields__.items()}
    return {name: convert for name, convert in found.items() if convert is not None}


def _converter(annotation: Any) -> _Convert | None:
    """How a JSON value becomes the annotated one; None when it already is."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _converter(arguments[0])
    if origin is UnionType or origin is Union:
        return _converter(next(argument for argument in arguments if argument is not NoneType))
    if origin is tuple:
        return _tuple_converter(_converter(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_converter(_converter(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return lambda data: from_plain(annotation, data)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Enum) else None


def _tuple_converter(item: _Convert | None) -> _Convert:
    return tuple if item is None else lambda values: tuple(map(item, values))


def _mapping_converter(item: _Convert | None) -> _Convert | None:
    return None if item is None else lambda values: {key: item(value) for key, value in values.items()}
