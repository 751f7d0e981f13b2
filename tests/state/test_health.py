"""The fleet's health as one environment sees and tells it: on the memory twin, with the table failing when it is told to."""

import asyncio
from dataclasses import replace

import pytest
from tests.state.health_world import FAILURE, START_S, Counting, admission, desk_of, opened, state
from tests.support.fleet import DEP, POLICY, fleet

from pllm.core.breaker import Admission, Circuit, Move
from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.state.breakers import partition, read_minute, since


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S)


# --- Opening --------------------------------------------------------------------------------------------------------


async def test_failures_of_several_environments_open_it_for_all(store: Counting, clock: ManualClock) -> None:
    a, b, c = fleet(store, [clock] * 3)
    await a.request(FAILURE)
    await b.request(FAILURE)
    assert await a.health.breakers() == {}
    await c.request(FAILURE)
    assert c.moves == [(DEP, Move.TRIP)]
    assert admission(c) is Admission.NONE
    assert admission(a) is Admission.ALL
    await a.look()
    assert admission(a) is Admission.NONE


async def test_an_environment_with_an_old_snapshot_hears_of_it_within_its_age(store: Counting, clock: ManualClock) -> None:
    a, b = fleet(store, [clock] * 2)
    await b.look()
    await opened(a)
    clock.advance(6.5)
    await b.look()
    assert admission(b) is Admission.NONE


async def test_a_success_costs_no_write_and_rides_along_with_the_next_failure(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    for _ in range(20):
        await a.request()
    assert store.writes == 0
    await a.request(FAILURE)
    assert store.writes == 1
    (item,) = await store.query(partition("main"), since=since(0))
    sums = read_minute(item)
    assert (sums.ok, sums.failed, sums.latencies, sums.latency_ms) == (20, 1, 20, 2000)


async def test_successes_keep_it_closed(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    for _ in range(5):
        await a.request()
        await a.request()
        await a.request(FAILURE)
    assert admission(a) is Admission.ALL
    for _ in range(3):
        clock.advance(11)
        await a.request(FAILURE)
    assert admission(a) is Admission.ALL
    for _ in range(2):
        await a.request(FAILURE)
    assert admission(a) is Admission.NONE


async def test_an_outage_is_seen_in_seconds_however_well_the_minute_had_begun(store: Counting, clock: ManualClock) -> None:
    a, b = fleet(store, [clock] * 2)
    for _ in range(500):
        await a.request()
    await a.request(FAILURE)
    for _ in range(2):
        clock.advance(1)
        await b.request(FAILURE)
    assert admission(b) is Admission.ALL
    clock.advance(1)
    await a.request(FAILURE)
    assert admission(a) is Admission.NONE


async def test_a_few_failures_among_many_answers_open_nothing(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    for _ in range(20):
        for _ in range(4):
            await a.request()
        clock.advance(1)
        await a.request(FAILURE)
    assert admission(a) is Admission.ALL


@pytest.mark.parametrize("kind", [ErrorKind.INVALID_REQUEST, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_POLICY])
async def test_what_the_caller_did_wrong_never_counts(store: Counting, clock: ManualClock, kind: ErrorKind) -> None:
    (a,) = fleet(store, [clock])
    for _ in range(50):
        await a.request(kind)
    assert admission(a) is Admission.ALL
    assert store.writes == 0


async def test_a_refused_credential_opens_it_at_once_and_for_long(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await a.request(ErrorKind.UPSTREAM_AUTH)
    health = a.health.view([DEP])[DEP]
    assert (health.opens_in_ms, health.why) == (POLICY.max_cooldown_ms, "upstream_authentication")


async def test_a_429_cools_it_for_the_time_the_provider_asked_and_no_probe_is_needed(
    store: Counting, clock: ManualClock
) -> None:
    a, b = fleet(store, [clock] * 2)
    observation = a.health.observe(DEP)
    observation.failed(rate_limited(17))
    assert admission(a) is Admission.NONE, "before anything was written"
    await a.health.settle()
    await b.look()
    assert b.health.view([DEP])[DEP].opens_in_ms == 17_000
    clock.advance(17)
    assert admission(b) is Admission.ALL
    assert read_minute((await store.query(partition("main")))[0]).failed == 0


def rate_limited(retry_after_s: float) -> GatewayError:
    return GatewayError(ErrorKind.RATE_LIMITED, "slow down", retry_after_s=retry_after_s)


async def test_a_failure_from_before_a_recovery_cannot_open_it_again(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    slow = a.health.observe(DEP)
    await opened(a)
    clock.advance(30)
    await a.request(probe=await a.health.claim(DEP, 10))
    assert await state(a) is Circuit.CLOSED
    slow.failed(rate_limited(0.0))
    late = a.health.observe(DEP)
    late._generation = 0
    late.failed(error_of(FAILURE))
    await a.health.settle()
    assert await state(a) is Circuit.CLOSED


def error_of(kind: ErrorKind) -> GatewayError:
    return GatewayError(kind, "x")


# --- Probing --------------------------------------------------------------------------------------------------------


async def test_of_many_environments_one_wins_the_probe_and_its_success_closes_it_for_all(
    store: Counting, clock: ManualClock
) -> None:
    many = fleet(store, [clock] * 5)
    await opened(many[0])
    clock.advance(30)
    for one in many:
        await one.look()
        assert admission(one) is Admission.PROBE
    probes = await asyncio.gather(*(one.health.claim(DEP, 10) for one in many))
    assert sum(probe is not None for probe in probes) == 1
    assert all(admission(one) is Admission.NONE for one in many)
    for one, probe in zip(many, probes, strict=True):
        if probe is not None:
            await one.request(probe=probe)
    clock.advance(7)
    for one in many:
        await one.look()
        assert admission(one) is Admission.ALL


async def test_a_failed_probe_opens_it_for_twice_as_long(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await opened(a)
    clock.advance(30)
    await a.request(FAILURE, await a.health.claim(DEP, 10))
    assert a.health.view([DEP])[DEP].opens_in_ms == 60_000


async def test_a_stream_that_began_has_proven_enough(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await opened(a)
    clock.advance(30)
    observation = a.health.observe(DEP, await a.health.claim(DEP, 10))
    observation.first_event()
    await a.health.settle()
    assert await state(a) is Circuit.CLOSED
    observation.failed(error_of(ErrorKind.STREAM_BROKEN))
    await a.health.settle()
    assert read_minute((await store.query(partition("main")))[0]).failed == POLICY.min_failures + 1


async def test_a_probe_that_the_provider_called_a_bad_request_shows_that_it_answers(
    store: Counting, clock: ManualClock
) -> None:
    (a,) = fleet(store, [clock])
    await opened(a)
    clock.advance(30)
    await a.request(ErrorKind.INVALID_REQUEST, await a.health.claim(DEP, 10))
    assert await state(a) is Circuit.CLOSED


async def test_a_probe_whose_client_left_makes_room_for_the_next(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await opened(a)
    clock.advance(30)
    a.health.observe(DEP, await a.health.claim(DEP, 600)).dropped()
    await a.health.settle()
    assert admission(a) is Admission.PROBE
    assert await a.health.claim(DEP, 600) is not None


async def test_a_crashed_probe_is_replaced_when_its_lease_has_run_out(store: Counting, clock: ManualClock) -> None:
    a, b = fleet(store, [clock] * 2)
    await opened(a)
    clock.advance(30)
    await a.health.claim(DEP, 10)
    await b.look()
    assert await b.health.claim(DEP, 10) is None
    clock.advance(13)
    await b.look()
    assert await b.health.claim(DEP, 10) is not None


# --- Latency --------------------------------------------------------------------------------------------------------


async def test_latencies_of_the_fleet_are_blended_with_ones_own(store: Counting, clock: ManualClock) -> None:
    a, b = fleet(store, [clock] * 2)
    a.health.observe(DEP).succeeded(100, 10, 50)
    await a.health.flush()
    await b.look()
    b.health.observe(DEP).succeeded(300, 30, 70)
    seen = b.health.view([DEP])[DEP]
    assert (seen.latency_ms, seen.first_ms, seen.requests, seen.tokens) == (200, 20, 2, 120)


async def test_what_is_under_way_is_known_here_at_once(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    under_way = [a.health.observe(DEP) for _ in range(3)]
    assert a.health.view([DEP])[DEP].in_flight == 3
    under_way[0].dropped(waited_ms=700)
    under_way[0].succeeded(1)
    assert a.health.view([DEP])[DEP].latency_ms == 700
    assert a.health.view([DEP])[DEP].requests == 0


async def test_sums_are_written_every_ten_seconds_and_with_every_failure(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock])
    await a.request()
    clock.advance(9)
    await a.request()
    assert store.writes == 0
    clock.advance(1)
    await a.request()
    assert store.writes == 1
    for number in range(26):
        a.health.observe(f"d{number}").succeeded(1)
    await a.health.settle()
    assert store.writes == 1 + 26
    a.health.observe("d1").succeeded(1)
    await a.request(FAILURE)
    assert store.writes == 1 + 26 + 2


# --- Switched off, and by hand --------------------------------------------------------------------------------------


async def test_switched_off_nothing_is_left_alone_but_what_an_administrator_opened(store: Counting, clock: ManualClock) -> None:
    (a,) = fleet(store, [clock], replace(POLICY, enabled=False))
    for _ in range(20):
        await a.request(FAILURE)
    await a.request(ErrorKind.UPSTREAM_AUTH)
    await a.request(ErrorKind.RATE_LIMITED, retry_after_s=60)
    assert admission(a) is Admission.ALL
    assert await a.health.breakers() == {}
    await desk_of(store, clock).open(DEP, "ops")
    clock.advance(7)
    await a.look()
    assert admission(a) is Admission.NONE


async def test_an_administrator_opens_for_a_time_or_for_good_and_closes_again(store: Counting, clock: ManualClock) -> None:
    a, b = fleet(store, [clock] * 2)
    desk = desk_of(store, clock)
    await desk.open(DEP, "ops", for_s=90)
    await b.look()
    assert b.health.view([DEP])[DEP].opens_in_ms == 90_000
    await desk.open(DEP, "ops")
    clock.advance(365 * 24 * 3600)
    await a.look()
    assert admission(a) is Admission.NONE
    closed = await desk.close(DEP, "ops")
    assert closed.state is Circuit.CLOSED
    clock.advance(7)
    await a.look()
    assert admission(a) is Admission.ALL


async def test_what_an_administrator_closed_stays_so_through_every_failure_until_it_is_released(
    store: Counting, clock: ManualClock
) -> None:
    a, b = fleet(store, [clock] * 2)
    desk = desk_of(store, clock)
    await opened(a)
    await desk.close(DEP, "ops")
    clock.advance(7)
    for environment in (a, b):
        await environment.look()
        for kind in (FAILURE, FAILURE, FAILURE, FAILURE, ErrorKind.UPSTREAM_AUTH):
            await environment.request(kind)
        await environment.request(ErrorKind.RATE_LIMITED, retry_after_s=60)
        assert admission(environment) is Admission.ALL
    await desk.release(DEP, "ops")
    clock.advance(70)
    await a.look()
    await opened(a)


async def test_an_environment_that_has_not_heard_of_it_yet_cannot_undo_an_administrators_word(
    store: Counting, clock: ManualClock
) -> None:
    a, b = fleet(store, [clock] * 2)
    await b.look()
    await opened(a)
    await desk_of(store, clock).close(DEP, "ops")
    for _ in range(4):
        await b.request(FAILURE)
    assert b.moves == []
    assert await state(b) is Circuit.CLOSED
    assert admission(b) is Admission.ALL
