"""/api/admin/usage: everybody's usage, for those who may look at the control plane."""

import csv
import io

from tests.support.control import Control, control

from pllm.core.usage_rows import Account, Amounts
from pllm.state.usage import Ledger


async def spend(plane: Control) -> None:
    ledger = Ledger(plane.service.store, plane.service.clock, lambda: "environment1", plane.lines.append)
    ledger.count(Account("key1", "gpt-4o", "d", "red"), Amounts(requests=2, cost_micro_usd=1_500_000))
    ledger.count(Account("key2", "claude", "d", "blue"), Amounts(requests=1, cost_micro_usd=250_000))
    await ledger.flush()


async def test_an_administrator_sees_everybody(plane: Control) -> None:
    await spend(plane)
    page = await plane.done("GET", "/api/admin/usage?group_by=team,key&period=day")
    lines = [(line["team"], line["key"], line["requests"], line["cost_usd"]) for line in page["data"]]
    assert lines == [("blue", "key2", 1, 0.25), ("red", "key1", 2, 1.5)]
    [red] = (await plane.done("GET", "/api/admin/usage?team=red"))["data"]
    assert red["requests"] == 2


async def test_the_same_comes_as_csv(plane: Control) -> None:
    await spend(plane)
    response = await plane.asked("GET", "/api/admin/usage?format=csv&group_by=model&limit=1")
    assert response.headers["content-type"].startswith("text/csv")
    [line] = csv.DictReader(io.StringIO(response.text))
    assert (line["model"], line["cost_micro_usd"]) == ("claude", "250000")
    following = await plane.done("GET", f"/api/admin/usage?group_by=model&page={response.headers['x-pllm-next-page']}")
    assert [line["model"] for line in following["data"]] == ["gpt-4o"]


async def test_a_wrong_wish_is_named(plane: Control) -> None:
    assert (await plane.refused("GET", "/api/admin/usage?period=week"))[:2] == (400, "period")
    assert (await plane.refused("GET", "/api/admin/usage?colour=red"))[:2] == (400, "colour")


async def test_it_needs_a_table() -> None:
    async with control(table=False) as plane:
        status, _, message = await plane.refused("GET", "/api/admin/usage")
        assert (status, "PLLM_TABLE" in message) == (503, True)


async def test_it_is_not_for_strangers(plane: Control) -> None:
    assert (await plane.asked("GET", "/api/admin/usage", key="")).status_code == 401
