"""Structured log lines: one JSON object a line on standard output, as CloudWatch Logs Insights reads them."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

Emit = Callable[[dict[str, Any]], None]
"""Takes one JSON object and writes it as one line."""


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


def emit_to_stdout(line: dict[str, Any]) -> None:
    sys.stdout.write(_encoder.encode(line) + "\n")
    sys.stdout.flush()


_LEAST = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_SEVERITY = {"INFO": 1, "WARN": 2, "ERROR": 3}


class Log:
    """Where the lines of an environment go: those that are severe enough, and every metric, under the deployment's namespace.
    An `Emit`."""

    def __init__(self, write: Emit, namespace: str) -> None:
        self._write = write
        self._namespace = namespace
        self._least = _LEAST["info"]

    def adopt(self, level: str) -> None:
        """From now on lines below `level` (debug, info, warning, error) are left out: the configuration in use says so."""
        self._least = _LEAST[level]

    def __call__(self, line: dict[str, Any]) -> None:
        if "_aws" in line:
            for directive in line["_aws"]["CloudWatchMetrics"]:
                directive["Namespace"] = self._namespace
        elif _SEVERITY.get(line.get("level", ""), self._least) < self._least:
            return
        self._write(line)


def crash_site(error: BaseException) -> str:
    """Where an exception came from, without its message: a message may quote a prompt or a credential."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return f"{type(error).__name__} in " + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
