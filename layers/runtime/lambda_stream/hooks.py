"""What an app may ask of the runtime: work after the response, SnapStart hooks."""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from snapshot_restore_py import register_after_restore, register_before_snapshot  # type: ignore[import-untyped]

from lambda_stream.loop import environment_loop

logger = logging.getLogger(__name__)

Work = Callable[[], object] | Coroutine[Any, Any, object]
Hook = Callable[[], object]


class AfterResponseWork:
    """The work registered during one invocation; an environment serves one invocation at a time, so there is one queue."""

    def __init__(self) -> None:
        self._pending: deque[Work] = deque()
        self._invocation_runs = False

    def begin(self) -> None:
        """An invocation starts: from now on work is accepted."""
        self._invocation_runs = True

    def add(self, work: Work) -> None:
        """Queue `work`. Raises RuntimeError outside an invocation, TypeError for what cannot be run."""
        if not (callable(work) or inspect.iscoroutine(work)):
            raise TypeError(f"after_response() takes a callable or a coroutine, not {type(work).__name__}")
        if not self._invocation_runs:
            if inspect.iscoroutine(work):
                work.close()
            raise RuntimeError("after_response() was called outside an invocation: there is no response to come after")
        self._pending.append(work)

    @property
    def is_pending(self) -> bool:
        return bool(self._pending)

    async def run(self) -> None:
        """Run everything in the order of registration, work registered meanwhile included. An exception is logged, no more."""
        while self._pending:
            work = self._pending.popleft()
            try:
                await _run_one(work)
            except (Exception, SystemExit, asyncio.CancelledError):
                logger.exception("after-response work failed: %r", work)

    def end(self) -> None:
        """The invocation is over: work is refused until the next one."""
        self._invocation_runs = False


async def _run_one(work: Work) -> None:
    result = work if inspect.iscoroutine(work) else work()  # type: ignore[operator]
    if inspect.isawaitable(result):
        await result


after_response_work = AfterResponseWork()


def after_response(work: Work) -> None:
    """Run `work` after the client has its whole response and before this environment takes the next request.

    `work` is a callable without arguments (plain or async) or a coroutine. It runs on the environment's event loop, in the
    order of registration, inside the invocation: its time is billed and the function's timeout holds. What it raises is logged.
    Raises RuntimeError when no invocation is running (under another ASGI server, or at import time).
    """
    after_response_work.add(work)


def before_snapshot(hook: Hook) -> Hook:
    """Run `hook` (plain or async, no arguments) before SnapStart takes its snapshot: close what must not be frozen.

    Last registered runs first. Returns `hook`, so it works as a decorator. An exception fails the init phase.
    """
    register_before_snapshot(_on_environment_loop(hook))
    return hook


def after_restore(hook: Hook) -> Hook:
    """Run `hook` (plain or async, no arguments) after an environment was restored: make sockets, seeds and ids anew.

    First registered runs first. Returns `hook`, so it works as a decorator. An exception fails the restore.
    """
    register_after_restore(_on_environment_loop(hook))
    return hook


def _on_environment_loop(hook: Hook) -> Callable[[], None]:
    def run() -> None:
        result = hook()
        if inspect.isawaitable(result):
            environment_loop().run_until_complete(_finish(result))

    return run


async def _finish(result: Awaitable[object]) -> None:
    await result
