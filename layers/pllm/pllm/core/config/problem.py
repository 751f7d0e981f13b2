"""What is wrong with a configuration, and where, in the form compilers use."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Path = tuple[str | int, ...]
"""Where a value stands: mapping keys and list positions from the root."""


def dotted(path: Path) -> str:
    """`("model_list", 2, "params")` as `model_list[2].params`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One error or warning. `line` and `column` count from 1, 0 when there is no text behind it (a resolved configuration).

    `suggestion` says what to write instead, without a final stop; "" when there is none.
    """

    file: str
    line: int
    column: int
    path: Path
    message: str
    suggestion: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        tail = f"; {self.suggestion}" if self.suggestion else ""
        return f"{place}: {self.severity}: {self.message}{tail}"


class ConfigError(ValueError):
    """The configuration is refused. `problems` holds every error and warning found, in the order of the text."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
