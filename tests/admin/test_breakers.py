"""/api/admin/breakers: seen by viewers, moved by administrators, written down."""

from urllib.parse import quote

import pytest
from tests.support.control import Control, control

from pllm.core import breaker_moves as moves
from pllm.core.breaker_policy import BreakerPolicy
from pllm.state.breakers import move_breaker

DEP = "gpt-4o@openai/gpt-4o"
PATH = f"/api/admin/breakers/{quote(DEP, safe='')}"


async def shown(plane: Control) -> dict[str, object]:
    page = await plane.done("GET", "/api/admin/breakers")
    assert page["enabled"] is True
    (one,) = page["data"]
    assert isinstance(one, dict)
    return one


async def test_every_deployment_has_one_whatever_was_heard_of_it(plane: Control) -> None:
    one = await shown(plane)
    assert (one["deployment"], one["model"], one["provider"]) == (DEP, "gpt-4o", "openai")
    assert (one["state"], one["admits"], one["forced"], one["since"], one["until"]) == ("closed", "all", False, None, None)


async def test_a_tripped_one_says_why_since_and_until_when(plane: Control) -> None:
    now_ms = int(plane.service.clock.wall_s() * 1000)
    await plane.service.store.update(move_breaker("main", DEP, moves.trip(BreakerPolicy(), 0, now_ms, "upstream_timeout")))
    one = await shown(plane)
    assert (one["state"], one["admits"], one["forced"], one["why"]) == ("open", "none", False, "upstream_timeout")
    assert str(one["since"]) < str(one["until"])


async def test_an_administrator_opens_closes_and_releases(plane: Control) -> None:
    opened = await plane.done("POST", f"{PATH}/open", json={"seconds": 90, "reason": "maintenance"})
    assert (opened["state"], opened["forced"], opened["reason"]) == ("open", True, "maintenance")
    assert opened["until"] is not None
    assert await shown(plane) == opened
    closed = await plane.done("POST", f"{PATH}/close")
    assert (closed["state"], closed["admits"], closed["forced"], closed["until"]) == ("closed", "all", True, None)
    released = await plane.done("POST", f"{PATH}/release")
    assert (released["state"], released["forced"], released["why"]) == ("closed", False, None)
    whats = [row["what"] for row in (await plane.done("GET", "/api/admin/audit"))["data"]]
    assert sorted(whats) == ["breaker.close", "breaker.open", "breaker.release"]


@pytest.mark.parametrize("path", [f"/api/admin/breakers/{DEP}/open", f"{PATH}/open"])
async def test_an_id_may_be_escaped_or_not(plane: Control, path: str) -> None:
    assert (await plane.done("POST", path))["deployment"] == DEP


async def test_a_deployment_that_there_is_not_is_answered_with_near_ones(plane: Control) -> None:
    status, _, message = await plane.refused("POST", "/api/admin/breakers/gpt-4o@openai/gpt-4/open")
    assert (status, DEP in message) == (404, True)
    assert (await plane.refused("POST", "/api/admin/breakers/zzz/close"))[0] == 404


@pytest.mark.parametrize("body", [{"seconds": 0}, {"seconds": -1}, {"seconds": "soon"}, {"second": 3}, {"reason": "x" * 201}])
async def test_what_cannot_be_meant_is_refused(plane: Control, body: dict[str, object]) -> None:
    assert (await plane.refused("POST", f"{PATH}/open", json=body))[0] == 400
    assert (await shown(plane))["forced"] is False


async def test_without_a_table_it_is_said_that_there_is_none() -> None:
    async with control(table=False) as plane:
        assert (await plane.refused("GET", "/api/admin/breakers"))[0] == 503
        assert (await plane.refused("POST", f"{PATH}/open"))[0] == 503
