"""Live configuration: what holds when, who waits, and what stays when something is wrong."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.versions import history_of

from pllm.core.clock import ManualClock
from pllm.core.config import CompiledConfig, ConfigError, ConfigProblem, compile_config, load_compiled
from pllm.core.config.loader import load
from pllm.core.errors import ErrorKind, GatewayError
from pllm.live import LOOK_EVERY_S, STALE_AFTER_S, App, FirstLook, LiveGateway, Parts
from pllm.state.config_version import Pointer, body_key, breakers_moved, read_body, read_pointer
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError, Update

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
    """A gateway over a table. `answers`: (model name, version, KEY) of the applications that answered, in order."""

    clock: ManualClock = field(default_factory=ManualClock)
    table: Table = field(default_factory=Table)
    lines: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[str, int, str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=lambda: {"KEY": "new"})
    unreadable: bool = False
    hold: asyncio.Event | None = None
    renewed: list[int] = field(default_factory=list)

    def make(self, config: CompiledConfig, variables: Mapping[str, str], version: int) -> App:
        name = config.config.model_list[0].model_name
        if name == "needs-more":
            raise ConfigError([ConfigProblem("x", 0, 0, (), "MORE is not set")])
        if name == "bug":
            raise RuntimeError("a bug")
        key = variables["KEY"]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if self.hold is not None:
                await self.hold.wait()
            self.answers.append((name, version, key))

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


async def test_requests_ask_the_table_nothing_while_the_last_look_is_young() -> None:
    world = World()
    live = world.gateway()
    for _ in range(3):
        world.clock.advance(1.3)
        assert await world.ask(live) == ("deployed", 0, "old")
    assert world.table.reads == 0


async def test_a_published_version_answers_the_next_request_after_five_seconds_with_variables_read_anew() -> None:
    world = World()
    live = world.gateway()
    await world.publish("a")
    world.clock.advance(STALE_AFTER_S)
    assert await world.ask(live) == ("a", 1, "new")
    assert (live.version, world.table.reads) == (1, 2)
    line = world.lines[-1]
    assert (line["level"], line["version"], line["before"], line["note"]) == ("INFO", 1, 0, "configuration version 1 is in use")
    await world.ask(live)
    assert world.table.reads == 2


async def test_news_of_breakers_are_heeded_before_the_next_request_of_an_idle_environment_and_once() -> None:
    world = World()
    live = world.gateway()
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert world.renewed == []
    await world.table.update(breakers_moved())
    await world.publish("a")
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert (world.renewed, live.version) == ([1], 1)
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert world.renewed == [1]


async def test_an_environment_that_starts_has_no_news_of_what_was_before() -> None:
    world = World()
    await world.table.update(breakers_moved())
    live = world.gateway(FirstLook(world.clock.wall_s(), await read_pointer(world.table)))
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert world.renewed == []


async def test_nobody_waits_for_a_look_that_is_only_due() -> None:
    world = World()
    live = world.gateway()
    await world.publish("a")
    world.table.gate = asyncio.Event()
    world.clock.advance(LOOK_EVERY_S)
    request = asyncio.create_task(live({}, None, None))
    await until(lambda: bool(world.answers))
    assert world.answers == [("deployed", 0, "old")]
    assert not request.done(), "the invocation ends with the look, or the environment would be frozen in it"
    world.table.gate.set()
    await request
    assert await world.ask(live) == ("a", 1, "new")


async def test_one_look_is_enough_for_requests_that_come_together() -> None:
    world = World()
    live = world.gateway()
    world.clock.advance(60)
    await asyncio.gather(*(live({}, None, None) for _ in range(5)))
    assert world.table.reads == 1
    assert len(world.answers) == 5


async def test_a_request_ends_with_the_application_it_began_with() -> None:
    world = World(hold=asyncio.Event())
    live = world.gateway()
    old = asyncio.create_task(live({}, None, None))
    await asyncio.sleep(0)
    await world.publish("a")
    world.clock.advance(STALE_AFTER_S)
    new = asyncio.create_task(live({}, None, None))
    await until(lambda: live.version == 1)
    assert world.hold is not None
    world.hold.set()
    await asyncio.gather(old, new)
    assert sorted(world.answers) == [("a", 1, "new"), ("deployed", 0, "old")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("needs-more", "configuration version 2 is refused and configuration version 1 stays: x: error: MORE is not set"),
        ("bug", "configuration version 2 is refused and configuration version 1 stays: RuntimeError in make"),
    ],
)
async def test_a_version_that_cannot_be_used_is_refused_once_and_the_last_good_one_stays(name: str, words: str) -> None:
    world = World()
    live = world.gateway()
    await world.publish("a")
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    await world.publish(name)
    for _ in range(3):
        world.clock.advance(STALE_AFTER_S)
        assert (await world.ask(live))[0] == "a"
    [warning] = world.warnings()
    assert words in warning
    assert world.table.reads == 4, "a refused version is not built at every look"
    await world.publish("b")
    world.clock.advance(STALE_AFTER_S)
    assert (await world.ask(live))[:2] == ("b", 3)


async def test_a_refused_version_is_tried_again_when_it_is_chosen_again() -> None:
    world = World()
    live = world.gateway()
    await world.publish("bug")
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    await world.back(0)
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    await world.back(1)
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert len(world.warnings()) == 2


async def test_damaged_and_missing_bodies_are_refused() -> None:
    world = World()
    live = world.gateway()
    await world.publish("a")
    await world.table.update(Update(*body_key(1), set={"body": b"?", "text": b"?"}))
    world.clock.advance(STALE_AFTER_S)
    assert (await world.ask(live))[0] == "deployed"
    await world.publish("b")
    await world.table.delete(*body_key(2))
    world.clock.advance(STALE_AFTER_S)
    assert (await world.ask(live))[0] == "deployed"
    assert ["damaged" in warning or "no such version" in warning for warning in world.warnings()] == [True, True]


async def test_version_0_is_the_deployed_configuration_again() -> None:
    world = World()
    await world.publish("a")
    live = world.gateway(await world.first_look())
    assert (await world.ask(live))[:2] == ("a", 1)
    await world.back(0)
    world.clock.advance(STALE_AFTER_S)
    assert (await world.ask(live))[:2] == ("deployed", 0)


async def test_an_environment_starts_with_the_version_that_holds() -> None:
    world = World()
    await world.publish("a")
    live = world.gateway(await world.first_look())
    world.table.reads = 0
    assert await world.ask(live) == ("a", 1, "old")
    assert world.table.reads == 0


async def test_an_environment_that_cannot_use_the_version_that_holds_starts_with_the_deployed_one_and_says_so() -> None:
    world = World()
    await world.publish("needs-more")
    live = world.gateway(await world.first_look())
    assert (await world.ask(live))[0] == "deployed"
    assert "configuration version 1 is refused and the configuration of the deployment stays" in world.warnings()[0]


async def test_a_bad_deployed_configuration_stops_the_start() -> None:
    world = World()
    parts = Parts(compiled("needs-more"), world.make, world.read_variables, world.table, world.clock, world.lines.append)
    with pytest.raises(ConfigError):
        LiveGateway(parts, VARIABLES, FirstLook(0.0, Pointer()))


async def test_while_the_table_is_down_the_last_good_version_answers_without_waiting_and_the_log_says_so_once() -> None:
    world = World()
    live = world.gateway()
    world.table.failure = StateError("unreachable", sent=False)
    for _ in range(3):
        world.clock.advance(60)
        assert (await world.ask(live))[0] == "deployed"
    assert world.warnings() == [
        "the table cannot be asked which version holds (unreachable); the configuration of the deployment stays"
    ]
    world.table.failure, world.table.gate = None, asyncio.Event()
    world.clock.advance(60)
    request = asyncio.create_task(live({}, None, None))
    await until(lambda: len(world.answers) == 4)  # answered while the table still hangs
    world.table.gate.set()
    await request
    assert world.lines[-1]["note"] == "the table answers again"


async def test_a_table_that_was_down_at_the_start_is_looked_at_again() -> None:
    world = World()
    live = world.gateway(FirstLook(world.clock.wall_s(), trouble="timeout"))
    assert "(timeout)" in world.warnings()[0]
    await world.publish("a")
    world.clock.advance(LOOK_EVERY_S)
    assert (await world.ask(live))[0] == "deployed"
    assert (await world.ask(live))[0] == "a"


async def test_a_secret_that_cannot_be_read_anew_leaves_the_variables_as_they_were() -> None:
    world = World(unreadable=True)
    live = world.gateway()
    await world.publish("a")
    world.clock.advance(STALE_AFTER_S)
    assert await world.ask(live) == ("a", 1, "old")
    assert world.warnings() == ["The secret is gone. The variables read before are used."]


async def test_a_clock_that_is_set_back_makes_a_look_due() -> None:
    world = World()
    live = world.gateway()
    await world.publish("a")
    world.clock.advance(-3600)
    assert (await world.ask(live))[0] == "a"


async def test_an_application_that_fails_fails_as_it_would_alone() -> None:
    world = World()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("mine")

    parts = Parts(compiled("m"), lambda *_: broken, world.read_variables, world.table, world.clock, world.lines.append)
    live = LiveGateway(parts, VARIABLES, FirstLook(world.clock.wall_s(), Pointer()))
    world.clock.advance(60)
    with pytest.raises(ValueError, match="mine"):
        await live({}, None, None)
    assert world.table.reads == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 12)),
        st.tuples(st.just("publish"), st.sampled_from(["a", "b", "bug"])),
        st.tuples(st.just("back"), st.integers(0, 3)),
        st.tuples(st.just("ask"), st.integers(1, 3)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(steps=STEPS)
def test_whatever_happens_a_request_never_begins_on_what_was_replaced_five_seconds_ago(steps: list[tuple[str, Any]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, Any]]) -> None:
    world = World()
    live = world.gateway()
    held: list[tuple[float, int]] = [(world.clock.wall_s(), 0)]  # when which version became the one that holds
    bad: set[int] = set()
    for action, value in steps:
        if action == "wait":
            world.clock.advance(value)
        elif action == "publish":
            version = await world.publish(value)
            bad |= {version} if value == "bug" else set()
            held.append((world.clock.wall_s(), version))
        elif action == "back":
            if (await read_pointer(world.table)).last >= value:
                await world.back(value)
                held.append((world.clock.wall_s(), value))
        else:
            for _ in range(value):
                await live({}, None, None)
                _check_answer(world, held, bad)


def _check_answer(world: World, held: list[tuple[float, int]], bad: set[int]) -> None:
    """It held within the last five seconds, or every version since was unusable."""
    now_s = world.clock.wall_s()
    recent = [version for number, (_, version) in enumerate(held) if number + 1 == len(held) or now_s - held[number + 1][0] < 5]
    answered = world.answers[-1][1]
    assert answered not in bad
    assert answered in recent or any(version in bad for version in recent)
