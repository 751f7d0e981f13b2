"""/api/admin/series: how fast the gateway answered, over any time that usage is kept for."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.control import Control, control

from pllm.core.sketch import NOTHING, RELATIVE_ERROR, sketch_of
from pllm.core.usage_rows import Account, Amounts
from pllm.state.usage import Ledger
from pllm.state.usage_rollup import RollUp

PATH = "/api/admin/series"
DAY_S = 86_400


def near(exact_ms: float) -> Any:
    return pytest.approx(exact_ms, rel=RELATIVE_ERROR + 0.001)


async def answered(plane: Control, *latencies_ms: int, model: str = "gpt-4o", streams: bool = True, failed: int = 0) -> int:
    """Requests that took so long, now; streams began to answer halfway. -> the time, epoch seconds."""
    ledger = Ledger(plane.service.store, plane.service.clock, lambda: "environment1", plane.lines.append)
    ledger.count(
        Account("key1", model, f"{model}@openai/x"),
        Amounts(
            requests=len(latencies_ms) + failed,
            errors=failed,
            prompt_tokens=10 * len(latencies_ms),
            latencies=sketch_of(*latencies_ms),
            firsts=sketch_of(*(latency / 2 for latency in latencies_ms)) if streams else NOTHING,
        ),
    )
    await ledger.flush()
    return int(plane.service.clock.wall_s())


async def test_every_minute_of_the_last_hour_has_its_percentiles(plane: Control) -> None:
    at_s = await answered(plane, 200, 200, 200, 7000, failed=1)
    plane.service.clock.advance(120)
    await answered(plane, 90, streams=False)
    page = await plane.done("GET", PATH)
    assert (page["period"], len(page["data"]), page["groups"]) == ("minute", 60, [])
    third, second, last = page["data"][-3:]
    assert third["start"] == datetime.fromtimestamp(at_s // 60 * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (third["requests"], third["errors"], third["prompt_tokens"], third["answers"]) == (5, 1, 40, 4)
    assert (third["p50_latency_ms"], third["p95_latency_ms"], third["p99_latency_ms"]) == (near(200), near(7000), near(7000))
    assert (third["p50_ttft_ms"], third["p95_ttft_ms"], third["p99_ttft_ms"]) == (near(100), near(3500), near(3500))
    assert (second["requests"], second["p50_latency_ms"], second["p99_ttft_ms"]) == (0, None, None)
    assert (last["p95_latency_ms"], last["p95_ttft_ms"]) == (near(90), None)
    assert (page["whole"]["start"], page["whole"]["requests"]) == (page["from"], 6)
    assert page["data"][0]["start"] == page["from"]


async def test_a_month_is_merged_of_days_hours_and_minutes_without_a_mean_of_percentiles(plane: Control) -> None:
    times: list[int] = []
    for day in range(5):
        times += [100 * (day + 1), 10_000]
        await answered(plane, *times[-2:])
        plane.service.clock.advance(DAY_S)
        await RollUp(plane.service.store, plane.service.clock, plane.lines.append).run()
    times += [20, 21, 22, 23]
    await answered(plane, *times[-4:])
    page = await plane.done("GET", f"{PATH}?period=day")
    assert [one["answers"] for one in page["data"] if one["answers"]] == [2, 2, 2, 2, 2, 4]
    assert len(page["data"]) == 30
    whole = page["whole"]
    assert whole["answers"] == len(times)
    assert (whole["p50_latency_ms"], whole["p95_latency_ms"]) == (near(sorted(times)[6]), near(10_000))
    page = await plane.done("GET", f"{PATH}?period=hour&from={int(plane.service.clock.wall_s()) - 7 * DAY_S}")
    assert page["whole"] | {"start": ""} == whole | {"start": ""}
    assert len(page["data"]) == 7 * 24 + 1


async def test_groups_are_of_all_the_time_and_the_busiest_comes_first(plane: Control) -> None:
    await answered(plane, 300, model="claude")
    plane.service.clock.advance(60)
    await answered(plane, 200, 400, 600)
    await answered(plane, 500, model="claude")
    page = await plane.done("GET", f"{PATH}?group_by=model,deployment")
    found = [(one["group"], one["answers"], one["p50_latency_ms"]) for one in page["groups"]]
    assert found == [
        ({"model": "gpt-4o", "deployment": "gpt-4o@openai/x"}, 3, near(400)),
        ({"model": "claude", "deployment": "claude@openai/x"}, 2, near(300)),
    ]


async def test_one_model_one_deployment_or_one_key_can_be_asked_for(plane: Control) -> None:
    await answered(plane, 200)
    await answered(plane, 300, model="claude")
    for query in ("model=gpt-4o", "deployment=gpt-4o%40openai/x", "model=gpt-4o&key=key1"):
        assert (await plane.done("GET", f"{PATH}?{query}"))["whole"]["answers"] == 1, query
    assert (await plane.done("GET", f"{PATH}?key=key2"))["whole"]["answers"] == 0


async def test_the_stats_page_has_the_percentiles_of_its_window_by_deployment_and_by_model(plane: Control) -> None:
    ledger = Ledger(plane.service.store, plane.service.clock, lambda: "environment1", plane.lines.append)
    times = Amounts(requests=2, latencies=sketch_of(100, 900), firsts=sketch_of(50))
    for asked in ("gpt-4o", "best"):  # by its name, and by an alias
        ledger.count(Account("key1", asked, "gpt-4o@openai/gpt-4o"), times)
    await ledger.flush()
    page = await plane.done("GET", "/v1/admin/models/stats")
    [metrics] = page["metrics"]
    for told in (metrics, page["load_balancer"]["gpt-4o"]):
        assert (told["p50_latency_ms"], told["p99_latency_ms"]) == (near(100), near(900))
        assert (told["p50_ttft_ms"], told["p95_ttft_ms"], told["p99_ttft_ms"]) == (near(50), near(50), near(50))
    plane.service.clock.advance(16 * 60)
    page = await plane.done("GET", "/v1/admin/models/stats")
    assert page["metrics"][0]["p50_latency_ms"] is None


@pytest.mark.parametrize(("query", "param"), [("period=week", "period"), ("limit=3", "limit"), ("colour=red", "colour")])
async def test_a_wrong_wish_is_named(plane: Control, query: str, param: str) -> None:
    assert (await plane.refused("GET", f"{PATH}?{query}"))[:2] == (400, param)


async def test_it_needs_a_table() -> None:
    async with control(table=False) as plane:
        assert (await plane.refused("GET", PATH))[0] == 503
