"""YAML with the place of every value. Imported only when YAML is read: a compiled configuration needs none of this.

PyYAML composes the nodes (with libyaml where it is there) and this module gives them their values, because PyYAML's own
rules are YAML 1.1's: `no` false, `2024-10-21` a date, `010` eight, `1e-06` text.
"""

import re
from collections.abc import Iterator
from math import isinf
from typing import Any

from pllm.core.config.problem import ConfigProblem, Path
from pllm.core.config.source import MAX_DEPTH, MAX_VALUES, Document, Mark, SourceError, problem_at

try:
    import yaml
    from yaml.events import CollectionEndEvent, CollectionStartEvent, Event
    from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
except ImportError:  # pragma: no cover - the data plane ships no YAML package
    raise ImportError("reading YAML needs the PyYAML package; give the configuration as JSON, or compiled") from None

_PLAIN = "!plain"
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_PADDED = re.compile(r"[-+]?0[0-9_]+", re.ASCII)
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


# Marks every unquoted scalar, so that it can be told from a quoted one and from `!!str`.
_ALL_PLAIN = {None: [(_PLAIN, re.compile("", re.ASCII))]}


class _PurePythonLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = _ALL_PLAIN


def _loader(text: str) -> Any:
    if not yaml.__with_libyaml__:  # pragma: no cover - PyYAML built without libyaml
        return _PurePythonLoader(text)

    class LibYamlLoader(yaml.CSafeLoader):
        yaml_implicit_resolvers = _ALL_PLAIN

    return LibYamlLoader(text)


def read_yaml(text: str, file: str) -> Document:
    """Parse one YAML document. Duplicate keys, foreign tags and self-reference are its problems. Raises SourceError."""
    try:
        _check_depth(text, file)
        root = _loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise SourceError([_syntax_problem(error, text, file)]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SourceError([problem_at(file, Mark(1, 1), f"not YAML: {error or 'nested too deeply'}")]) from None
    if root is None:
        raise SourceError([problem_at(file, Mark(1, 1), "the file holds only comments", "it needs at least a model_list")])
    builder = _Builder(file)
    data = builder.value(root, ())
    return Document(file, data, builder.keys, builder.values, tuple(builder.problems))


def _check_depth(text: str, file: str) -> None:
    """libyaml's composer recurses in C and takes the process with it when the nesting is absurd; its parser does not."""
    depth, parser = 0, _loader(text)
    while parser.check_event():
        event = parser.get_event()
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise SourceError([problem_at(file, _mark(event), f"nested deeper than {MAX_DEPTH}")])


def _syntax_problem(error: "yaml.MarkedYAMLError", text: str, file: str) -> ConfigProblem:
    place = error.problem_mark or error.context_mark
    mark = Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)
    lines = text.splitlines()
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        column = indent.index("\t") + 1
        return problem_at(file, Mark(mark.line, column), "a tab indents this line; YAML takes spaces only", "use spaces")
    reason = (error.problem or "it cannot be read").replace("\n", " ")
    if "another document" in reason:
        return problem_at(file, mark, "a second document begins here ('---')", "keep one document in a file")
    suggestion = "a value that begins with this character needs quotes" if "cannot start any token" in reason else ""
    return problem_at(file, mark, f"not YAML: {reason}", suggestion)


class _Builder:
    """Nodes to values. `problems` collects what is wrong, so that all of it is told at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}
        self.problems: list[ConfigProblem] = []
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: Node, path: Path) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or len(path) > MAX_DEPTH:
            what = f"more than {MAX_VALUES} values" if self._count > MAX_VALUES else f"nested deeper than {MAX_DEPTH}"
            raise SourceError(
                [*self.problems, problem_at(self.file, _mark(node), f"{what}, anchors counted each time they are used")]
            )
        self.values[path] = _mark(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._complain(node, path, "this anchor contains itself")
            return None
        self._open.add(id(node))
        found = self._mapping(node, path) if isinstance(node, MappingNode) else self._sequence(node, path)
        self._open.discard(id(node))
        return found

    def _sequence(self, node: Node, path: Path) -> list[Any]:
        self._check_tag(node, path, "seq")
        return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        self._check_tag(node, path, "map")
        found: dict[str, Any] = {}
        seen: dict[str, Mark] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _PLAIN and key_node.value == "<<":
                merged.append(value_node)
                continue
            key = self._key(key_node, path)
            if key in seen:
                message = f"key {key!r} stands here again; it was first given on line {seen[key].line}"
                self._complain(key_node, (*path, key), message, "keep one of them")
                continue
            seen[key] = self.keys[*path, key] = _mark(key_node)
            found[key] = self.value(value_node, (*path, key))
        for source in merged:
            self._merge(source, path, found)
        return found

    def _merge(self, node: Node, path: Path, found: dict[str, Any]) -> None:
        """`<<: *anchor` or `<<: [*a, *b]`: what is written out goes before it, and earlier anchors before later ones."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, MappingNode) or id(source) in self._open:
                self._complain(source, path, "'<<' takes an anchor of a mapping, or a list of them")
                continue
            for key_node, value_node in self._entries(source):
                key = self._key(key_node, path)
                if key not in found:
                    self.keys[*path, key] = _mark(key_node)
                    found[key] = self.value(value_node, (*path, key))

    def _entries(self, node: MappingNode, depth: int = 0) -> Iterator[tuple[Node, Node]]:
        """The entries of a merged mapping, with those it merges itself after its own."""
        nested: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _PLAIN and key_node.value == "<<":
                nested += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
            else:
                yield key_node, value_node
        for source in nested:
            if not isinstance(source, MappingNode) or depth > MAX_DEPTH:
                raise SourceError([*self.problems, problem_at(self.file, _mark(source), "'<<' takes an anchor of a mapping")])
            yield from self._entries(source, depth + 1)

    def _key(self, node: Node, path: Path) -> str:
        if isinstance(node, ScalarNode):
            return str(node.value)
        self._complain(node, path, "a key is text, not a list or a mapping")
        return ""

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        if node.tag == _PLAIN:
            return _plain_value(node.value)
        if node.tag in ("!", f"{_TAG}str"):
            return node.value
        self._check_tag(node, path, "")
        return None

    def _check_tag(self, node: Node, path: Path, kind: str) -> None:
        if node.tag not in (f"{_TAG}{kind}", "!"):
            tag = node.tag.replace(_TAG, "!!")
            self._complain(node, path, f"the tag {tag} is not allowed here", "leave the tag out")

    def _complain(self, node: Node, path: Path, message: str, suggestion: str = "") -> None:
        self.problems.append(problem_at(self.file, _mark(node), message, suggestion, path))


def _mark(place: "Node | Event") -> Mark:
    mark = place.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _plain_value(text: str) -> Any:
    """An unquoted scalar by YAML 1.2's core schema; `010` stays text, since half of its readers take it for eight."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 40 or _PADDED.fullmatch(text):
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return text if isinf(float(text)) else float(text)
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    return text
