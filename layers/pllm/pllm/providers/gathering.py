"""One request that takes calls of several bodies, a few of them at a time (see wire.lane.GatheringLane)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from pllm.core.errors import GatewayError
from pllm.providers.base import HttpRequest, Timeouts, Transport, error_body
from pllm.wire.lane import Part, WireRequest

MOST_AT_ONCE = 8
"""More would be a burst that providers throttle, and hold more answers in memory than are needed."""

Prepare = Callable[[WireRequest], Awaitable[HttpRequest]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """`parts`: the good answers, in the order of the calls, all of them where `failure` is None. `failure`: the first answer
    that was an error, or why there was none. `lost`: a call got no answer, and may have been billed."""

    parts: tuple[Part, ...]
    failure: Part | GatewayError | None = None
    lost: bool = False


async def gather(transport: Transport, prepare: Prepare, request: WireRequest, timeouts: Timeouts) -> Gathered:
    """Sends every body of `request`. After a failure no further call is begun; those under way are waited for, since they
    are billed. Raises nothing of the network's; when it is cancelled, no call is left running."""
    sending = _Sending(transport, prepare, request, timeouts)
    if len(request.bodies) == 1:
        await sending.work()
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(MOST_AT_ONCE, len(request.bodies))):
                group.create_task(sending.work())
    return Gathered(tuple(part for _, part in sorted(sending.good.items())), sending.failure, sending.lost)


class _Sending:
    def __init__(self, transport: Transport, prepare: Prepare, request: WireRequest, timeouts: Timeouts) -> None:
        self._transport = transport
        self._prepare = prepare
        self._request = replace(request, bodies=())
        self._timeouts = timeouts
        self._left: Iterator[tuple[int, bytes]] = iter(enumerate(request.bodies))
        self.good: dict[int, Part] = {}
        self.failure: Part | GatewayError | None = None
        self.lost = False

    async def work(self) -> None:
        """Makes the next call, until there is none left or one failed."""
        for number, body in self._left:
            try:
                part = await self._one(number, body)
            except GatewayError as error:
                self.failure = self.failure or error
                self.lost = True
                return
            if not 200 <= part.status < 300:
                self.failure = self.failure or part
                return
            self.good[number] = part
            if self.failure is not None:
                return

    async def _one(self, number: int, body: bytes) -> Part:
        http = await self._prepare(replace(self._request, body=body))
        response = await self._transport.send(http, self._timeouts)
        try:
            good = 200 <= response.status < 300
            answer = await (response.read() if good else error_body(response))
            return Part(response.status, response.headers, answer, number)
        finally:
            await response.close()
