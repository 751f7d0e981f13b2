"""What the gateway adds to one request at a time, and what it costs: direct, served, local, and the relay by itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.client import Client, chat_body
from bench.figures import Spread, Table, added, pooled
from bench.processes import KEY, Bench, Target, cpu_s, workers_of

_WARM_REQUESTS = 40


@dataclass
class Samples:
    """Of one target: seconds by round, and CPU seconds a request by round (gateway's process; the relay's)."""

    total: list[list[float]] = field(default_factory=list)
    first_event: list[list[float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    relay_cpu: list[float] = field(default_factory=list)


def measure(bench: Bench, *, rounds: int = 12, requests: int = 60) -> list[Table]:
    """JSON of 2 KB and streams of 20 events, interleaved round by round."""
    targets = [bench.direct, bench.server, bench.local(1), bench.relay()]
    tables = []
    for model, title in (("json", "Added latency, JSON of 2 KB"), ("burst-20", "Added latency, SSE of 20 events")):
        samples = asyncio.run(_rounds(targets, model, rounds, requests))
        tables.append(_table(title, targets, samples, streamed=model != "json", count=rounds * requests))
    return tables


async def _rounds(targets: Sequence[Target], model: str, rounds: int, requests: int) -> dict[str, Samples]:
    body = chat_body(model, stream=model != "json")
    clients = {target.name: await Client.connect(target.url) for target in targets}
    samples = {target.name: Samples() for target in targets}
    for target in targets:
        for _ in range(_WARM_REQUESTS):
            await clients[target.name].post(target.path(model), body, KEY)
    pids = {target.name: workers_of(target) for target in targets}
    for number in range(rounds):
        turn = number % len(targets)  # nobody is always the first after a pause
        for target in [*targets[turn:], *targets[:turn]]:
            await _round(target, clients[target.name], model, body, requests, pids[target.name], samples[target.name])
    for client in clients.values():
        client.close()
    return samples


async def _round(
    target: Target, client: Client, model: str, body: bytes, requests: int, pids: tuple[int, ...], samples: Samples
) -> None:
    before, relay_before = sum(map(cpu_s, pids)), cpu_s(target.relay) if target.relay else 0.0
    replies = [await client.post(target.path(model), body, KEY) for _ in range(requests)]
    samples.total.append([reply.total_s for reply in replies])
    samples.first_event.append([reply.first_event_s for reply in replies])
    samples.cpu.append((sum(map(cpu_s, pids)) - before) / requests)
    samples.relay_cpu.append((cpu_s(target.relay) - relay_before) / requests if target.relay else 0.0)


def _table(title: str, targets: Sequence[Target], samples: dict[str, Samples], *, streamed: bool, count: int) -> Table:
    header = ["ms", "p50", "p95", "p99"] + (["first event p50"] if streamed else []) + ["CPU", "relay's CPU"]
    base = samples[targets[0].name]
    zero = [[0.0]] * len(base.total)
    rows = []
    for target in targets:
        own = samples[target.name]
        is_base = own is base
        cells = [target.name if is_base else f"added by {target.name}"]
        cells.append(added(own.total, zero if is_base else base.total, 0.5).text(1000))
        cells += [f"{(pooled(own.total, p) - (0 if is_base else pooled(base.total, p))) * 1000:.2f}" for p in (0.95, 0.99)]
        if streamed:
            cells.append(added(own.first_event, zero if is_base else base.first_event, 0.5).text(1000))
        cells.append(Spread.of(own.cpu).text(1000) if workers_of(target) else "-")
        cells.append(Spread.of(own.relay_cpu).text(1000) if target.relay else "-")
        rows.append(cells)
    return Table(title, header, rows, [f"One connection, one request at a time, 2 KB prompt; {count} requests each."])
