"""A document against the schema: every key known, every value of its kind, told in plain words and all at once."""

from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pllm.core.config.problem import ConfigProblem, Path, dotted
from pllm.core.config.schema import Config
from pllm.core.config.section import Section, is_secret
from pllm.core.config.source import Document
from pllm.core.config.suggest import suggest_key
from pllm.core.config.units import show

_UNQUOTED_MESSAGE = "expected text (or a list of texts), with no empty ones"


def validate(document: Document) -> tuple[Config | None, list[ConfigProblem]]:
    """The configuration, or None with everything that is wrong with its shape."""
    from pydantic import ValidationError

    try:
        return cast("Config", _adapter().validate_python(document.data)), []
    except ValidationError as error:
        return None, [_problem(document, dict(item)) for item in error.errors(include_url=False)]


@lru_cache(maxsize=1)
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Config)


def _problem(document: Document, error: dict[str, Any]) -> ConfigProblem:
    path: Path = error["loc"]
    at_key = path[-1:] == ("[key]",) or error["type"] == "unexpected_keyword_argument"
    path = tuple(step for step in path if step != "[key]")
    message, suggestion = _words(error, path)
    mark = document.mark(path, key=at_key)
    return ConfigProblem(document.file, mark.line, mark.column, path, message, suggestion)


def _words(error: dict[str, Any], path: Path) -> tuple[str, str]:
    kind, value = error["type"], error.get("input")
    if kind == "unexpected_keyword_argument":
        owner = section_at(path[:-1]) or Config
        return f"unknown key '{path[-1]}'{_within(path[:-1])}", suggest_key(str(path[-1]), owner)
    if kind == "missing":
        return f"the key '{path[-1]}' is missing{_within(path[:-1])}", ""
    where = f"'{dotted(path)}': " if path else ""
    if kind == "value_error":
        said = str(error["ctx"]["error"])
        about_key = error["loc"][-1:] == ("[key]",)
        return where + (_UNQUOTED_MESSAGE if is_secret_path(path) and not about_key else said), ""
    wanted = "a mapping" if kind in ("dataclass_type", "mapping_type", "dict_type") else "a list"
    got = "something else" if is_secret_path(path) else show(value)
    return f"{where}expected {wanted}, got {got}", ""


def _within(path: Path) -> str:
    return f" in '{dotted(path)}'" if path else ""


def section_at(path: Path) -> type[Section] | None:
    """The class of the section that stands at a path; None where there is none."""
    found = _annotation_at(path)
    return found if isinstance(found, type) and issubclass(found, Section) else None


def is_secret_path(path: Path) -> bool:
    """Whether a value at this path may be a credential."""
    for length in range(1, len(path) + 1):
        owner, name = section_at(path[: length - 1]), path[length - 1]
        field = owner.__dataclass_fields__.get(str(name)) if owner else None
        if field is not None and is_secret(field):
            return True
    return False


def _annotation_at(path: Path) -> Any:
    annotation: Any = Config
    for step in path:
        annotation = _inside(annotation, step)
        if annotation is None:
            return None
    return _bare(annotation)


def _inside(annotation: Any, step: str | int) -> Any:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Section):
        field = bare.__dataclass_fields__.get(str(step))
        return field.type if field else None
    arguments = get_args(bare)
    return (arguments[0] if get_origin(bare) is tuple else arguments[-1]) if arguments else None


def _bare(annotation: Any) -> Any:
    """The type without `Annotated` and without `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin is UnionType or origin is Union:
        return _bare(next(item for item in get_args(annotation) if item is not NoneType))
    return annotation
