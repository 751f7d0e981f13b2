"""A whole request's life, and the table fails once in it: at each of its calls in turn, in each of three ways.

Whatever is lost, the client hears something clear, nothing stays taken, and nobody pays less than what was used.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

import httpx2
import pytest
from tests.support.faulty import Fault, with_fault
from tests.support.gateway import Harness, deployment, gateway
from tests.support.upstream import Cut, Upstream, event, upstream

from pllm.admission import Admissions
from pllm.core.allowances import Allowances
from pllm.core.clock import ManualClock
from pllm.core.config.policies import Budget, Budgets, Limit, Limits
from pllm.core.limits import GENERATION_S, Reservation, Spent
from pllm.core.profile import ModelProfile, Prices
from pllm.edge.app import Gateway
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Item, Refused, Rejected, Update, Write
from pllm.state.usage import Ledger

T = TypeVar("T")

PRICED = ModelProfile(default_max_tokens=100, prices=Prices(input=1_000_000, output=2_000_000), thinking="none", known=True)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
COST = 10 * 1 + 5 * 2
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
WORD = event({"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": "stop"}]})
BUDGET = 1_000_000
FAULTS = (Fault.THROTTLED, Fault.LOST_REQUEST, Fault.LOST_RESPONSE)


@dataclass
class FailsOnce:
    """A table of which one call fails, counted from `arm`. `early`: whether nothing had been asked of the provider then."""

    inner: MemoryStore
    asked: Callable[[], bool]
    place: int = -1
    fault: Fault = Fault.NONE
    calls: int = 0
    early: bool = False

    def arm(self, place: int, fault: Fault) -> None:
        self.place, self.fault, self.calls, self.early = place, fault, 0, False

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        return await self._call(lambda: self.inner.get(pk, sk))

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        return await self._call(lambda: self.inner.query(pk, since=since, until=until))

    async def update(self, update: Update) -> Applied | Refused:
        return await self._call(lambda: self.inner.update(update))

    async def delete(self, pk: str, sk: str) -> Item | None:
        return await self._call(lambda: self.inner.delete(pk, sk))

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        return await self._call(lambda: self.inner.transact(writes, token))

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        struck = self.calls == self.place
        self.calls += 1
        if struck:
            self.early = not self.asked()
        return await with_fault(self.fault if struck else Fault.NONE, call)


@dataclass
class World:
    """One environment, and what its clients asked and got."""

    table: FailsOnce
    clock: ManualClock
    gates: Gates
    allowances: Allowances
    up: Upstream
    gw: Harness
    client: httpx2.AsyncClient
    sent: int = 0
    paid: int = 0

    async def ask(self, kind: str) -> httpx2.Response:
        self.up.scripts.clear()
        if kind == "streamed":
            self.up.will_stream(WORD, event({"choices": [], "usage": USAGE}), event("[DONE]"))
        elif kind == "tried again":
            self.up.will(Cut())
            self.up.will_answer(ANSWER)
        elif kind == "refused by its provider":
            self.up.will_answer({"error": {"message": "bad"}}, 400)
        else:
            self.up.will_answer(ANSWER)
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": kind == "streamed"}
        response = await self.client.post("/v1/chat/completions", json=body)
        self.sent += 1
        line = self.gw.log()
        assert line.get("cost_micro_usd", 0) == COST * (response.status_code == 200)
        self.paid += line.get("cost_micro_usd", 0) + line.get("abandoned_cost_micro_usd", 0)
        return response

    async def take_the_slot(self) -> tuple[Gates, Ticket]:
        """As another environment does."""
        others = Gates(self.table, self.clock, Random(2))
        found = await others.admit([self.allowances.of_model("m")], Reservation(1, 1))
        assert isinstance(found, Ticket)
        return others, found

    def gate(self, scope: str) -> dict[str, int]:
        item = self.table.inner.items.get((f"G#{scope}", "G"), {})
        return {name: value for name, value in item.items() if isinstance(value, int)}

    def counted(self) -> int:
        """Requests in the rows of usage."""
        rows = (item for (pk, _), item in self.table.inner.items.items() if pk.startswith("U#m#"))
        return sum(value for item in rows if isinstance(value := item.get("n"), int))


@asynccontextmanager
async def world(budget: bool) -> AsyncIterator[World]:
    """A model with a limit for its callers and one for its deployment, and a budget where it is asked for."""
    clock, store = ManualClock(1_800_000_000.0), MemoryStore()
    budgets = Budgets(models={"m": Budget(amount=BUDGET, period="total")} if budget else {})
    allowances = Allowances(Limits(models={"m": Limit(rpm=100, tpm=100_000, max_parallel=1)}), budgets)
    async with upstream() as up:
        table = FailsOnce(store, lambda: bool(up.requests))
        gates = Gates(table, clock, Random(1))
        ledger = Ledger(table, clock, lambda: "environment", lambda line: None, exact=True)

        async def settle() -> None:
            await gates.flush()
            await ledger.settle()

        place = deployment(up.base_url, profile=PRICED, max_parallel=5)
        async with gateway([place], admissions=Admissions(lambda: gates, allowances), retries=1) as gw:
            client = gw.against(Gateway(replace(gw.edge, settle=settle, count=ledger.add)))
            yield World(table, clock, gates, allowances, up, gw, client)


async def live(here: World, kind: str, place: int, fault: Fault) -> httpx2.Response:
    """One request with one fault in it; then the table is well, and another comes two generations later."""
    slot = await here.take_the_slot() if kind == "refused by a limit" else None
    here.table.arm(place, fault)
    response = await here.ask(kind)
    here.table.fault = Fault.NONE
    if slot is not None:
        await slot[0].settle(slot[1], Spent(0, 0))
    here.clock.advance(2 * GENERATION_S)
    assert (await here.ask("answered")).status_code == 200
    return response


def check(here: World, response: httpx2.Response, kind: str, fault: Fault, budget: bool) -> None:
    expected = {"refused by its provider": 400, "refused by a limit": 429}.get(kind, 200)
    early = here.table.early and fault is not Fault.NONE
    if early and budget and response.status_code == 503:
        assert "cannot be checked" in response.json()["error"]["message"]
        assert int(response.headers["retry-after"]) >= 1
    elif kind == "tried again" and response.status_code == 503:  # the table was asked once more, and said nothing
        assert budget
        assert "cannot be checked" in response.json()["error"]["message"]
    elif early and response.status_code == 200:
        assert response.headers["x-pllm-state"] == "degraded"
        assert response.text
    else:
        assert response.status_code == expected
    assert not early or kind == "refused by a limit" or response.headers.get("x-pllm-state") == "degraded" or budget
    for scope in ("model/m", "dep/m/1"):
        gate = here.gate(scope)
        assert [gate[name] for name in ("h", "hc", "hp", "k", "kc", "kp")] == [0] * 6, (scope, gate)
        assert 0 <= gate.get("r", 0) <= gate.get("rl", 0)
        assert gate.get("t", 0) <= gate.get("tl", 0)
    if budget:
        gate = here.gate("model/m")
        assert here.paid <= gate["bl"] - gate["b"] <= here.paid + max(COST, here.paid - COST)
        if not (fault is Fault.LOST_RESPONSE and not early):
            assert gate["bl"] - gate["b"] == here.paid  # only a settlement whose answer was lost may count twice
    assert here.counted() == here.sent


@pytest.mark.parametrize("budget", [False, True], ids=["rates", "budget"])
@pytest.mark.parametrize("kind", ["answered", "streamed", "tried again", "refused by its provider", "refused by a limit"])
async def test_one_fault_of_the_table_anywhere_in_a_request_costs_nobody_anything(kind: str, budget: bool) -> None:
    async with world(budget) as here:
        response = await live(here, kind, -1, Fault.NONE)
        check(here, response, kind, Fault.NONE, budget)
        calls = here.table.calls
    assert calls >= 4
    struck_early = 0
    for place in range(calls):
        for fault in FAULTS:
            async with world(budget) as here:
                response = await live(here, kind, place, fault)
                check(here, response, kind, fault, budget)
                struck_early += here.table.early
    assert struck_early >= len(FAULTS)
