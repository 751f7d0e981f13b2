"""/api/admin/series: the fleet's speed, minute by minute."""

from datetime import UTC, datetime

from tests.support.control import Control, control

from pllm.core.fleet import WINDOW_MINUTES
from pllm.core.health import Sums
from pllm.core.histogram import bucket_of
from pllm.state.breakers import add_minute

DEP = "gpt-4o@openai/gpt-4o"
GONE = "gpt-4o@openai/no-longer-configured"
PATH = "/api/admin/series"


async def answered(plane: Control, minutes_ago: int, *latencies_ms: int, failed: int = 0, deployment: str = DEP) -> int:
    """Streams that took so long and began to answer halfway. -> the epoch minute."""
    minute = int(plane.service.clock.wall_s()) // 60 - minutes_ago
    buckets: dict[int, int] = {}
    for latency_ms in latencies_ms:
        buckets[bucket_of(latency_ms)] = buckets.get(bucket_of(latency_ms), 0) + 1
    total, number = sum(latencies_ms), len(latencies_ms)
    sums = Sums(number, failed, total, number, total // 2, number, tokens=10 * number, buckets=buckets)
    await plane.service.store.update(add_minute("main", minute, deployment, sums))
    return minute


async def test_every_minute_has_its_percentiles(plane: Control) -> None:
    minute = await answered(plane, 2, 200, 200, 200, 7000, failed=1)
    await answered(plane, 0, 90)
    page = await plane.done("GET", PATH)
    assert len(page["data"]) == WINDOW_MINUTES
    third, second, last = page["data"][-3:]
    assert third["start"] == datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (third["attempts"], third["failed"], third["tokens"], third["ttft_ms"]) == (5, 1, 40, 950.0)
    assert 100 < third["p50_latency_ms"] <= 250 < 4000 < third["p95_latency_ms"] <= 8000
    assert (second["attempts"], second["p50_latency_ms"], second["p95_latency_ms"], second["ttft_ms"]) == (0, None, None, None)
    assert 50 < last["p95_latency_ms"] <= 100
    assert (page["whole"]["start"], page["whole"]["attempts"]) == (page["data"][0]["start"], 6)
    assert 4000 < page["whole"]["p95_latency_ms"] <= 8000


async def test_one_model_or_one_deployment_can_be_asked_for(plane: Control) -> None:
    await answered(plane, 1, 200)
    await answered(plane, 1, 200, deployment=GONE)
    for query in ("", "?model=gpt-4o", f"?deployment={DEP}", f"?model=gpt-4o&deployment={DEP}"):
        assert (await plane.done("GET", PATH + query))["whole"]["attempts"] == 1, query
    for query in ("?model=nothing", f"?deployment={GONE}", f"?model=claude&deployment={DEP}"):
        assert (await plane.refused("GET", PATH + query))[0] == 404, query


async def test_an_idle_fleet_has_empty_minutes(plane: Control) -> None:
    page = await plane.done("GET", PATH)
    assert {(one["attempts"], one["p95_latency_ms"]) for one in [*page["data"], page["whole"]]} == {(0, None)}


async def test_it_needs_a_table() -> None:
    async with control(table=False) as plane:
        assert (await plane.refused("GET", PATH))[0] == 503
