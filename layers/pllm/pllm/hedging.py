"""A second attempt beside a silent first one: whichever answers first is the answer, the other is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pllm.call import Reply
from pllm.core.errors import GatewayError
from pllm.core.plan import Step
from pllm.core.record import RequestRecord
from pllm.state.health import Observation


@dataclass(frozen=True, slots=True)
class Contender:
    """An attempt that runs beside others, on a record of its own."""

    step: Step
    record: RequestRecord
    watched: Observation
    task: "asyncio.Task[Reply]"


async def race(
    start: Callable[[Step], Contender],
    step: Step,
    beside: Callable[[], Awaitable[Step | None]],
    patience_s: float,
    failed: Callable[[Contender, GatewayError], None],
    slower: Callable[[Contender], None],
) -> tuple[Contender, Reply]:
    """The first answer. `beside` names the second attempt when the first was silent for `patience_s`; it is cancelled if the
    first is over before that. `failed` is told of an attempt that failed, `slower` of one that is cancelled.
    Raises the last one's GatewayError."""
    running = [start(step)]
    try:
        await asyncio.wait({running[0].task}, timeout=patience_s)
        if not running[0].task.done() and (second := await _unless_over(running[0].task, beside)) is not None:
            running.append(start(second))
        winner, reply = await _first(running, failed)
    except BaseException:
        for one in running:
            await _cancelled(one.task)
        raise
    for loser in running:
        slower(loser)
        await _cancelled(loser.task)
    return winner, reply


async def _unless_over(first: "asyncio.Task[Reply]", beside: Callable[[], Awaitable[Step | None]]) -> Step | None:
    asking = asyncio.ensure_future(beside())
    try:
        await asyncio.wait({first, asking}, return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _first(running: list[Contender], failed: Callable[[Contender, GatewayError], None]) -> tuple[Contender, Reply]:
    """Takes who is decided out of `running`."""
    while True:
        await asyncio.wait({one.task for one in running}, return_when=asyncio.FIRST_COMPLETED)
        for one in [one for one in running if one.task.done()]:
            running.remove(one)
            try:
                return one, one.task.result()
            except GatewayError as error:
                failed(one, error)
                if not running:
                    raise


async def _cancelled(task: "asyncio.Task[Reply]") -> None:
    """Waits until a task is over; an answer that it had after all is closed unread."""
    task.cancel()
    (answer,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(answer, Reply):
        if answer.pieces is not None:
            await answer.pieces.aclose()
        if answer.close is not None:
            await answer.close()
