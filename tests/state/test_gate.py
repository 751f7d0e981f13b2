"""What callers of the gates see: round trips, refusals, headers, several scopes, limits that change, clients that leave."""

import asyncio
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind
from pllm.core.limit_answers import Denial
from pllm.core.limits import BudgetLimit, GateLimits, LimitKind, Reservation, Spent
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Refused, Update

NEED = Reservation(100, 2_000)
KEY = GateLimits("key/a", rpm=3, tpm=1_000, budget=BudgetLimit(10_000))
TEAM = GateLimits("team/t", rpm=50, max_parallel=2)
MODEL = GateLimits("key/a/model/m", tpm=5_000)
PLACE = GateLimits("dep/one", rpm=2)


class CountingStore(MemoryStore):
    """Counts writes, and how many of them were ever under way at once: one round trip is all of them together."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.under_way = 0
        self.at_once = 0

    async def update(self, update: Update) -> Applied | Refused:
        self.writes += 1
        self.under_way += 1
        self.at_once = max(self.at_once, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return await super().update(update)

    def count_from_here(self) -> None:
        self.writes = self.at_once = 0


@dataclass
class World:
    store: CountingStore
    clock: ManualClock
    gates: Gates

    def item(self, scope: str) -> dict[str, Any]:
        return dict(self.store.items[f"G#{scope}", "G"])

    def another(self) -> Gates:
        """A further environment."""
        return Gates(self.store, self.clock, Random(2))

    async def ticket(self, *scopes: GateLimits, need: Reservation = NEED) -> Ticket:
        found = await self.gates.admit(scopes, need)
        assert isinstance(found, Ticket)
        return found

    async def denial(self, *scopes: GateLimits, need: Reservation = NEED) -> Denial:
        found = await self.gates.admit(scopes, need)
        assert isinstance(found, Denial)
        return found


@pytest.fixture
def world() -> World:
    store, clock = CountingStore(), ManualClock()
    return World(store, clock, Gates(store, clock, Random(1)))


# --- Round trips ---------------------------------------------------------------------------------------------------


async def test_without_limits_the_table_is_not_asked(world: World) -> None:
    ticket = await world.ticket(GateLimits("key/free"), GateLimits("team/free"))
    await world.gates.settle(ticket, Spent(10, 10))
    await world.gates.flush()
    assert world.store.writes == 0
    assert ticket.headers() == {}


async def test_key_team_model_and_deployment_are_one_round_trip_when_warm(world: World) -> None:
    await world.gates.settle(await world.ticket(KEY, TEAM, MODEL), Spent(1, 1))
    world.clock.advance(1)
    world.store.count_from_here()
    caller, place = await world.gates.admit_first([KEY, TEAM, MODEL], PLACE, NEED)
    assert isinstance(caller, Ticket)
    assert isinstance(place, Ticket)
    # The deployment's gate is new here: its first write finds nothing, its second makes it.
    assert (world.store.writes, world.store.at_once) == (5, 4)
    world.store.count_from_here()
    await world.gates.admit_first([KEY, TEAM, MODEL], PLACE, Reservation(1, 1))
    assert (world.store.writes, world.store.at_once) == (4, 4)


async def test_more_for_a_further_attempt_is_one_round_trip_with_the_gate_of_its_deployment(world: World) -> None:
    await world.gates.admit_first([KEY], PLACE, NEED)
    world.store.count_from_here()
    more, place = await world.gates.admit_again([KEY], Reservation(50, 700), PLACE, NEED)
    assert isinstance(more, Ticket)
    assert isinstance(place, Ticket)
    assert (world.store.writes, world.store.at_once) == (2, 2)


async def test_scopes_that_have_nothing_of_what_is_needed_more_are_not_asked(world: World) -> None:
    free = GateLimits("dep/free")
    await world.ticket(KEY, TEAM)
    world.store.count_from_here()
    requests_only, money_only = GateLimits("key/b", rpm=1, max_parallel=1), GateLimits("key/c", budget=BudgetLimit(9))
    for caller, more in (([TEAM, requests_only], NEED), ([money_only], Reservation(50, 0)), ([KEY], Reservation(0, 0))):
        found, place = await world.gates.admit_again(caller, more, free, NEED)
        assert isinstance(found, Ticket)
        assert isinstance(place, Ticket)
    assert world.store.writes == 0


async def test_a_new_minute_costs_no_further_trip(world: World) -> None:
    await world.gates.settle(await world.ticket(KEY), Spent(1, 1))
    world.clock.advance(60)
    world.store.count_from_here()
    await world.ticket(KEY)
    assert world.store.writes == 1
    assert world.item("key/a")["pr"] == 1


async def test_a_limit_of_requests_alone_is_never_settled(world: World) -> None:
    ticket = await world.ticket(PLACE)
    world.store.count_from_here()
    await world.gates.settle(ticket, Spent(50, 50))
    assert world.store.writes == 0


async def test_a_full_limit_is_refused_without_asking_and_writes_nowhere(world: World) -> None:
    for _ in range(3):
        await world.gates.settle(await world.ticket(KEY, TEAM), Spent(1, 1))
    await world.denial(KEY, TEAM)
    world.store.count_from_here()
    for _ in range(20):
        await world.denial(KEY, TEAM)
    assert world.store.writes == 0
    world.clock.advance(60)
    await world.ticket(KEY, TEAM)


async def test_a_refusal_for_tokens_is_believed_for_a_second(world: World) -> None:
    tight = GateLimits("key/tight", tpm=150)
    other = world.another()
    held = await world.ticket(tight)
    await other.admit([tight], NEED)
    world.store.count_from_here()
    assert isinstance(await other.admit([tight], NEED), Denial)
    assert world.store.writes == 0
    await world.gates.settle(held, Spent(0, 0))
    world.clock.advance(1.1)
    assert isinstance(await other.admit([tight], NEED), Ticket)


# --- Refusals ------------------------------------------------------------------------------------------------------


async def test_the_refusal_names_the_limit_its_owner_and_when_it_ends(world: World) -> None:
    world.clock.now_s += 13
    for _ in range(3):
        await world.ticket(KEY, need=Reservation(1, 1))
    found = await world.denial(KEY, TEAM, need=Reservation(1, 1))
    assert (found.scope, found.kind, found.limit, found.remaining) == ("key/a", LimitKind.REQUESTS, 3, 0)
    error = found.error()
    assert (error.status, error.code, error.retry_after_s) == (429, "rate_limit_exceeded", 47)
    assert "key 'a'" in error.message
    assert "limit 3, remaining 0" in error.message
    assert found.headers()["x-ratelimit-remaining-requests"] == "0"
    assert found.headers()["x-ratelimit-reset-requests"] == "47s"


async def test_a_spent_budget_says_how_much_and_until_when(world: World) -> None:
    for _ in range(3):
        await world.ticket(replace(KEY, rpm=None), need=Reservation(1, 3_000))
    error = (await world.denial(replace(KEY, rpm=None), need=Reservation(1, 3_000))).error()
    assert (error.kind, error.status, error.code) == (ErrorKind.BUDGET_EXCEEDED, 429, "insufficient_quota")
    assert "$0.01 per month, $0.001 left" in error.message
    assert "$0.003" in error.message
    assert "2027-02-01T00:00:00Z" in error.message
    assert error.retry_after_s == 1_801_440_000 - world.clock.wall_s()


async def test_a_request_larger_than_the_whole_limit_is_refused_for_good(world: World) -> None:
    found = await world.denial(KEY, need=Reservation(1_001, 0))
    assert found.permanent
    assert found.error().retry_after_s is None
    assert "1001 tokens" in found.error().message
    assert world.store.writes == 0


async def test_too_many_calls_in_flight_are_refused_until_one_ends(world: World) -> None:
    first, _ = await world.ticket(TEAM), await world.ticket(TEAM)
    found = await world.denial(TEAM)
    assert (found.kind, found.limit, found.error().retry_after_s) == (LimitKind.PARALLEL, 2, 1.0)
    await world.gates.settle(first, Spent(0, 0))
    await world.ticket(TEAM)


async def test_of_several_refusals_the_one_that_lasts_longest_is_told(world: World) -> None:
    key = GateLimits("key/b", rpm=1)
    team = GateLimits("team/b", budget=BudgetLimit(100))
    await world.ticket(key, team, need=Reservation(1, 100))
    assert (await world.denial(key, team, need=Reservation(1, 100))).kind is LimitKind.BUDGET


async def test_a_scope_that_refuses_takes_nothing_from_the_others(world: World) -> None:
    await world.ticket(TEAM)
    await world.ticket(TEAM)
    other = world.another()  # has not seen that the team is full
    assert isinstance(await other.admit([KEY, TEAM, MODEL], NEED), Denial)
    for scope, left in (("key/a", 3), ("team/t", 48)):
        assert world.item(scope)["r"] == left
    assert (world.item("key/a")["t"], world.item("key/a")["b"], world.item("key/a")["h"]) == (1_000, 10_000, 0)
    assert world.item("key/a/model/m")["t"] == 5_000


# --- Deployments ---------------------------------------------------------------------------------------------------


async def test_a_full_deployment_leaves_the_caller_admitted(world: World) -> None:
    for _ in range(2):
        await world.gates.admit_first([], PLACE, NEED)
    caller, place = await world.gates.admit_first([TEAM], PLACE, NEED)
    assert isinstance(caller, Ticket)
    assert isinstance(place, Denial)
    assert isinstance(await world.gates.admit([GateLimits("dep/two", rpm=1)], NEED), Ticket)
    assert world.item("team/t")["r"] == 49


async def test_a_refused_caller_leaves_no_trace_at_the_deployment(world: World) -> None:
    await world.ticket(TEAM)
    await world.ticket(TEAM)
    caller, place = await world.another().admit_first([TEAM], PLACE, NEED)
    assert isinstance(caller, Denial)
    assert place is None
    assert world.item("dep/one")["r"] == 2


async def test_a_deployment_without_limits_is_free(world: World) -> None:
    caller, place = await world.gates.admit_first([], GateLimits("dep/free"), NEED)
    assert isinstance(caller, Ticket)
    assert isinstance(place, Ticket)
    assert world.store.writes == 0


# --- Headers -------------------------------------------------------------------------------------------------------


async def test_success_tells_the_tightest_of_the_limits(world: World) -> None:
    ticket = await world.ticket(KEY, TEAM, MODEL)
    assert ticket.headers() == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "60s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "60s",
    }
    assert not ticket.degraded


# --- Sliding windows -----------------------------------------------------------------------------------------------


async def test_a_sliding_limit_lets_no_burst_over_the_turn_of_the_minute(world: World) -> None:
    sliding = GateLimits("key/s", rpm=10, sliding=True)
    world.clock.now_s += 50
    for _ in range(10):
        await world.ticket(sliding)
    world.clock.advance(15)  # 5 s into the next minute: 11/12 of the last one still weigh
    got = [await world.gates.admit([sliding], NEED) for _ in range(10)]
    assert sum(isinstance(one, Ticket) for one in got) == 1
    refused = got[-1]
    assert isinstance(refused, Denial)
    assert refused.retry_after_s is not None
    world.clock.advance(refused.retry_after_s)
    await world.ticket(sliding)


async def test_a_cold_environment_keeps_a_sliding_limit(world: World) -> None:
    sliding = GateLimits("key/s", rpm=10, sliding=True)
    world.clock.now_s += 50
    for _ in range(10):
        await world.ticket(sliding)
    world.clock.advance(11)  # 1 s into the next minute: 9.8 of the 10 still weigh, rounded down
    assert isinstance(await world.another().admit([sliding], NEED), Ticket)
    assert isinstance(await world.another().admit([sliding], NEED), Denial)


# --- Changes -------------------------------------------------------------------------------------------------------


async def test_a_raised_limit_holds_with_the_next_request_and_forgets_nothing(world: World) -> None:
    for _ in range(3):
        await world.ticket(KEY, need=Reservation(1, 1))
    raised = replace(KEY, rpm=5, version=1)
    await world.ticket(raised, need=Reservation(1, 1))
    assert (world.item("key/a")["rl"], world.item("key/a")["r"]) == (5, 1)


async def test_a_lowered_limit_holds_at_once_for_what_was_used_before(world: World) -> None:
    for _ in range(2):
        await world.ticket(KEY, need=Reservation(1, 1))
    lowered = replace(KEY, rpm=2, budget=BudgetLimit(5_000), version=1)
    assert (await world.denial(lowered, need=Reservation(1, 1))).kind is LimitKind.REQUESTS
    assert world.item("key/a")["b"] == 4_998


async def test_an_older_configuration_never_undoes_a_newer_one(world: World) -> None:
    await world.ticket(replace(KEY, rpm=9, version=7))
    other = world.another()
    for _ in range(2):
        await other.admit([KEY], Reservation(1, 1))
    assert world.item("key/a")["rl"] == 9


async def test_a_gate_that_is_told_of_a_lower_limit_refuses_who_has_not_heard_of_it_in_one_write(world: World) -> None:
    for _ in range(2):
        await world.ticket(KEY, need=Reservation(1, 1))
    await world.another().tell(replace(KEY, budget=BudgetLimit(1_500), version=1))
    world.store.count_from_here()
    denied = await world.denial(KEY)
    assert (denied.kind, denied.limit, denied.remaining) == (LimitKind.BUDGET, 1_500, 1_498)
    assert (await world.denial(KEY)).kind is LimitKind.BUDGET
    assert world.store.writes == 1  # and then it is known here
    await world.ticket(KEY, need=Reservation(1, 1_498))


async def test_so_does_a_raised_one_let_pass(world: World) -> None:
    await world.ticket(KEY, need=Reservation(1, 9_000))
    assert (await world.denial(KEY)).kind is LimitKind.BUDGET
    await world.another().tell(replace(KEY, budget=BudgetLimit(20_000), version=1))
    world.clock.advance(2)  # for so long a refusal is believed
    await world.ticket(KEY)


async def test_of_a_limit_that_is_new_to_a_gate_nobody_takes_nothing(world: World) -> None:
    rates = replace(KEY, budget=None)
    await world.ticket(rates)
    await world.another().tell(replace(KEY, version=1))
    world.store.count_from_here()
    ticket = await world.ticket(rates)
    assert ([hold.micro_usd for hold in ticket.holds], world.store.writes) == ([2_000], 2)
    await world.gates.settle(ticket, Spent(1, 1_500))
    assert (world.item("key/a")["b"], world.item("key/a")["h"]) == (8_500, 0)
    world.store.count_from_here()
    await world.ticket(rates, need=Reservation(1, 1))
    assert world.store.writes == 1


async def test_a_gate_is_told_nothing_that_is_older_or_that_it_knows_and_none_is_made(world: World) -> None:
    await world.gates.tell(KEY)
    assert world.store.items == {}
    await world.ticket(replace(KEY, version=7))
    world.store.count_from_here()
    await world.gates.tell(replace(KEY, version=8))
    await world.gates.tell(replace(KEY, rpm=1, version=6))
    assert world.store.writes == 0


async def test_what_dead_requests_held_is_no_burden_of_a_new_budget(world: World) -> None:
    await world.ticket(KEY)
    await world.gates.tell(replace(KEY, budget=None, version=1))
    world.clock.advance(3 * 960)
    await world.another().tell(replace(KEY, version=2))
    assert (world.item("key/a")["b"], world.item("key/a")["h"]) == (10_000, 0)


async def test_a_changed_budget_period_only_moves_forward(world: World) -> None:
    first = await world.ticket(GateLimits("key/p", budget=BudgetLimit(5_000, "month")))
    await world.gates.settle(first, Spent(1, 2_000))
    daily = GateLimits("key/p", budget=BudgetLimit(5_000, "day"), version=1)
    await world.ticket(daily, need=Reservation(1, 4_000))  # today began after this month did: the budget is new
    monthly = GateLimits("key/p", budget=BudgetLimit(5_000, "month"), version=2)
    assert (await world.denial(monthly, need=Reservation(1, 2_000))).kind is LimitKind.BUDGET


async def test_a_revoked_key_stops_at_once_and_in_every_environment(world: World) -> None:
    await world.ticket(KEY)
    await world.another().revoke("key/a")
    world.clock.advance(60)
    error = (await world.denial(KEY)).error()
    assert (error.status, error.retry_after_s) == (401, None)
    await world.gates.restore("key/a")
    await world.ticket(KEY)


async def test_a_key_that_was_never_used_can_be_revoked(world: World) -> None:
    await world.gates.revoke("key/a")
    assert (await world.denial(KEY)).kind is LimitKind.REVOKED


async def test_a_gate_can_be_looked_at_as_it_stands_now(world: World) -> None:
    assert await world.gates.look(KEY) is None
    await world.ticket(KEY)
    world.clock.advance(60)
    found = await world.gates.look(KEY)
    assert found is not None
    assert (found.requests_left, found.requests_before, found.held) == (3, 1, 2_000)


# --- Clients that leave --------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_while_being_admitted_holds_nothing(world: World) -> None:
    asked = asyncio.ensure_future(world.gates.admit([KEY, TEAM], NEED))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    for _ in range(40):
        await asyncio.sleep(0)
    assert (world.item("key/a")["r"], world.item("key/a")["b"], world.item("key/a")["h"]) == (3, 10_000, 0)
    assert world.item("team/t")["k"] == 0


async def test_settling_is_finished_even_if_the_client_leaves_meanwhile(world: World) -> None:
    ticket = await world.ticket(KEY, TEAM)
    settling = asyncio.ensure_future(world.gates.settle(ticket, Spent(7, 70)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    for _ in range(40):
        await asyncio.sleep(0)
    assert (world.item("key/a")["b"], world.item("key/a")["h"], world.item("team/t")["k"]) == (9_930, 0, 0)


# --- More for a request that is in ---------------------------------------------------------------------------------


BUSY = GateLimits("key/busy", rpm=1, tpm=1_000, max_parallel=1, budget=BudgetLimit(5_000))
FREE = GateLimits("dep/free")


async def test_more_counts_no_request_and_no_call_in_flight(world: World) -> None:
    first = await world.ticket(BUSY)
    more, _ = await world.gates.admit_again([BUSY], Reservation(300, 1_000), FREE, NEED)
    assert isinstance(more, Ticket)
    item = world.item("key/busy")
    assert (item["r"], item["k"], item["t"], item["b"], item["h"]) == (0, 1, 600, 2_000, 3_000)
    await world.gates.settle(more, Spent(250, 900))
    await world.gates.settle(first, Spent(10, 20))
    item = world.item("key/busy")
    assert (item["r"], item["k"], item["t"], item["b"], item["h"]) == (0, 0, 740, 4_080, 0)


async def test_more_than_there_is_leaves_what_is_held_and_names_the_limit(world: World) -> None:
    other = GateLimits("team/roomy", tpm=100_000)
    await world.ticket(BUSY, other)
    before = (world.item("key/busy"), world.item("team/roomy"))
    for need, kind in ((Reservation(300, 3_001), LimitKind.BUDGET), (Reservation(901, 0), LimitKind.TOKENS)):
        found, place = await world.gates.admit_again([BUSY, other], need, PLACE, NEED)
        assert isinstance(found, Denial)
        assert (found.scope, found.kind, found.error().status, place) == ("key/busy", kind, 429, None)
    assert (world.item("key/busy"), world.item("team/roomy")) == before


async def test_more_in_a_new_minute_opens_it_without_a_request(world: World) -> None:
    await world.ticket(BUSY)
    world.clock.advance(60)
    found, _ = await world.gates.admit_again([BUSY], Reservation(300, 0), FREE, NEED)
    assert isinstance(found, Ticket)
    assert (world.item("key/busy")["r"], world.item("key/busy")["t"], world.item("key/busy")["pr"]) == (1, 700, 1)
    await world.gates.cancel(found)
    assert (world.item("key/busy")["r"], world.item("key/busy")["t"]) == (1, 1_000)


async def test_more_of_a_gate_that_was_deleted_makes_it_anew(world: World) -> None:
    await world.ticket(BUSY)
    await world.store.delete("G#key/busy", "G")
    found, _ = await world.another().admit_again([BUSY], Reservation(300, 1_000), FREE, NEED)
    assert isinstance(found, Ticket)
    item = world.item("key/busy")
    assert (item["r"], item["k"], item["t"], item["b"], item["h"]) == (1, 0, 700, 4_000, 1_000)


async def test_a_client_that_leaves_while_more_is_asked_for_holds_nothing_more(world: World) -> None:
    await world.ticket(BUSY)
    asking = asyncio.ensure_future(world.gates.admit_again([BUSY], Reservation(300, 1_000), FREE, NEED))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (world.item("key/busy")["t"], world.item("key/busy")["h"]) == (900, 2_000)
