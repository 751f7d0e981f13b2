"""Live configuration: the application of the version that holds, swapped when another one does.

The pointer in the table is looked at every four seconds while there are requests, beside one of them, so that nobody waits.
Only an environment that has not looked for five seconds (it was frozen, or idle) looks before it answers: what was published
five seconds ago holds for every request from then on. A request ends with the application it began with. When the table
cannot be asked, or a version cannot be used, the last good one stays and a line in the log says why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pllm.core.clock import Clock
from pllm.core.config import CompiledConfig, ConfigError
from pllm.core.errors import GatewayError
from pllm.state.config_version import Pointer, Reads, decode_body, read_body, read_pointer, source_name
from pllm.state.store import Item, StateError
from pllm.telemetry.log import Emit, crash_site

LOOK_EVERY_S = 4.0
"""How often the pointer is looked at, by the wall clock: a frozen environment's other clocks stand still."""

STALE_AFTER_S = 5.0
"""A request does not begin on a configuration that was last seen to hold longer ago than this."""


class App(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


Make = Callable[[CompiledConfig, Mapping[str, str], Pointer], App]
"""(configuration, variables, the pointer to it) -> application. Raises ConfigError when a variable is missing that must be
there."""


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What the table said when the environment started, `at_s` by the wall clock. `pointer` is None when it said nothing,
    for `trouble`; `body` is the item of the version pointed to."""

    at_s: float
    pointer: Pointer | None = None
    body: Item | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """`deployed` is version 0. `variables` reads the environment and the secret anew: a version often comes with a new key;
    it may raise GatewayError, then the old ones are used. `renew`: what is to be done when an administrator has changed
    breakers, keys or teams; it does not raise."""

    deployed: CompiledConfig
    make: Make
    variables: Callable[[], Awaitable[Mapping[str, str]]]
    reads: Reads
    clock: Clock
    emit: Emit
    renew: Callable[[], Awaitable[None]] | None = None


class LiveGateway:
    """ASGI application. One instance an environment. Raises ConfigError when the deployed configuration cannot be used."""

    def __init__(self, parts: Parts, variables: Mapping[str, str], first: FirstLook) -> None:
        self._parts = parts
        self._variables = variables
        self._held = Pointer()
        self._news = first.pointer.news if first.pointer is not None else 0
        self._refused: int | None = None
        self._lost = False
        self._seen_s: float | None = None
        self._tried_s = first.at_s
        self._looking: asyncio.Task[None] | None = None
        self._app = self._first(first)

    @property
    def version(self) -> int:
        """The version that new requests are answered by."""
        return self._held.version

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        look = self._look_if_due()
        if look is not None and self._must_wait():
            await asyncio.wait({look})
        app = self._app
        try:
            await app(scope, receive, send)
        finally:
            if look is not None:  # an environment must not be frozen in the middle of it
                await asyncio.wait({look})

    def _first(self, first: FirstLook) -> App:
        if first.pointer is None:
            self._lose(first.trouble)
        else:
            self._seen_s = first.at_s
            app = self._tried(first.pointer, first.body) if first.pointer.version else None
            if app is not None:
                self._took(first.pointer)
                return app
            if not first.pointer.version:
                self._held = first.pointer
        return self._parts.make(self._parts.deployed, self._variables, self._held)

    # --- Looking ----------------------------------------------------------------------------------------------------

    def _look_if_due(self) -> asyncio.Task[None] | None:
        """The look that is under way, or that is due now."""
        if self._looking is None:
            since_s = self._parts.clock.wall_s() - self._tried_s
            if 0 <= since_s < LOOK_EVERY_S:  # below 0 the clock was set back: what it said before means nothing
                return None
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)
        return self._looking

    def _must_wait(self) -> bool:
        if self._lost:
            return False
        return self._seen_s is None or not 0 <= self._parts.clock.wall_s() - self._seen_s < STALE_AFTER_S

    def _looked(self, task: "asyncio.Task[None]") -> None:
        self._looking = None
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._warn(f"the configuration's version could not be looked at: {crash_site(bug)}")

    async def _look(self) -> None:
        now_s = self._tried_s = self._parts.clock.wall_s()
        try:
            pointer = await read_pointer(self._parts.reads)
            await self._heed(pointer.news)
            if pointer.version != self._refused:
                self._refused = None
                if (pointer.version, pointer.moves) != (self._held.version, self._held.moves):
                    await self._change(pointer)
        except StateError as error:
            self._lose(error.reason)
            return
        self._seen_s = now_s
        if self._lost:
            self._lost = False
            self._parts.emit({"level": "INFO", "message": "configuration", "note": "the table answers again"})

    async def _heed(self, news: int) -> None:
        known, self._news = self._news, news
        if news != known and self._parts.renew is not None:
            await self._parts.renew()

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._warn(f"the table cannot be asked which version holds ({reason}); {self._name(self.version)} stays")

    # --- Changing ---------------------------------------------------------------------------------------------------

    async def _change(self, pointer: Pointer) -> None:
        """Raises StateError when the table cannot be asked; every other trouble refuses the version."""
        item = await read_body(self._parts.reads, pointer.version) if pointer.version else None
        try:
            self._variables = await self._parts.variables()
        except GatewayError as error:
            self._warn(f"{error.message} The variables read before are used.")
        # Reading a large one takes long enough to be felt in a stream that is under way.
        app = await asyncio.to_thread(self._tried, pointer, item)
        if app is not None:
            self._took(pointer)
            self._app = app

    def _tried(self, pointer: Pointer, body: Item | None) -> App | None:
        """The application of a version; None, and the version refused, when it cannot be used."""
        version = pointer.version
        try:
            config = decode_body(body, version) if version else self._parts.deployed
            return self._parts.make(config, self._variables, pointer)
        except ConfigError as error:
            self._refuse(version, "; ".join(str(problem) for problem in error.problems))
        except Exception as error:  # noqa: BLE001 - a bug in the building must not end a gateway that serves
            self._refuse(version, crash_site(error))
        return None

    def _refuse(self, version: int, why: str) -> None:
        self._refused = version
        self._warn(f"{source_name(version)} is refused and {self._name(self.version)} stays: {why}")

    def _took(self, pointer: Pointer) -> None:
        version, before, self._held = pointer.version, self.version, pointer
        line = {"level": "INFO", "message": "configuration", "version": version, "before": before}
        self._parts.emit(line | {"note": f"{self._name(version)} is in use"})

    def _name(self, version: int) -> str:
        return source_name(version) if version else "the configuration of the deployment"

    def _warn(self, words: str) -> None:
        self._parts.emit({"level": "WARN", "message": "configuration", "warning": words})
