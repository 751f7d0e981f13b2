"""Resident memory of a warm environment, and whether it grows."""

import asyncio
import time

from bench.client import Client, chat_body
from bench.figures import Table
from bench.processes import KEY, Bench, Target, rss_mb, workers_of

_STEPS = 5


def measure(bench: Bench, *, requests: int = 20_000, limit_s: float = 45.0) -> list[Table]:
    """One environment of `pllm local`; streams of 20 events and JSON answers in turn; at most `limit_s` seconds."""
    sizes = asyncio.run(_drive(bench.local(1), requests, limit_s))
    rows = [[f"{served:,}", f"{size:.1f}"] for served, size in sizes]
    grown = sizes[-1][1] - sizes[1][1]
    notes = [f"Growth from {sizes[1][0]:,} to {sizes[-1][0]:,} requests: {grown:+.1f} MB."]
    return [Table("Memory of a warm environment", ["requests served", "RSS, MB"], rows, notes)]


async def _drive(target: Target, requests: int, limit_s: float) -> list[tuple[int, float]]:
    """(requests served so far, MB): after the first hundred, and then in even steps."""
    client = await Client.connect(target.url)
    bodies = [(name, chat_body(name, stream=name != "json")) for name in ("json", "burst-20")]
    deadline_s = time.monotonic() + limit_s
    sizes: list[tuple[int, float]] = []
    step = requests // _STEPS
    for served in range(1, requests + 1):
        name, body = bodies[served % 2]
        await client.post(target.path(name), body, KEY)
        late = time.monotonic() > deadline_s
        if served == 100 or served % step == 0 or late:
            (worker,) = workers_of(target)
            sizes.append((served, rss_mb(worker)))
        if late:
            break
    client.close()
    return sizes
