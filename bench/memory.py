"""Resident memory of a warm environment, and whether it grows."""

import asyncio
import time

from bench.client import Client, chat_body
from bench.figures import Table
from bench.processes import KEY, Bench, Target, rss_mb, workers_of

_STEPS = 5


def measure(bench: Bench, *, requests: int = 20_000, limit_s: float = 25.0) -> list[Table]:
    """The application as a server and one environment of `pllm local`; streams of 20 events and JSON answers in turn; at
    most `limit_s` seconds each."""
    rows = []
    for target in (bench.server, bench.local(1)):
        sizes = asyncio.run(_drive(target, requests, limit_s))
        served, size = sizes[-1]
        each = (size - sizes[1][1]) * 1e6 / (served - sizes[1][0])
        rows.append([target.name, *(f"{sizes[at][1]:.1f}" for at in (0, 1, -1)), f"{served:,}", f"{each:.0f}"])
    header = ["", "RSS after 100 requests, MB", "after a fifth", "at the end", "requests", "bytes a request since the fifth"]
    return [Table("Memory of a warm environment", header, rows, [_NOTE])]


_NOTE = (
    "The environment's hundred bytes a request are not the gateway's: AWS's runtime client puts every trace id into the "
    "process environment, and the C library never frees a variable's earlier values."
)


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
