"""The environments of one function: cold starts under load, one invocation at a time in each, a queue before them."""

import asyncio
import logging
from collections import deque

from lambda_stream.local.environment import CLOSED, Environment, Output, State
from lambda_stream.local.invocation import Invocation
from lambda_stream.local.replies import ThrottledError
from lambda_stream.local.specs import FunctionSpec, Limits

logger = logging.getLogger(__name__)


class EnvironmentPool:
    """Up to `max_environments` environments of `spec`. Use `invoke`; end with `close`."""

    def __init__(self, spec: FunctionSpec, limits: Limits, max_environments: int, output: Output) -> None:
        self.spec = spec
        self._limits = limits
        self._max_environments = max_environments
        self._output = output
        self._lives: dict[Environment, asyncio.Task[None]] = {}
        self._idle: list[Environment] = []
        self._waiting: deque[Invocation] = deque()
        self._is_closed = False

    @property
    def environments(self) -> tuple[Environment, ...]:
        """Those alive, oldest first."""
        return tuple(self._lives)

    def invoke(self, event: bytes) -> Invocation:
        """Queue `event` for the next free environment. Raises ThrottledError when the queue is full."""
        if not self._idle and len(self._waiting) >= self._limits.queue_length + self._room():
            raise ThrottledError(
                f"{self.spec.name}: {len(self._lives)} environments busy, {len(self._waiting)} requests waiting"
            )
        invocation = Invocation(event)
        if self._is_closed:
            invocation.fail(CLOSED)
        else:
            self._waiting.append(invocation)
            self._pump()
        return invocation

    async def close(self) -> None:
        """End every worker; what is in flight fails."""
        self._is_closed = True
        while self._waiting:
            self._waiting.popleft().fail(CLOSED)
        lives = tuple(self._lives.values())
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    def _room(self) -> int:
        """How many waiting requests will get an environment of their own."""
        starting = sum(environment.state is State.STARTING for environment in self._lives)
        return starting + self._max_environments - len(self._lives)

    def _pump(self) -> None:
        while self._waiting and self._idle:
            # The one used last is the warmest, and the others may stay unused, as on Lambda.
            self._idle.pop().dispatch(self._waiting.popleft())
        starting = sum(environment.state is State.STARTING for environment in self._lives)
        while len(self._waiting) > starting and len(self._lives) < self._max_environments:
            self._start()
            starting += 1

    def _start(self) -> None:
        environment = Environment(self.spec, self._limits, self._output, self._became_idle, self._died)
        self._lives[environment] = asyncio.get_running_loop().create_task(environment.live())

    def _became_idle(self, environment: Environment) -> None:
        self._idle.append(environment)
        self._pump()

    def _died(self, environment: Environment, reason: str) -> None:
        if not self._is_closed:
            logger.error("%s: an environment ended: %s", self.spec.name, reason)
        self._lives.pop(environment, None)
        if environment in self._idle:
            self._idle.remove(environment)
        if not environment.was_ready and self._waiting:
            # Its cold start was for somebody: that request gets the error, the next one a new attempt.
            self._waiting.popleft().fail(reason)
        self._pump()
