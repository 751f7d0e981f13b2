"""What a local Lambda is told: its functions, its routes, its limits."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["stream", "buffered"]


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function. Its workers see `env` and Lambda's variables; of this process's environment only PATH, HOME and the like.

    `handler` is module.attribute of an ASGI app, found in `code_paths`: the first is the worker's working directory and its
    LAMBDA_TASK_ROOT, all of them begin its PYTHONPATH. `timeout_s` is enforced by killing the worker. `memory_mb` is told to
    the function, not enforced.
    """

    name: str
    handler: str
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 900.0
    memory_mb: int = 1024
    mode: Mode = "stream"
    code_paths: tuple[str, ...] = ()
    python: str = sys.executable

    def __post_init__(self) -> None:
        if not self.name or "." not in self.handler:
            raise ValueError(
                f"function {self.name!r}: a name and a handler 'module.attribute' are needed, got {self.handler!r}"
            )
        if self.timeout_s <= 0:
            raise ValueError(f"function {self.name!r}: timeout_s is {self.timeout_s}; it must be above 0")


@dataclass(frozen=True, slots=True)
class Route:
    """Sends requests to the function named `function`: those below `prefix` (whole path segments), or those `matches` accepts.

    `matches` gets the method and the undecoded path. Routes are asked in order; the first that matches wins.
    """

    function: str
    prefix: str = "/"
    matches: Callable[[str, str], bool] | None = None

    def accepts(self, method: str, path: str) -> bool:
        """Whether this route takes the request."""
        if self.matches is not None:
            return self.matches(method, path)
        prefix = self.prefix.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")


@dataclass(frozen=True, slots=True)
class Limits:
    """The service limits that are kept. Bytes, seconds and counts; the defaults are AWS's, but for the queue.

    Lambda throttles at once when the concurrency limit is reached; a laptop has few environments, so up to `queue_length`
    requests wait for one before further ones get 429.
    """

    request_body_bytes: int = 10 * 1024 * 1024
    event_bytes: int = 6 * 1024 * 1024
    queue_length: int = 256
    init_timeout_s: float = 60.0
