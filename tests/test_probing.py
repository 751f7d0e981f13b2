"""A run of health probes against real upstreams on the loopback: who is asked, how often, and what comes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.faulty import Fault, FaultyStore
from tests.support.gateway import deployment
from tests.support.probe_world import World
from tests.support.stores import store_of
from tests.support.upstream import Hang, Upstream, upstream, whole

from pllm.call import Endpoint
from pllm.core.breaker import Breaker, Circuit
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind
from pllm.core.profile import ModelProfile
from pllm.providers.registry import Registry
from pllm.state.fleet_reader import FleetReader
from pllm.state.health import Health
from pllm.state.memory import MemoryStore
from pllm.state.store import StateError

GOOD = b'{"object": "list", "data": []}'
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9},
}


@pytest.fixture
def world() -> World:
    return World(MemoryStore())


@pytest.fixture
async def up() -> AsyncIterator[Upstream]:
    async with upstream() as server:
        server.will(whole(GOOD, content_type="application/json"))
        yield server


def at(up: Upstream, **changes: Any) -> Deployment:
    return deployment(up.base_url, **changes)


async def closed_port() -> str:
    async with upstream() as server:
        return server.base_url


# --- Who is asked ---------------------------------------------------------------------------------------------------


async def test_a_busy_deployment_is_never_asked(world: World, up: Upstream) -> None:
    one = at(up)
    for _ in range(10):
        await world.succeeds(one)
        assert await world.run(one) == {}
        world.clock.advance(300)
    assert up.requests == []


async def test_an_idle_one_is_asked_once_in_so_long(world: World, up: Upstream) -> None:
    one = at(up)
    runs = []
    for _ in range(7):
        runs.append(await world.run(one, idle_after=900))
        world.clock.advance(300)
    assert runs == [{"ok": 1}, {}, {}, {"ok": 1}, {}, {}, {"ok": 1}]
    assert {(seen.method, seen.path, seen.headers["authorization"]) for seen in up.requests} == {
        ("GET", "/v1/models", "Bearer sk-upstream")
    }
    assert len(up.requests) == 3


async def test_a_good_answer_is_the_last_success_and_nobodys_latency(world: World, up: Upstream) -> None:
    one = at(up)
    await world.run(one)
    fleet = await FleetReader(world.store, world.clock).read()
    assert fleet.last_success_ms() == {one.id: int(world.clock.wall_s() * 1000)}
    assert list(fleet.requests()) == []
    assert fleet.window(one.id).empty
    (line,) = world.told()
    assert (line["reason"], line["asked"], line["outcome"], line["level"]) == ("idle", "provider", "ok", "INFO")


async def test_probes_can_be_switched_off_and_confined_to_providers(world: World, up: Upstream) -> None:
    one = at(up)
    assert await world.run(one, enabled=False) == {}
    assert await world.run(one, providers=("azure", "anthropic")) == {}
    assert await world.run(one, providers=("open*", "opanai")) == {"ok": 1}
    assert [line["warning"] for line in world.lines if "warning" in line] == [
        "router.health_probes names 'opanai', which no provider is called"
    ]


async def test_what_only_a_paid_call_could_tell_is_not_asked_unless_that_is_wished(world: World, up: Upstream) -> None:
    perplexity = at(up, id="p", provider="perplexity")
    failing = at(up, id="f")
    await world.fails(failing, ErrorKind.UPSTREAM_ERROR)
    world.clock.advance(3600)
    assert await world.run(perplexity, failing) == {}
    assert up.requests == []


async def test_what_an_administrator_has_opened_is_not_asked(world: World, up: Upstream) -> None:
    one = at(up)
    await world.desk().open(one.id, "admin")
    world.clock.advance(7200)
    assert await world.run(one, paid=("*",)) == {}
    assert up.requests == []


async def test_what_an_administrator_has_closed_stays_in_use_whatever_is_found(world: World, up: Upstream) -> None:
    one = at(up)
    await world.desk().close(one.id, "admin")
    up.scripts[:] = [[whole(b"{}", 500)]]
    assert await world.run(one) == {"failed": 1}
    assert (await world.breaker(one)).state is Circuit.CLOSED


async def test_with_breakers_switched_off_nothing_is_claimed(world: World, up: Upstream) -> None:
    one = at(up)
    await world.fails(one, ErrorKind.UPSTREAM_UNREACHABLE)
    world.policy = BreakerPolicy(enabled=False)
    world.clock.advance(3600)
    assert await world.run(one) == {"ok": 1}
    assert world.told()[-1]["reason"] == "idle"
    assert (await world.breaker(one)).state is Circuit.OPEN


async def test_without_the_table_nobody_is_asked(world: World, up: Upstream) -> None:
    world.store = FaultyStore(world.store, always=Fault.THROTTLED)
    with pytest.raises(StateError, match="throttled"):
        await world.run(at(up))
    assert up.requests == []


# --- Open ones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", pytest.param("local", marks=pytest.mark.needs_java)])
async def test_an_open_one_is_asked_exactly_once_a_cooldown_however_many_ask(
    kind: str, request: pytest.FixtureRequest, up: Upstream
) -> None:
    address = request.getfixturevalue("local_endpoint") if kind == "local" else ""
    async with store_of(kind, address) as store:
        world, one = World(store), at(up)
        await world.fails(one, ErrorKind.UPSTREAM_ERROR)
        assert await world.run(one, paid=("*",)) == {}  # it cools down
        up.scripts[:] = [[whole(b"{}", 500)]]
        asked = 0
        for cooldown_s in (30, 60, 100):
            world.clock.advance(cooldown_s)
            async with world.prober([one], "a", paid=("*",)) as a, world.prober([one], "b", paid=("*",)) as b:
                runs = asyncio.gather(a.run(30), b.run(30))
                requests = await asyncio.gather(*(world.probes_if_it_may(one, f"t{n}") for n in range(3)))
                counts = await runs
            # Of two runs and of three requests of other environments, one was the probe.
            assert sum(count["failed"] for count in counts) + sum(requests) == 1
            asked += sum(count["failed"] for count in counts)
            assert await world.run(one, paid=("*",)) == {}
        assert len(up.requests) == asked
        up.scripts[:] = [[whole(json.dumps(ANSWER).encode(), content_type="application/json")]]
        world.clock.advance(100)
        assert await world.run(one, paid=("*",)) == {"ok": 1}
        assert (await world.breaker(one)).state is Circuit.CLOSED
        assert len(up.requests) == asked + 1


async def test_a_server_that_is_back_is_used_again_before_anybody_asks_for_it(world: World, up: Upstream) -> None:
    one = at(up)
    await world.fails(one, ErrorKind.UPSTREAM_UNREACHABLE)
    world.clock.advance(29)
    assert await world.run(one) == {}
    world.clock.advance(1)
    assert await world.run(one) == {"ok": 1}
    assert (await world.breaker(one)).state is Circuit.CLOSED
    assert len(up.requests) == 1


async def test_where_a_request_is_the_probe_none_is_made(world: World, up: Upstream) -> None:
    one = at(up)
    await world.fails(one, ErrorKind.UPSTREAM_UNREACHABLE)
    world.clock.advance(30)
    traffic = world.health()
    async with world.prober([one]) as prober:
        # The request wins the lease after the run has looked and before it claims.
        prober = replace(prober, upstreams=replace(prober.upstreams, health=_Late(prober.upstreams.health, traffic)))  # type: ignore[arg-type]
        counts = await prober.run(30)
    assert (counts["lost"], up.requests) == (1, [])
    (line,) = world.told()
    assert line["outcome"] == "lost"
    assert (await world.breaker(one)).state is Circuit.HALF_OPEN


class _Late:
    """A Health whose claims come after another environment's."""

    def __init__(self, inner: Health, other: Health) -> None:
        self._inner, self._other = inner, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def claim(self, deployment: str, timeout_s: float) -> Any:
        assert await self._other.claim(deployment, 60) is not None
        return await self._inner.claim(deployment, timeout_s)


async def test_a_probe_that_is_no_longer_the_holder_changes_nothing(world: World, up: Upstream) -> None:
    one = at(up)
    await world.fails(one, ErrorKind.UPSTREAM_UNREACHABLE)
    world.clock.advance(30)
    released = asyncio.Event()
    up.scripts[:] = [[Hang(released), whole(GOOD, content_type="application/json")]]
    async with world.prober([one]) as prober:
        run = asyncio.create_task(prober.run(30))
        await up.asked.wait()
        await world.desk().open(one.id, "admin")
        released.set()
        await run
    assert (await world.breaker(one)).why == "forced"
    assert (await world.breaker(one)).state is Circuit.OPEN


async def test_a_paid_probe_goes_the_way_of_requests_and_closes_what_any_failure_opened(world: World, up: Upstream) -> None:
    one = at(up)
    await world.fails(one, ErrorKind.UPSTREAM_ERROR)
    world.clock.advance(30)
    up.scripts[:] = [[whole(json.dumps(ANSWER).encode(), content_type="application/json")]]
    assert await world.run(one, paid=("openai",)) == {"ok": 1}
    (seen,) = up.requests
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert seen.json()["max_completion_tokens"] == 1
    assert (await world.breaker(one)).state is Circuit.CLOSED
    assert (await FleetReader(world.store, world.clock).read()).window(one.id).latencies == 0


async def test_a_paid_probe_that_fails_opens_it_again_for_longer(world: World, up: Upstream) -> None:
    one = at(up)
    await world.fails(one, ErrorKind.UPSTREAM_ERROR)
    world.clock.advance(30)
    up.scripts[:] = [[whole(b"{}", 500, content_type="application/json")]]
    assert await world.run(one, paid=("*",)) == {"failed": 1}
    breaker = await world.breaker(one)
    assert (breaker.state, breaker.cooldown_ms) == (Circuit.OPEN, 60_000)


async def test_a_model_that_refuses_so_odd_a_request_is_there_and_one_that_does_not_exist_is_not(
    world: World, up: Upstream
) -> None:
    body = {"error": {"message": "max_tokens must be at least 16", "type": "invalid_request_error"}}
    up.scripts[:] = [[whole(json.dumps(body).encode(), 400, content_type="application/json")]]
    assert await world.run(at(up), paid=("*",)) == {"ok": 1}
    body = {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}}
    up.scripts[:] = [[whole(json.dumps(body).encode(), 404, content_type="application/json")]]
    assert await world.run(at(up, id="other"), paid=("*",)) == {"failed": 1}
    assert (await world.breaker(at(up, id="other"))).state is Circuit.CLOSED


async def test_a_model_that_does_not_chat_is_not_asked_to(world: World, up: Upstream) -> None:
    assert await world.run(at(up, profile=ModelProfile(mode="embedding")), paid=("*",)) == {"ok": 1}
    assert up.requests[0].method == "GET"


# --- What is found --------------------------------------------------------------------------------------------------


async def test_a_server_that_is_gone_is_found_before_anybody_asks_for_it(world: World) -> None:
    one = deployment(await closed_port())
    assert await world.run(one) == {"failed": 1}
    breaker = await world.breaker(one)
    assert (breaker.state, breaker.why) == (Circuit.OPEN, "upstream_unreachable")
    fleet = await FleetReader(world.store, world.clock).read()
    assert fleet.last_failure()[one.id].kind == "upstream_unreachable"
    assert fleet.last_success_ms() == {}
    assert {line["message"] for line in world.lines if "message" in line} == {"probe", "breaker opened"}


async def test_a_revoked_key_is_found_at_the_providers_own_address(world: World, up: Upstream) -> None:
    up.scripts[:] = [[whole(b'{"error": {"message": "Incorrect API key provided: sk-upstream"}}', 401)]]
    elsewhere = at(up)
    assert await world.run(elsewhere) == {"unclear": 1}  # whose server that is nobody knows
    async with world.prober([at(up, id="own", api_base=None)]) as prober:
        row = Registry().get("openai")
        assert row is not None
        own = replace(row, base_url=f"{up.base_url}/v1")
        provider = type(prober.upstreams.endpoints["openai"].provider)(own, {})  # type: ignore[call-arg]
        endpoints = {"openai": Endpoint(provider, own)}
        counts = await replace(prober, upstreams=replace(prober.upstreams, endpoints=endpoints)).run(30)
    assert counts["failed"] == 1
    assert [seen.path for seen in up.requests] == ["/v1/models", "/v1/models/gpt-x"]
    assert (await world.breaker(at(up, id="own"))).why == "upstream_authentication"
    assert (await world.breaker(elsewhere)).state is Circuit.CLOSED


@pytest.mark.parametrize("status", [301, 404, 405, 429])
async def test_an_answer_that_says_nothing_changes_nothing_and_is_not_asked_for_at_every_run(
    world: World, up: Upstream, status: int
) -> None:
    one = at(up)
    up.scripts[:] = [[whole(b"<html>", status, content_type="text/html")]]
    assert [await world.run(one), await world.run(one)] == [{"unclear": 1}, {}]
    assert await world.breaker(one) == Breaker()
    fleet = await FleetReader(world.store, world.clock).read()
    assert (fleet.last_failure(), fleet.last_success_ms()) == ({}, {})


async def test_a_portal_that_answers_everything_is_no_provider(world: World, up: Upstream) -> None:
    up.scripts[:] = [[whole(b"<html>", 200, content_type="text/html")]]
    one = at(up)
    await world.fails(one, ErrorKind.UPSTREAM_UNREACHABLE)
    world.clock.advance(30)
    assert await world.run(one) == {"unclear": 1}
    breaker = await world.breaker(one)
    assert (breaker.state, breaker.until_ms) == (Circuit.OPEN, int(world.clock.wall_s() * 1000))


async def test_one_that_hangs_holds_up_nobody_and_the_run_ends_in_its_time(world: World, up: Upstream) -> None:
    async with upstream() as silent:
        silent.will(Hang())
        hanging = deployment(silent.base_url, id="hanging")
        await world.fails(hanging, ErrorKind.UPSTREAM_UNREACHABLE)
        world.clock.advance(30)
        others = [at(up, id=f"d{n}") for n in range(20)]
        assert await world.run(hanging, *others, budget_s=4, timeout=60) == {"ok": 20, "late": 1}
        # What was cut short has told nothing, and has given its lease back.
        breaker = await world.breaker(hanging)
        assert (breaker.state, breaker.until_ms) == (Circuit.OPEN, int(world.clock.wall_s() * 1000))


async def test_one_that_is_silent_for_too_long_has_failed(world: World) -> None:
    async with upstream() as silent:
        silent.will(Hang())
        one = deployment(silent.base_url)
        assert await world.run(one, timeout=0.2) == {"failed": 1}
        assert (await world.breaker(one)).why == "upstream_timeout"


# --- What is told ---------------------------------------------------------------------------------------------------


async def test_no_line_holds_a_credential_or_what_was_answered(world: World, up: Upstream) -> None:
    up.scripts[:] = [[whole(b'{"error": {"message": "sk-upstream is wrong, and here is a secret"}}', 500)]]
    await world.run(at(up), at(up, id="paid", provider="groq"), paid=("groq",))
    text = json.dumps(world.lines)
    assert len(world.told()) == 2
    assert "sk-upstream" not in text
    assert "secret" not in text
    assert {line["error"] for line in world.told()} == {"upstream_error"}


async def test_each_run_has_a_line_of_metrics(world: World, up: Upstream) -> None:
    await world.run(at(up), deployment(await closed_port(), id="gone"))
    await world.run()
    first, second = [line for line in world.lines if "ProbesOk" in line]
    assert (first["ProbesOk"], first["ProbesFailed"], first["probes_lost"], first["function"]) == (1, 1, 0, "f")
    assert (second["ProbesOk"], second["ProbesFailed"]) == (0, 0)
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["function"]]
