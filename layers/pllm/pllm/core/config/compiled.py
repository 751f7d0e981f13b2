"""A checked configuration as compact JSON: what a cold start reads, with no YAML and no validation.

`{"pllm_config": 1, "etag": "sha256:...", "source": file name, "warnings": [...], "config": {...}}`. Fields at their defaults
are left out, `${...}` stays as written. The etag is the hash of `config`'s own bytes and is checked when read, so that a cut
or edited file is refused rather than run.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pllm.core.config.plain import from_plain, to_plain
from pllm.core.config.problem import ConfigError, ConfigProblem
from pllm.core.config.schema import Config

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class CompiledConfig:
    """What a compiled file holds. `warnings` are those of the text it was made from."""

    config: Config
    warnings: tuple[ConfigProblem, ...]
    etag: str
    source: str


def compile_config(config: Config, warnings: tuple[ConfigProblem, ...] = (), source: str = "config.yaml") -> bytes:
    """The compiled file for a configuration that `load` returned. Equal configurations have equal bytes and etags."""
    plain = to_plain(config)
    document = {
        "pllm_config": SCHEMA_VERSION,
        "etag": _etag(plain),
        "source": source,
        "warnings": [[w.line, w.column, list(w.path), w.message, w.suggestion] for w in warnings],
        "config": plain,
    }
    return _dumps(document)


def etag_of(config: Config) -> str:
    """`sha256:` and 64 hex digits that name this configuration's content."""
    return _etag(to_plain(config))


def load_compiled(data: bytes | str, file: str = "config.json") -> CompiledConfig:
    """The configuration in a compiled file. Raises ConfigError when it is none, of another version, or damaged."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _refused(file, f"not a compiled configuration: {error}") from None
    if not is_compiled(document):
        raise _refused(file, "not a compiled configuration", "make one with `pllm config compile`")
    if document["pllm_config"] != SCHEMA_VERSION:
        message = f"compiled for schema {document['pllm_config']}, this is schema {SCHEMA_VERSION}"
        raise _refused(file, message, "compile it again")
    if _etag(document.get("config")) != document.get("etag"):
        raise _refused(file, "the compiled configuration was changed or cut: its hash does not match", "compile it again")
    source = document["source"]
    return CompiledConfig(
        from_plain(Config, document["config"]), _warnings(document["warnings"], source), document["etag"], source
    )


def is_compiled(document: object) -> bool:
    """Whether parsed JSON is a compiled file rather than a configuration written by hand."""
    return isinstance(document, dict) and "pllm_config" in document


def _warnings(rows: list[Any], source: str) -> tuple[ConfigProblem, ...]:
    return tuple(
        ConfigProblem(source, line, column, tuple(path), message, suggestion, "warning")
        for line, column, path, message, suggestion in rows
    )


def _etag(plain: Any) -> str:
    return "sha256:" + sha256(_dumps(plain)).hexdigest()


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _refused(file: str, message: str, suggestion: str = "") -> ConfigError:
    return ConfigError([ConfigProblem(file, 0, 0, (), message, suggestion)])
