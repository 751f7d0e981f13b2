"""Keys that are read and checked, but not acted on yet. One start-up warning for each; delete a row when its key works.

A pattern is a dotted path; `[]` stands for any list position, `*` for any name, and a pattern covers what lies under it.
"""

from pllm.core.config.problem import ConfigProblem, Path
from pllm.core.config.source import Document

PENDING: dict[str, str] = {
    "cache": "there is no cache yet",
    "guardrails": "there are no guardrails yet",
}


def pending_warnings(document: Document, table: dict[str, str] | None = None) -> list[ConfigProblem]:
    """One warning for each pattern that the document sets, at its first place. A switched-off section warns of nothing."""
    table = PENDING if table is None else table
    places: dict[str, list[Path]] = {}
    for path in document.keys:
        pattern = _pattern(path)
        if pattern in table and not _asks_nothing(_value(document, path)):
            places.setdefault(pattern, []).append(path)
    return [_warning(document, pattern, paths, table[pattern]) for pattern, paths in places.items()]


def _warning(document: Document, pattern: str, paths: list[Path], missing: str) -> ConfigProblem:
    mark = document.mark(paths[0], key=True)
    more = f" (set in {len(paths)} places)" if len(paths) > 1 else ""
    message = f"'{pattern}' is read but has no effect in this version{more}: {missing}"
    return ConfigProblem(document.file, mark.line, mark.column, paths[0], message, severity="warning")


def _pattern(path: Path) -> str:
    text = ""
    for step in path:
        text += "[]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _asks_nothing(value: object) -> bool:
    """Whether a value asks for nothing that is missing, so that its having no effect is no loss."""
    return value in (None, False, {}, []) or (isinstance(value, dict) and value.get("enabled") is False)


def _value(document: Document, path: Path) -> object:
    value = document.data
    for step in path:
        value = value[step]
    return value
