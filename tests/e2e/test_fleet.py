"""Thousands of environments act as one: here eight real ones, with DynamoDB Local between them. The numbers are printed."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest
from tests.e2e.fleet_world import CONFIG, TABLE, WORKERS, Fleet, Primary, Seen, fleet, spare_provider
from tests.support.dynamodb import Emulator, client_of, create_table
from tests.support.llmock import running_llmock

pytestmark = [pytest.mark.slow, pytest.mark.needs_java]

COOLDOWN_S = 7
SNAPSHOT_AGE_S = 6.5
PAUSE_S = 0.25
# What a machine that has other things to do may add to a wait. The promises themselves are asserted on what was measured.
PATIENCE_S = 15
BUSY_S = 4


def _start(emulator: Emulator) -> None:
    emulator.start()
    client = client_of(emulator.endpoint)
    create_table(client, TABLE)
    for _ in range(20):  # a cold Java machine answers slower than the gateway waits
        client.query(
            TableName=TABLE,
            KeyConditionExpression="PK = :p",
            ExpressionAttributeValues={":p": {"S": "warm"}},
        )
    client.close()


def _no_errors(seen: list[Seen]) -> None:
    assert [one for one in seen if one.status != 200] == []


def _added_ms(seen: list[Seen], share: float) -> float:
    """What the gateway added: all of a request's time that was not the upstream's, as its header says."""
    return sorted(one.overhead_ms for one in seen)[int(len(seen) * share)]


async def _outage(many: Fleet, primary: Primary) -> None:
    """All avoid the failing one within a snapshot's age; one probe a cool-down; recovery; nobody hears of any of it."""
    failed_s = time.monotonic()
    await primary.fail()
    await many.until(
        lambda last: all(one.attempts == 1 and one.deployment == "spare" for one in last), SNAPSHOT_AGE_S + PATIENCE_S
    )
    opened_s = min(one.at_s for one in many.seen if one.at_s > failed_s and one.deployment == "spare" and one.attempts == 1)
    # Whom to ask is decided when a request begins.
    met_s = [one.began_s - opened_s for one in many.seen if one.attempts > 1]
    late = [after_s for after_s in met_s if after_s > SNAPSHOT_AGE_S + BUSY_S]
    await asyncio.sleep(max(failed_s + COOLDOWN_S - 0.3 - time.monotonic(), 0))
    quiet_s = time.monotonic()
    in_time = quiet_s < failed_s + COOLDOWN_S  # or else the first probe may just have been missed
    await asyncio.sleep((2 if in_time else 3) * COOLDOWN_S)
    calm_s = time.monotonic()
    await primary.mend()
    back_s = await many.until(
        lambda last: all(one.deployment == "primary" for one in last), COOLDOWN_S + SNAPSHOT_AGE_S + PATIENCE_S
    )
    seen = many.between(failed_s, time.monotonic())
    met = len(await primary.asked(failed_s, quiet_s))
    probes = [at - failed_s for at in await primary.asked(quiet_s, calm_s)]
    print(
        f"\nfleet of {WORKERS}: {met} requests met the failure, "
        f"the first avoids it {opened_s - failed_s:.2f} s after it began, all {max(met_s):.2f} s later; "
        f"probes at {', '.join(f'{at:.1f}' for at in probes)} s "
        f"(cool-down {COOLDOWN_S} s); all use it again {back_s:.1f} s after it was mended; "
        f"{len(seen)} requests, {sum(one.status != 200 for one in seen)} lost"
    )
    assert len(late) <= max(late, default=0) // COOLDOWN_S, "more than the probes, one in a cool-down"
    assert len(probes) >= 2, "nobody probed"
    assert all(later - sooner >= COOLDOWN_S - 0.1 for sooner, later in pairwise(probes)), "more than one in a cool-down"
    _no_errors(seen)


async def _table_gone(many: Fleet, table: Emulator) -> None:
    """Nobody without a limit notices, and after a moment nobody waits for it either."""
    started_s = time.monotonic()
    await asyncio.sleep(2)
    table.stop()
    killed_s = time.monotonic()
    opened_s = await many.until(lambda last: all(one.degraded for one in last), PATIENCE_S)
    steady_s = time.monotonic()
    await asyncio.sleep(2)
    await asyncio.to_thread(_start, table)  # the clients go on
    restarted_s = time.monotonic()
    back_s = await many.until(lambda last: not any(one.degraded for one in last), PATIENCE_S)
    before, during = many.between(started_s, killed_s), many.between(steady_s, steady_s + 2)
    print(
        f"table killed: all workers degraded after {opened_s:.1f} s; added p50/p95 {_added_ms(before, 0.5):.1f}/"
        f"{_added_ms(before, 0.95):.1f} ms before, {_added_ms(during, 0.5):.1f}/{_added_ms(during, 0.95):.1f} ms without it; "
        f"recovered {back_s:.1f} s after its return; "
        f"{len(many.between(killed_s, restarted_s))} requests meanwhile, none lost"
    )
    _no_errors(many.between(started_s, time.monotonic()))
    assert _added_ms(during, 0.5) <= _added_ms(before, 0.5) + 50
    # What a busy machine adds. Whoever waited for the table would wait for a quarter of a second or more.
    assert _added_ms(during, 0.95) <= _added_ms(before, 0.95) + 200


async def test_eight_workers_act_as_one_and_survive_their_table(tmp_path: Path) -> None:
    table = Emulator()
    try:
        _start(table)
        with running_llmock() as mock:
            async with spare_provider() as spare:
                config = tmp_path / "config.yaml"
                config.write_text(CONFIG.format(primary=mock.url, spare=spare, cooldown_s=COOLDOWN_S))
                async with fleet(config, table.endpoint) as many, many.load(PAUSE_S):
                    await many.until(lambda last: all(one.deployment == "primary" for one in last), 30)
                    await asyncio.sleep(1.5)
                    await _outage(many, Primary(mock))
                    await _table_gone(many, table)
    finally:
        table.stop()
