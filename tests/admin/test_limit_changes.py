"""Limits that an administrator changes hold at once, also where the key or team was read before the change."""

from random import Random
from typing import Any

import pytest
from tests.support.control import Control, allowances, control

from pllm.core.limit_answers import Denial
from pllm.core.limits import GateLimits, LimitKind, Reservation
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError

NEED = Reservation(10, 600_000)
PATHS = {"key": "/api/admin/keys", "team": "/api/admin/teams"}


async def made(plane: Control, kind: str, **limits: Any) -> str:
    fields = {"name": "ci", **limits} | ({"id": "t"} if kind == "team" else {})
    return str((await plane.done("POST", PATHS[kind], json=fields))["id"])


async def remembered(plane: Control, kind: str, name: str) -> GateLimits:
    """What an environment knows that reads the record now."""
    if kind == "team":
        (limits,) = allowances().of_team(name, await plane.service.teams.get(name))
        return limits
    record = await plane.service.keys.get(name)
    return allowances().of_key(record.id, record.fields.name, record.fields.allowance, record.version)


def environment(plane: Control) -> Gates:
    return Gates(plane.service.store, plane.service.clock, Random(9))


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
async def test_a_lowered_limit_refuses_the_next_request_of_whoever_knows_the_old_one(kind: str, warm: bool) -> None:
    async with control() as plane:
        name = await made(plane, kind, rpm=100, budget={"amount_usd": 5})
        old, gates = await remembered(plane, kind, name), environment(plane)
        assert isinstance(await gates.admit([old], NEED), Ticket)
        await plane.done("PATCH", f"{PATHS[kind]}/{name}", json={"budget": {"amount_usd": 1}})
        denied = await (gates if warm else environment(plane)).admit([old], NEED)
        assert isinstance(denied, Denial)
        assert (denied.kind, denied.limit) == (LimitKind.BUDGET, 1_000_000)
        await plane.done("PATCH", f"{PATHS[kind]}/{name}", json={"budget": None, "rpm": 1})
        denied = await environment(plane).admit([old], NEED)
        assert isinstance(denied, Denial)
        assert denied.kind is LimitKind.REQUESTS


async def test_a_team_that_gets_a_record_is_limited_by_it_and_no_longer_by_the_configuration() -> None:
    async with control() as plane:
        (by_configuration,) = allowances().of_team("search", None)
        gates = environment(plane)
        assert isinstance(await gates.admit([by_configuration], NEED), Ticket)
        await plane.done("POST", PATHS["team"], json={"id": "search", "budget": {"amount_usd": 1}})
        assert isinstance(await gates.admit([by_configuration], NEED), Denial)


async def test_a_team_that_is_made_again_is_limited_by_what_is_said_now() -> None:
    async with control() as plane:
        name = await made(plane, "team", rpm=100)
        await plane.done("PATCH", f"{PATHS['team']}/{name}", json={"rpm": 50})
        gates = environment(plane)
        assert isinstance(await gates.admit([await remembered(plane, "team", name)], NEED), Ticket)
        await plane.done("DELETE", f"{PATHS['team']}/{name}")
        plane.service.clock.advance(2.0)
        await made(plane, "team", rpm=1)
        denied = await gates.admit([await remembered(plane, "team", name)], NEED)
        assert isinstance(denied, Denial)
        assert (denied.kind, denied.limit) == (LimitKind.REQUESTS, 1)


class GatesOutOfReach(MemoryStore):
    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        if pk.startswith("G#"):
            raise StateError("throttled", sent=False)
        return await super().get(pk, sk, consistent=consistent)


@pytest.mark.parametrize("kind", PATHS)
async def test_a_gate_that_cannot_be_told_holds_up_no_change_and_an_operator_hears_of_it(kind: str) -> None:
    async with control(GatesOutOfReach()) as plane:
        name = await made(plane, kind, rpm=100)
        assert (await plane.done("PATCH", f"{PATHS[kind]}/{name}", json={"rpm": 1}))["rpm"] == 1
        told = [line["warning"] for line in plane.lines if "could not be told" in line.get("warning", "")]
        assert f"{kind}/{name}" in told[-1]
        assert "within 72 seconds" in told[-1]
