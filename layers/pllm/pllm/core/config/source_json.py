"""JSON with the place of every value. The standard library's parser tells no places, so this one walks the text itself,
with the library's own string scanner. A cold function reads JSON configurations with it: no YAML package is needed."""

import json
import re
from bisect import bisect_right
from math import isinf
from typing import Any

from pllm.core.config.problem import ConfigProblem, Path
from pllm.core.config.source import MAX_DEPTH, Document, Mark, SourceError, problem_at

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?|true|false|null", re.ASCII)
_DECODER = json.JSONDecoder()
_CONSTANTS = {"true": True, "false": False, "null": None}


def read_json(text: str, file: str) -> Document:
    """Parse one JSON value. Duplicate keys are problems of the document, both places named. Raises SourceError."""
    reader = _Reader(text, file)
    data = reader.document()
    return Document(file, data, reader.keys, reader.values, tuple(reader.problems))


class _Reader:
    """A recursive descent over `text`; `at` is the position."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.at = 0
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}
        self.problems: list[ConfigProblem] = []
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Any:
        data = self.value(())
        self.skip()
        if self.at < len(self.text):
            raise self.error("expected the end of the file")
        return data

    def value(self, path: Path) -> Any:
        self.skip()
        if len(path) > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH}")
        self.values[path] = self.mark(self.at)
        first = self.text[self.at : self.at + 1]
        if first == "{":
            return self.mapping(path)
        if first == "[":
            return self.sequence(path)
        return self.string() if first == '"' else self.scalar()

    def mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while not self.closed("}", bool(found)):
            mark = self.mark(self.at)
            if self.text[self.at : self.at + 1] != '"':
                raise self.error("expected a key in double quotes")
            key = self.string()
            self.expect(":")
            self.note_key((*path, key), mark, key in found)
            found[key] = self.value((*path, key))
        return found

    def note_key(self, path: Path, mark: Mark, seen: bool) -> None:
        if seen:
            first = self.keys[path]
            message = f"key {path[-1]!r} stands here again; it was first given on line {first.line}"
            self.problems.append(problem_at(self.file, mark, message, "keep one of them", path))
        else:
            self.keys[path] = mark

    def sequence(self, path: Path) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while not self.closed("]", bool(found)):
            found.append(self.value((*path, len(found))))
        return found

    def closed(self, bracket: str, after_item: bool) -> bool:
        """Whether the collection ends here; steps over the comma between items."""
        self.skip()
        if self.text.startswith(bracket, self.at):
            self.at += 1
            return True
        if after_item:
            self.expect(",")
            self.skip()
        return False

    def string(self) -> str:
        try:
            text, self.at = _DECODER.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            self.at = error.pos
            raise self.error(error.msg[0].lower() + error.msg[1:]) from None
        if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            raise self.error("a text holds half a character (a lone surrogate)")
        return str(text)

    def scalar(self) -> Any:
        match = _SCALAR.match(self.text, self.at)
        if not match:
            raise self.error("expected a value")
        word = match[0]
        if word not in _CONSTANTS and (len(word) > 40 or isinf(float(word))):
            raise self.error("a number beyond all measure")
        self.at = match.end()
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        return float(word) if match[1] or match[2] else int(word)

    def expect(self, character: str) -> None:
        self.skip()
        if not self.text.startswith(character, self.at):
            raise self.error(f"expected {character!r}")
        self.at += 1

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def mark(self, at: int) -> Mark:
        line = bisect_right(self._line_starts, at)
        return Mark(line, at - self._line_starts[line - 1] + 1)

    def error(self, reason: str) -> SourceError:
        return SourceError([*self.problems, problem_at(self.file, self.mark(self.at), f"not JSON: {reason}")])
