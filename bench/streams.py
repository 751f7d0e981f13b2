"""What one event of a stream costs the gateway: in its own dialect and translated, in bursts and one by one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import BrokenAnswerError, Client, Reply, chat_body, messages_body
from bench.figures import Spread, Table, percentile
from bench.processes import KEY, Bench, Target, cpu_s, workers_of

_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Lane:
    """A client dialect against an upstream dialect. `model_prefix` picks the upstream; `marker` counts events in an answer."""

    name: str
    endpoint: str
    model_prefix: str
    marker: bytes

    def body(self, model: str) -> bytes:
        return messages_body(model, stream=True) if self.endpoint == "messages" else chat_body(model, stream=True)


_LANES = (
    Lane("chat to chat (same dialect)", "chat/completions", "", b"bench-"),
    Lane("messages to chat", "messages", "", b"bench-"),
    Lane("chat to Bedrock Converse", "chat/completions", "converse-", b"bench-"),
)


@dataclass(frozen=True, slots=True)
class _Run:
    first_event_s: list[float]
    total_s: list[float]
    cpu_s: float


def measure(bench: Bench, *, rounds: int = 5, bursts: int = 8, paced: int = 2) -> list[Table]:
    """Streams of 500 events. The cost of an event is what such a stream costs above one of a single event."""
    return [asyncio.run(_measure(bench.server, bench.local(1), bench.direct, rounds, bursts, paced))]


async def _measure(server: Target, local: Target, direct: Target, rounds: int, bursts: int, paced: int) -> Table:
    direct_client = await Client.connect(direct.url)
    rows = []
    for target, lane in [*((server, lane) for lane in _LANES), (local, _LANES[0])]:
        client = await Client.connect(target.url)
        await _run(client, target, lane, "burst-500", 3)
        await _run(client, target, lane, "burst-1", 20)
        costs: dict[str, list[float]] = {"burst-500": [], "paced-500": []}
        first: list[float] = []
        for _ in range(rounds):
            one = await _run(client, target, lane, "burst-1", 4 * bursts)
            for model, count in (("burst-500", bursts), ("paced-500", paced)):
                many = await _run(client, target, lane, model, count)
                costs[model].append((many.cpu_s - one.cpu_s) / (_EVENTS - 1))
            base = await _run(direct_client, direct, _LANES[0], "burst-500", bursts)
            burst = await _run(client, target, lane, "burst-500", bursts)
            first.append(percentile(burst.first_event_s, 0.5) - percentile(base.first_event_s, 0.5))
        rows.append(
            [
                lane.name + (", in a Lambda environment behind the relay" if target is local else ""),
                Spread.of(first).text(1000),
                Spread.of(costs["burst-500"]).text(1e6, 1),
                Spread.of(costs["paced-500"]).text(1e6, 1),
            ]
        )
        client.close()
    direct_client.close()
    header = ["SSE of 500 events", "added to first event, ms", "CPU us an event, burst", "CPU us an event, 1 ms apart"]
    return Table("Streams", header, rows, _NOTES)


_NOTES = (
    "Burst: the upstream writes event after event, so one read finds several. 1 ms apart: every event is its own wake-up of "
    "the event loop, its own read and its own write: most of its cost is the operating system's and asyncio's.",
    "The application runs behind uvicorn but for the last row; the cost of an event is (CPU of a stream of 500 - CPU of a "
    "stream of 1) / 499.",
)


async def _run(client: Client, target: Target, lane: Lane, model: str, count: int) -> _Run:
    name = lane.model_prefix + model
    path = target.path(model, lane.endpoint)
    body = lane.body(name)
    before = sum(map(cpu_s, workers_of(target)))
    replies = [await client.post(path, body, KEY) for _ in range(count)]
    spent = (sum(map(cpu_s, workers_of(target))) - before) / count
    _check(replies, lane, int(model.partition("-")[2]))
    return _Run([reply.first_event_s for reply in replies], [reply.total_s for reply in replies], spent)


def _check(replies: Sequence[Reply], lane: Lane, events: int) -> None:
    for reply in replies:
        found = reply.body.count(lane.marker)
        if found != events:
            raise BrokenAnswerError(f"{lane.name}: {found} events of {events} arrived")
