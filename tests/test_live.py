"""Live configuration: what holds when, who waits, and what stays when something is wrong."""

import asyncio
from random import Random

import pytest
from tests.live_world import VARIABLES, World, compiled, text, until
from tests.support.versions import history_of

from pllm.core.allowances import Allowances
from pllm.core.config import ConfigError
from pllm.core.config.policies import Limit, Limits
from pllm.core.limits import Reservation
from pllm.live import LOOK_EVERY_S, STALE_AFTER_S, FirstLook, LiveGateway, Parts
from pllm.state.config_version import Pointer, body_key, read_pointer, tell_news
from pllm.state.gate import Gates
from pllm.state.memory import MemoryStore
from pllm.state.store import Update


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
    await world.table.update(tell_news())
    await world.publish("a")
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert (world.renewed, live.version) == ([1], 1)
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert world.renewed == [1]


async def test_an_environment_that_starts_has_no_news_of_what_was_before() -> None:
    world = World()
    await world.table.update(tell_news())
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


# --- Limits ---------------------------------------------------------------------------------------------------------


async def test_an_environment_knows_that_what_was_gone_back_to_is_newer_also_if_it_never_saw_what_was_between() -> None:
    world = World()
    await world.publish("a")
    live = world.gateway(await world.first_look())
    await world.ask(live)
    await world.publish("b")
    await world.back(1)
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    await world.back(0)
    world.clock.advance(STALE_AFTER_S)
    await world.ask(live)
    assert [version for _, version, _ in world.answers] == [1, 1, 0]
    assert world.orders == [1, 3, 4]
    again = world.gateway(await world.first_look())
    await world.ask(again)
    assert (world.answers[-1][1], world.orders[-1]) == (0, 4)


async def test_going_back_takes_the_limits_back_too() -> None:
    """A gate that was told of a version's limits leaves those of older ones alone."""
    world, history = World(), history_of(MemoryStore())
    gates = Gates(world.table, world.clock, Random(1))

    async def limit() -> int | None:
        order = (await history.pointer()).moves
        rpm = {0: 100, 1: 1}[(await history.pointer()).version]
        model = Allowances(Limits(models={"m": Limit(rpm=rpm)}), version=order).of_model("m")
        await gates.admit([model], Reservation(1, 0))
        image = await gates.look(model)
        return None if image is None else image.requests_limit

    assert await limit() == 100
    await history.publish(text("tight"), expected=0, by="x")
    assert await limit() == 1
    await history.roll_back(0, expected=1, by="x")
    assert await limit() == 100
