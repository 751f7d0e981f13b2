"""Many clients at once: latency must grow with the share of CPU only, and every byte of every answer must be its own."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.client import UNMARKED, BrokenAnswerError, Client, chat_body
from bench.figures import Table, percentile
from bench.processes import KEY, Bench, Target

_PLACE = UNMARKED.encode()


@dataclass(frozen=True, slots=True)
class _Load:
    latencies_s: list[float]
    elapsed_s: float


def measure(bench: Bench, *, requests: int = 768) -> list[Table]:
    """Streams of 20 events at c = 1, 16 and 64."""
    targets: list[Callable[[], Target]] = [
        lambda: bench.direct,
        lambda: bench.server,
        lambda: bench.local(2),
        lambda: bench.local(4),
    ]
    rows = []
    for start in targets:
        target = start()
        for clients in (1, 16, 64):
            load = asyncio.run(_load(target, clients, requests if clients > 1 else requests // 3))
            ordered = [f"{percentile(load.latencies_s, share) * 1000:.1f}" for share in (0.5, 0.95, 0.99)]
            count = len(load.latencies_s)
            share_ms = load.elapsed_s / count * 1000
            rows.append(
                [target.name, str(clients), str(count), *ordered, f"{count / load.elapsed_s:.0f}", f"{share_ms:.2f}", "0"]
            )
    header = [
        "SSE of 20 events",
        "clients",
        "answers",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "answers/s",
        "ms an answer",
        "wrong or torn",
    ]
    return [Table("Under concurrency", header, rows, _NOTES)]


_NOTES = (
    "Every answer carries its request's own token in every event and is compared byte for byte with what it must be; one "
    "wrong byte ends the measurement with an error.",
    "Flat: 'ms an answer' (elapsed time over answers) must not grow with the number of clients; the latencies grow with the "
    "queue, since two cores are shared by clients, upstream and gateway. Each environment serves one request at a time.",
)


async def _load(target: Target, clients: int, requests: int) -> _Load:
    expected = await _expected(target)
    tokens = (f"bench-{number:08x}" for number in itertools.count(1))
    loop = asyncio.get_running_loop()
    todo = iter(range(requests))
    started_s = loop.time()
    results = await asyncio.gather(*(_one_client(target, todo, tokens, expected) for _ in range(clients)))
    return _Load([value for result in results for value in result], loop.time() - started_s)


async def _one_client(target: Target, todo: Iterator[int], tokens: Iterator[str], expected: bytes) -> list[float]:
    client = await Client.connect(target.url)
    latencies = []
    for _ in todo:
        token = next(tokens)
        reply = await client.post(target.path("burst-20"), chat_body("burst-20", stream=True, token=token), KEY)
        if reply.body != expected.replace(_PLACE, token.encode()):
            raise BrokenAnswerError(f"{target.name}: the answer to {token} is not its own: {reply.body[:200]!r}")
        latencies.append(reply.total_s)
    client.close()
    return latencies


async def _expected(target: Target) -> bytes:
    """An answer to one request alone, which must hold all its events, in order, once."""
    client = await Client.connect(target.url)
    reply = await client.post(target.path("burst-20"), chat_body("burst-20", stream=True), KEY)
    client.close()
    events = [f"{_PLACE.decode()}.{number:04}".encode() for number in range(20)]
    places = [reply.body.find(event) for event in events]
    whole = places == sorted(places) and places[0] > 0 and reply.body.count(_PLACE) == len(events)
    if not whole or not reply.body.endswith(b"data: [DONE]\n\n"):
        raise BrokenAnswerError(f"{target.name}: {reply.body[:200]!r}")
    return reply.body
