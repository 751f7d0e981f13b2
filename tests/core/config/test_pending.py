from pllm.core.config.pending import PENDING, pending_warnings
from pllm.core.config.problem import Path
from pllm.core.config.schema import Config
from pllm.core.config.source import read
from pllm.core.config.validate import _annotation_at

TABLE = {"model_list[].rpm": "no limits yet", "cache": "no cache yet", "router.fallbacks": "no fallbacks yet"}


def said(text: str) -> list[str]:
    return [str(problem) for problem in pending_warnings(read(text, "c.yaml"), TABLE)]


def test_each_pending_key_is_warned_of_once_where_it_first_stands() -> None:
    text = "model_list:\n  - rpm: 5\n  - rpm: 6\ncache: {enabled: true}\nrouter:\n  fallbacks: {a: [b]}\n"
    assert said(text) == [
        "c.yaml:2:5: warning: 'model_list[].rpm' is read but has no effect in this version (set in 2 places): no limits yet",
        "c.yaml:4:1: warning: 'cache' is read but has no effect in this version: no cache yet",
        "c.yaml:6:3: warning: 'router.fallbacks' is read but has no effect in this version: no fallbacks yet",
    ]


def test_what_asks_for_nothing_is_not_warned_of() -> None:
    assert said("model_list: [{rpm: }]\ncache: {enabled: false}\nrouter: {fallbacks: {}}\n") == []


def test_every_row_of_the_table_is_a_key_of_the_schema() -> None:
    for pattern in PENDING:
        path: list[str | int] = []
        for part in pattern.split("."):
            path += [part.removesuffix("[]"), 0] if part.endswith("[]") else [part]
        where: Path = tuple(path)
        assert _annotation_at(where) is not None, pattern
        assert pattern.split(".")[0].removesuffix("[]") in Config.__dataclass_fields__
