"""Whole gateways killed with SIGKILL while they stream, under a budget and a limit of parallel calls, and an exact judge.

Everything is real but the provider: the workers are the application behind uvicorn, in processes of their own, over DynamoDB
Local; clients stream from them. Every request has a cost of its own, so a charge names the request that it is for. The judge
believes nobody's word: it sees each write of a gate, one at a time, on its way to the table (`watched_table`), and knows from
that alone what was taken, charged and given back, also by a worker that died before it could be told.

The time of day runs ahead while the drill goes on, as far as no live request gets older than a function can: hold generations
of 16 minutes come and go by the dozen.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from aiohttp import web
from tests.support.drill_judge import Judge, Report, Request, Worker, judged
from tests.support.dynamodb import table_of
from tests.support.forked_gateways import CLOCK, SharedOffset
from tests.support.key_service import key_service
from tests.support.processes import ROOT
from tests.support.watched_table import Done, GateWrite, Image, WatchedTable, watched_table

from pllm.core.clock import ManualClock
from pllm.core.keys import KeyFields
from pllm.core.limits import GENERATION_S
from pllm.state.gate_writes import SORT_KEY
from pllm.state.table import DynamoStore, connect

TABLE = "worker-drill"
WORKERS = 4
CLIENTS = 3
MAX_PARALLEL = 24
_TURNS = 8
_OLDEST_S = 14 * 60.0
_LEAST_COST = 5_000
_SLACK = 3_000
# A little less than what the requests of one kill use: towards the end there is nothing left but what the dead had held.
_BUDGET_PER_KILL = 15_000

CONFIG = """
model_list:
  - model_name: m
    params: {{model: compatible/x, api_base: "{upstream}/v1"}}
    model_info: {{input_cost_per_token: 0, output_cost_per_token: 0.000001}}
router: {{retries: 0}}
limits:
  default_key: {{max_parallel: {parallel}}}
budgets:
  default_key: {{amount: {budget:.6f}, period: total}}
  models: {{m: {{amount: 1000, period: total}}}}
"""

POINTS = (
    "before it was admitted",
    "admitted, and not told so",
    "before the first byte",
    "in the middle of the stream",
    "after the usage was told",
    "about to settle",
    "settled, and not told so",
    "at any moment",
)
_AT_REST = "at rest"


class Drill:
    """One drill under way."""

    def __init__(self, random: Random, kills: int, offset: SharedOffset) -> None:
        self._random = random
        self._kills = kills
        self._offset = offset
        self._costs = count(_LEAST_COST)
        self.upstream = ""
        self.key = ""
        self.judge = Judge()
        self.killed: Counter[str] = Counter()
        self.requests: dict[int, Request] = {}
        self.at_upstream: set[int] = set()
        self.most_parallel = 0
        self.workers: dict[int, Worker] = {}

    # --- Killing ---------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self.killed.total() >= self._kills

    def plan(self) -> tuple[str, int]:
        return self._random.choice(POINTS), self._random.randint(1, 12)

    async def passes(self, worker: Worker, point: str) -> bool:
        """Whether the worker is killed here."""
        if worker.dead or worker.point != point:
            return False
        worker.left -= 1
        if worker.left == 0:
            await self.kill(worker, point)
        return worker.dead

    async def kill(self, worker: Worker, point: str) -> None:
        if worker.dead:
            return
        worker.dead = True
        await _killed(worker.pidfd)
        self.killed[point] += 1
        self.at_upstream -= {cost for cost in self.at_upstream if self.requests[cost].worker is worker}
        self._advance()

    def _advance(self) -> None:
        """Time goes on by minutes, but not so far that a live request would be older than a function can get."""
        live = [one.begun_s for one in self.requests.values() if not one.ended and not one.worker.dead]
        room_s = min(live, default=self.now_s) + _OLDEST_S - self.now_s
        self.wait(max(min(self._random.uniform(60, 240), room_s), 0.0))

    @property
    def now_s(self) -> float:
        return time.time() + self._offset.get()

    def wait(self, seconds: float) -> None:
        self._offset.set(self._offset.get() + seconds)

    # --- The table's side ------------------------------------------------------------------------------------------

    async def arriving(self, write: GateWrite) -> bool:
        worker = self.workers[write.gateway]
        if write.takes:
            await self.passes(worker, "before it was admitted")
        return not (write.gives_back and await self.passes(worker, "about to settle"))

    async def applied(self, done: Done) -> None:
        worker = self.workers[done.write.gateway]
        if done.write.takes:
            await self.passes(worker, "admitted, and not told so")
        elif done.write.gives_back:
            await self.passes(worker, "settled, and not told so")

    # --- The provider ----------------------------------------------------------------------------------------------

    async def answer(self, asked: web.Request) -> web.StreamResponse:
        """A stream of a few events that ends with the request's own usage. The call is over with its last byte."""
        request = self.requests[int((await asked.json())["messages"][0]["content"])]
        if request.before is not None:
            request.before.followed = True
        if not request.worker.dead:
            self.at_upstream.add(request.cost)
        self.most_parallel = max(self.most_parallel, len(self.at_upstream))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        with suppress(ConnectionError):
            await self._stream(asked, request, response)
        self.at_upstream.discard(request.cost)
        return response

    async def _stream(self, asked: web.Request, request: Request, response: web.StreamResponse) -> None:
        await self.passes(request.worker, "before the first byte")
        await response.prepare(asked)
        for _ in range(self._random.randint(1, 6)):
            await response.write(_event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "word "}}]}))
            await asyncio.sleep(self._random.uniform(0, 0.03))
            await self.passes(request.worker, "in the middle of the stream")
        await response.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        usage = {"prompt_tokens": 1, "completion_tokens": request.cost, "total_tokens": 1 + request.cost}
        request.usage_told = not request.worker.dead
        await response.write(_event({"choices": [], "usage": usage}))
        await self.passes(request.worker, "after the usage was told")
        self.at_upstream.discard(request.cost)
        await response.write(b"data: [DONE]\n\n")

    # --- The clients -----------------------------------------------------------------------------------------------

    async def client(self, worker: Worker) -> None:
        """Asks one thing after the other on a connection of its own, as long as the worker lives."""
        before: Request | None = None
        async with self.session() as session:
            for _ in range(_TURNS):
                if worker.dead:
                    return
                before = await self.ask(session, worker, next(self._costs), before)
                if before.refused:
                    await asyncio.sleep(0.02)

    def session(self) -> aiohttp.ClientSession:
        headers = {"authorization": f"Bearer {self.key}"}
        return aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60))

    async def ask(self, session: aiohttp.ClientSession, worker: Worker, cost: int, before: Request | None) -> Request:
        request = self.requests[cost] = Request(cost, worker, self.now_s, before)
        body = {
            "model": "m",
            "stream": True,
            "max_tokens": cost + self._random.randint(0, _SLACK),
            "messages": [{"role": "user", "content": str(cost)}],
        }
        try:
            async with session.post(f"{worker.url}/v1/chat/completions", json=body) as response:
                text = await response.text()
                request.answered = response.status == 200 and text.endswith("data: [DONE]\n\n")
                request.refused = "" if response.status == 200 else str(json.loads(text)["error"]["code"])
        except aiohttp.ClientError:
            assert worker.dead
        request.ended = True
        if request.refused and before is not None:
            before.followed = True
        return request


def _event(fields: dict[str, Any]) -> bytes:
    whole = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x", **fields}
    return f"data: {json.dumps(whole)}\n\n".encode()


async def _killed(pidfd: int) -> None:
    """Returns once the process is no more."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, gone.set)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    await gone.wait()
    loop.remove_reader(pidfd)
    os.close(pidfd)


# --- A drill from its beginning to its end -------------------------------------------------------------------------

Start = Callable[[int], Awaitable[tuple[int, str]]]
"""A new worker in a place: (pidfd, its address)."""


async def drill(kills: int, seed: int, folder: Path, endpoint: str) -> Report:
    """Kills that many workers, waits two generations, and judges. `folder` is for files that live as long, `endpoint` that of
    a DynamoDB Local."""
    began_s = time.monotonic()
    offset = SharedOffset(folder / "clock")
    drill = Drill(Random(seed), kills, offset)
    with table_of(connect("us-east-1", endpoint, read_timeout_s=30.0), TABLE) as store:
        made = await key_service(store, ManualClock(time.time())).keys.create(KeyFields("drill"), "drill")
        drill.key = made.secret.reveal()
        async with _provider(drill), watched_table(endpoint, WORKERS) as table:
            table.arriving, table.applied = drill.arriving, partial(_applied, drill)
            budget = kills * _BUDGET_PER_KILL
            config = folder / "config.yaml"
            text = CONFIG.format(upstream=drill.upstream, parallel=MAX_PARALLEL, budget=budget / 1_000_000)
            config.write_text(text)
            async with _gateways(table, config, folder) as (start, complaints):
                await asyncio.gather(*(_place(drill, place, start) for place in range(WORKERS)))
                drill.wait(2 * GENERATION_S)
                await _last(drill, start)
        gates = {gate: await _read(store, gate) for gate in drill.judge.charges}
        report = judged(drill.judge, drill.requests, gates, budget)
        report.problems += complaints()
    report.killed, report.most_parallel = drill.killed, drill.most_parallel
    if drill.most_parallel > MAX_PARALLEL:
        report.problems.append(f"{drill.most_parallel} calls were at the provider at once")
    report.generations = int(offset.get() // GENERATION_S)
    report.took_s = time.monotonic() - began_s
    return report


async def _applied(drill: Drill, done: Done) -> None:
    drill.judge.see(done)
    await drill.applied(done)


async def _read(store: DynamoStore, gate: str) -> Image:
    item = await store.get(gate, SORT_KEY, consistent=True)
    assert item is not None
    return {name: value for name, value in item.items() if isinstance(value, int)}


async def _place(drill: Drill, place: int, start: Start) -> None:
    """One worker after the other, each until it is dead."""
    while not drill.over:
        worker = await _worker(drill, place, start, *drill.plan())
        clients = [asyncio.create_task(drill.client(worker)) for _ in range(CLIENTS)]
        if worker.point == "at any moment":
            await asyncio.sleep(drill._random.uniform(0.0, 1.0))
            await drill.kill(worker, worker.point)
        await asyncio.gather(*clients)
        await drill.kill(worker, _AT_REST)


async def _worker(drill: Drill, place: int, start: Start, point: str, left: int) -> Worker:
    worker = Worker(place, *await start(place), point, left)
    drill.workers[place] = worker
    return worker


async def _last(drill: Drill, start: Start) -> None:
    """One more request, which moves the gates on; it is settled when its worker says that it is well."""
    worker = await _worker(drill, 0, start, "", 0)
    async with drill.session() as session:
        request = await drill.ask(session, worker, 1, None)
        async with session.get(f"{worker.url}/health") as response:
            request.followed = response.status == 200
    await drill.kill(worker, "")
    del drill.killed[""]


@asynccontextmanager
async def _provider(drill: Drill) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", drill.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        drill.upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _gateways(table: WatchedTable, config: Path, folder: Path) -> AsyncIterator[tuple[Start, Callable[[], list[str]]]]:
    """What starts workers, and what they complained of."""
    environment = {
        "PLLM_CONFIG": str(config),
        "PLLM_MASTER_KEY": "sk-drill",
        "PLLM_TABLE": TABLE,
        "AWS_EC2_METADATA_DISABLED": "true",
        CLOCK: str(folder / "clock"),
    }
    log = folder / "complaints"
    with log.open("wb") as complaints:
        mother = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.forked_gateways"),
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'layers' / 'pllm'}:{ROOT / 'layers' / 'runtime'}"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
        )
    turn = asyncio.Lock()
    pipe_in, pipe_out = mother.stdin, mother.stdout
    assert pipe_in is not None
    assert pipe_out is not None

    async def start(place: int) -> tuple[int, str]:
        async with turn:
            told = {**environment, "PLLM_DYNAMODB_ENDPOINT": table.addresses[place]}
            pipe_in.write(json.dumps(told).encode() + b"\n")
            pid, port = (await pipe_out.readline()).split()
        return os.pidfd_open(int(pid)), f"http://127.0.0.1:{int(port)}"

    try:
        yield start, lambda: log.read_text().splitlines()
    finally:
        pipe_in.close()
        await mother.wait()
