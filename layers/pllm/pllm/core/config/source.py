"""Configuration text as values, with the place of every one of them.

YAML is read as its 1.2 core schema does, which is what people expect of a configuration: dates, `12:30` and `no` are text
(a key that is true or false still takes yes and no), only true and false are booleans, numbers are decimal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pllm.core.config.problem import ConfigError, ConfigProblem, Path

MAX_BYTES = 8_000_000
MAX_VALUES = 500_000
MAX_DEPTH = 100


class Mark(NamedTuple):
    """A place in the text, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """`data` is JSON-like: dict, list, str, int, float, bool, None; keys are text. `keys` and `values` say where each key
    and each value stands, by path. `problems` are those that leave the rest readable: keys given twice, foreign tags."""

    file: str
    data: Any
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    problems: tuple[ConfigProblem, ...] = ()

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """The place of a value, or of its key; of the nearest enclosing value where the text has none."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Mark(1, 1))


class SourceError(ConfigError):
    """The text cannot be read as YAML or JSON."""


def problem_at(file: str, mark: Mark, message: str, suggestion: str = "", path: Path = ()) -> ConfigProblem:
    return ConfigProblem(file, mark.line, mark.column, path, message, suggestion)


def read(text: str, file: str) -> Document:
    """Parse YAML, or JSON when the file's name or its first character says so. Raises SourceError.

    A `.yaml` file may hold JSON: what begins with a brace is tried as JSON first, because YAML parsers refuse JSON's escapes
    of characters such as emoji.
    """
    text = text.removeprefix("\ufeff")
    _check_text(text, file)
    named_yaml = file.lower().endswith((".yaml", ".yml"))
    if file.lower().endswith(".json") or text.lstrip()[:1] in ("{", "["):
        from pllm.core.config.source_json import read_json

        try:
            return read_json(text, file)
        except SourceError:
            if not named_yaml:
                raise
    from pllm.core.config.source_yaml import read_yaml

    return read_yaml(text, file)


def _check_text(text: str, file: str) -> None:
    if not text.strip():
        raise SourceError([problem_at(file, Mark(1, 1), "the file is empty", "it needs at least a model_list")])
    if len(text) > MAX_BYTES:
        raise SourceError([problem_at(file, Mark(1, 1), f"the file has {len(text)} characters, more than {MAX_BYTES}")])
    lines: Iterable[str] = text.split("\n")
    for number, line in enumerate(lines, 1):
        for column, character in enumerate(line, 1) if not line.isprintable() else ():
            if (ord(character) < 32 and character not in "\t\r") or 0xD800 <= ord(character) <= 0xDFFF or character == "\x7f":
                raise SourceError([problem_at(file, Mark(number, column), f"character U+{ord(character):04X} is not allowed")])
