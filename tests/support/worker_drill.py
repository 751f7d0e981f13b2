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
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from aiohttp import web
from tests.support.dynamodb import create_table, dynamodb_local
from tests.support.forked_gateways import CLOCK, SharedOffset
from tests.support.key_service import key_service
from tests.support.processes import ROOT
from tests.support.watched_table import Done, GateWrite, Image, WatchedTable, watched_table

from pllm.core.clock import ManualClock
from pllm.core.keys import KeyFields
from pllm.core.limits import GENERATION_S
from pllm.state.gate_writes import SORT_KEY
from pllm.state.table import DynamoStore, connect

TABLE = "drill"
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


@dataclass
class Request:
    """One request, as its client and the upstream saw it. `cost`: micro-dollars, its own. `followed`: its worker has answered
    another one on the same connection, so it is settled."""

    cost: int
    worker: "Worker"
    begun_s: float
    before: "Request | None"
    ended: bool = False
    refused: str = ""
    answered: bool = False
    usage_told: bool = False
    followed: bool = False


@dataclass
class Worker:
    """`left`: how often `point` is to be passed before the worker is killed there."""

    place: int
    pidfd: int
    url: str
    point: str
    left: int
    dead: bool = False


@dataclass
class Report:
    """What came of a drill. Micro-dollars and counts; `problems` is empty where every promise was kept."""

    killed: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    cut_and_paid: int = 0
    unpaid: int = 0
    most_parallel: int = 0
    most_held: int = 0
    budget: int = 0
    spent: int = 0
    generations: int = 0
    gate_writes: int = 0
    took_s: float = 0.0
    problems: list[str] = field(default_factory=list)


class Judge:
    """Sees every write that a gate took, in the order in which it took them."""

    def __init__(self) -> None:
        self.charges: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.problems: list[str] = []
        self.writes = self.most_held = 0

    def see(self, done: Done) -> None:
        gate, now = done.write.gate, done.after
        self.writes += 1
        self.most_held = max(self.most_held, now.get("h", 0))
        charged = _spent(now) - _spent(done.before)
        if charged:
            self.charges[gate][charged] += 1
        if now["b"] < 0:
            self._blame(f"{gate} was overspent by {-now['b']}")
        if now["k"] > now.get("kl", now["k"]):
            self._blame(f"{gate} let {now['k']} calls in")
        if (now["h"], now["k"]) != (now["hc"] + now["hp"], now["kc"] + now["kp"]) or min(now.values()) < 0:
            self._blame(f"{gate} does not add up: {dict(now)}")

    def _blame(self, problem: str) -> None:
        self.problems.append(problem)


def _spent(gate: Image) -> int:
    return gate["bl"] - gate["b"] - gate["h"] if gate else 0


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


async def drill(kills: int, seed: int, folder: Path) -> Report:
    """Kills that many workers, waits two generations, and judges. `folder` is for files that live as long."""
    began_s = time.monotonic()
    offset = SharedOffset(folder / "clock")
    drill = Drill(Random(seed), kills, offset)
    with dynamodb_local() as endpoint:
        client = connect("us-east-1", endpoint, read_timeout_s=30.0)
        create_table(client, TABLE)
        store = DynamoStore(lambda: client, TABLE)
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
        store.close()
        report = _judged(drill, gates, budget)
        report.problems += complaints()
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


# --- The verdict ---------------------------------------------------------------------------------------------------


def _judged(drill: Drill, gates: dict[str, Image], budget: int) -> Report:
    requests, judge = drill.requests, drill.judge
    unanswered = [one for one in requests.values() if not one.answered and not one.refused]
    paid = {gate: set(charges) for gate, charges in judge.charges.items()}
    somewhere = set[int]().union(*paid.values())
    report = Report(
        killed=drill.killed,
        answered=sum(one.answered for one in requests.values()),
        refused=Counter(one.refused for one in requests.values() if one.refused),
        cut=len(unanswered),
        cut_and_paid=sum(one.cost in somewhere for one in unanswered),
        unpaid=sum(one.answered and one.cost not in somewhere for one in requests.values()),
        most_parallel=drill.most_parallel,
        most_held=judge.most_held,
        budget=budget,
        spent=max((_spent(gate) for name, gate in gates.items() if name.startswith("G#key/")), default=0),
        gate_writes=judge.writes,
        problems=list(judge.problems),
    )
    report.problems += [
        problem for gate, held in gates.items() for problem in _of_gate(gate, held, judge.charges[gate], requests)
    ]
    if drill.most_parallel > MAX_PARALLEL:
        report.problems.append(f"{drill.most_parallel} calls were at the provider at once")
    if len(gates) != 2:
        report.problems.append(f"two gates hold for each request, not {len(gates)}")
    return report


def _of_gate(gate: str, held: Image, charges: Counter[int], requests: dict[int, Request]) -> list[str]:
    problems = [f"{gate} still has {name} = {held[name]}" for name in ("h", "hc", "hp", "k", "kc", "kp") if held[name]]
    total = sum(cost * times for cost, times in charges.items())
    if held["bl"] - held["b"] != total:
        problems.append(f"{gate} has spent {held['bl'] - held['b']}, and {total} was charged")
    for cost, times in charges.items():
        if cost not in requests or not requests[cost].usage_told:
            problems.append(f"{gate} was charged {cost}, and no request is known to have cost that")
        elif times > 1:
            problems.append(f"{gate} was charged {times} times for one request")
    unpaid = [one.cost for one in requests.values() if one.followed and one.answered and one.cost not in charges]
    return problems + [f"{gate} was not charged {cost} by a worker that lived on" for cost in unpaid]
