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


def crash_site(error: BaseException) -> str:
    """Where an exception came from, without its message: a message may quote a prompt or a credential."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return f"{type(error).__name__} in " + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
