"""What the tests of the live configuration share: a table that can fail, and an environment that looks at it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.versions import history_of

from pllm.core.clock import ManualClock
from pllm.core.config import CompiledConfig, ConfigError, ConfigProblem, compile_config, load_compiled
from pllm.core.config.loader import load
from pllm.core.errors import ErrorKind, GatewayError
from pllm.live import App, FirstLook, LiveGateway, Parts
from pllm.state.config_version import Pointer, read_body, read_pointer
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError

VARIABLES = {"KEY": "old"}


def text(name: str) -> str:
    return f"model_list: [{{model_name: {name}, params: {{model: gpt-4}}}}]\n"


def compiled(name: str) -> CompiledConfig:
    return load_compiled(compile_config(load(text(name)).config))


class Table(MemoryStore):
    """Counts what is read; fails or hangs as told."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.failure: StateError | None = None
        self.gate: asyncio.Event | None = None

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        self.reads += 1
        assert consistent, "a version that is published must be seen at once"
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return await super().get(pk, sk)


@dataclass
class World:
    """A gateway over a table. `answers`: (model name, version, KEY) of the applications that answered, in order; `orders`: how
    often the pointer had been moved for each."""

    clock: ManualClock = field(default_factory=ManualClock)
    table: Table = field(default_factory=Table)
    lines: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[str, int, str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=lambda: {"KEY": "new"})
    unreadable: bool = False
    hold: asyncio.Event | None = None
    renewed: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)

    def make(self, config: CompiledConfig, variables: Mapping[str, str], pointer: Pointer) -> App:
        name = config.config.model_list[0].model_name
        if name == "needs-more":
            raise ConfigError([ConfigProblem("x", 0, 0, (), "MORE is not set")])
        if name == "bug":
            raise RuntimeError("a bug")
        key = variables["KEY"]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if self.hold is not None:
                await self.hold.wait()
            self.answers.append((name, pointer.version, key))
            self.orders.append(pointer.moves)

        return app

    async def read_variables(self) -> Mapping[str, str]:
        if self.unreadable:
            raise GatewayError(ErrorKind.UNAVAILABLE, "The secret is gone.")
        return self.variables

    async def first_look(self) -> FirstLook:
        pointer = await read_pointer(self.table)
        body = await read_body(self.table, pointer.version) if pointer.version else None
        return FirstLook(self.clock.wall_s(), pointer, body)

    def gateway(self, first: FirstLook | None = None) -> LiveGateway:
        parts = Parts(
            compiled("deployed"), self.make, self.read_variables, self.table, self.clock, self.lines.append, self.renew
        )
        return LiveGateway(parts, VARIABLES, first or FirstLook(self.clock.wall_s(), Pointer()))

    async def renew(self) -> None:
        """Notes how many answers there were before it was asked for."""
        await asyncio.sleep(0)
        self.renewed.append(len(self.answers))

    async def publish(self, name: str) -> int:
        history = history_of(self.table, self.clock)
        published = await history.publish(text(name), expected=(await history.pointer()).version, by="test")
        self.table.reads = 0
        return published.version

    async def back(self, version: int) -> None:
        history = history_of(self.table, self.clock)
        await history.roll_back(version, expected=(await history.pointer()).version, by="test")

    async def ask(self, live: LiveGateway) -> tuple[str, int, str]:
        await live({}, None, None)
        return self.answers[-1]

    def warnings(self) -> list[str]:
        return [line["warning"] for line in self.lines if line["level"] == "WARN"]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the code under test has no event to wait for
        await asyncio.sleep(0)
