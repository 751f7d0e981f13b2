"""/api/admin/budgets: what is limited, what is used of it, what is left."""

from typing import Any

from tests.support.control import Control, allowances, control, gates_of

from pllm.core.limits import Reservation, Spent
from pllm.state.gate_ticket import Ticket

DEP = "gpt-4o@openai/gpt-4o"


async def listed(plane: Control, query: str = "") -> dict[str, Any]:
    page = await plane.done("GET", f"/api/admin/budgets{query}")
    return {one["scope"]: one for one in page["data"]}


async def test_everything_that_is_limited_by_record_or_configuration_is_there_and_nothing_else(plane: Control) -> None:
    await plane.done("POST", "/api/admin/teams", json={"id": "ops", "rpm": 5})
    free = await plane.done("POST", "/api/admin/keys", json={"name": "free"})
    own = await plane.done("POST", "/api/admin/keys", json={"name": "own", "team": "ops", "max_parallel": 3})
    named = await plane.done("POST", "/api/admin/keys", json={"name": "batch"})
    found = await listed(plane)
    assert set(found) == {f"key/{own['id']}", f"key/{named['id']}", "team/ops", "team/search", "model/gpt-4o", f"dep/{DEP}"}
    assert f"key/{free['id']}" not in found
    key = found[f"key/{own['id']}"]
    assert (key["kind"], key["id"], key["name"], key["team"], key["stopped"]) == ("key", own["id"], "own", "ops", False)
    assert (key["parallel"]["limit"], key["requests"], key["budget"]) == (3, None, None)
    assert found[f"key/{named['id']}"]["requests"]["limit"] == 7
    assert found["model/gpt-4o"]["tokens"]["remaining"] == 50_000
    assert found[f"dep/{DEP}"]["requests"]["limit"] == 100
    budget = found["team/search"]["budget"]
    assert (budget["limit_usd"], budget["period"], budget["timezone"]) == (20.0, "week", "Europe/Berlin")
    assert budget["resets_at"] is not None


async def test_what_the_data_plane_takes_is_seen_here(plane: Control) -> None:
    body = {"name": "app", "rpm": 10, "tpm": 1000, "max_parallel": 2, "budget": {"amount_usd": 2, "period": "total"}}
    made = await plane.done("POST", "/api/admin/keys", json=body)
    record = await plane.service.keys.get(made["id"])
    limits = allowances().of_key(record.id, record.fields.name, record.fields.allowance, record.version)
    gates = gates_of(plane.service.store, plane.service)
    tickets = [await gates.admit([limits], Reservation(100, 500_000)) for _ in range(2)]
    assert isinstance(tickets[0], Ticket)
    await gates.settle(tickets[0], Spent(40, 250_000))
    await gates.flush()
    one = (await listed(plane, "?kind=key"))[f"key/{made['id']}"]
    assert (one["requests"]["used"], one["tokens"]["used"], one["parallel"]["used"]) == (2, 140, 1)
    assert (one["budget"]["used_usd"], one["budget"]["reserved_usd"], one["budget"]["remaining_usd"]) == (0.25, 0.5, 1.25)
    assert (one["budget"]["percent"], one["budget"]["resets_at"]) == (37.5, None)
    plane.service.clock.advance(61)
    one = (await listed(plane, "?kind=key"))[f"key/{made['id']}"]
    assert (one["requests"]["used"], one["tokens"]["remaining"], one["budget"]["used_usd"]) == (0, 1000, 0.25)


async def test_a_list_comes_in_pages_and_by_kind(plane: Control) -> None:
    for name in "abc":
        await plane.done("POST", "/api/admin/keys", json={"name": name, "rpm": 1})
    scopes: list[str] = []
    after = ""
    while True:
        page = await plane.done("GET", "/api/admin/budgets", params={"limit": "2", "after": after})
        scopes += [one["scope"] for one in page["data"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert scopes == list(await listed(plane))
    assert {one["kind"] for one in (await listed(plane, "?kind=model")).values()} == {"model"}
    assert (await plane.refused("GET", "/api/admin/budgets?after=key/gone"))[:2] == (400, "after")
    assert (await plane.refused("GET", "/api/admin/budgets?kind=cat"))[:2] == (400, "kind")


async def test_a_revoked_key_is_gone_and_a_disabled_one_is_stopped() -> None:
    async with control() as plane:
        made = [await plane.done("POST", "/api/admin/keys", json={"name": name, "rpm": 1}) for name in "ab"]
        gates = gates_of(plane.service.store, plane.service)
        await plane.done("POST", f"/api/admin/keys/{made[0]['id']}/revoke")
        await gates.revoke(f"key/{made[1]['id']}")
        found = await listed(plane, "?kind=key")
        assert [(one["id"], one["stopped"]) for one in found.values()] == [(made[1]["id"], True)]


async def test_without_a_table_it_is_said_that_there_is_none() -> None:
    async with control(table=False) as plane:
        assert (await plane.refused("GET", "/api/admin/budgets"))[0] == 503
