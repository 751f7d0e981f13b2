"""The live configuration while the table, a secret or the clock fails, and in any history of them."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live_world import VARIABLES, World, compiled, until

from pllm.live import LOOK_EVERY_S, STALE_AFTER_S, FirstLook, LiveGateway, Parts
from pllm.state.config_version import Pointer, read_pointer
from pllm.state.store import StateError


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
