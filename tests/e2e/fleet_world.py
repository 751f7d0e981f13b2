"""Eight gateway processes behind one table, a third party's mock provider that fails on command and a spare, and clients that
note everything."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web
from tests.support.llmock import Llmock
from tests.support.ports import free_port
from tests.support.processes import ROOT

KEY = "sk-fleet"
TABLE = "pllm-fleet"
WORKERS = 8
START_S = 90.0

CONFIG = """
model_list:
  - {{model_name: m, id: primary, priority: 1, timeout: 5s, params: {{model: compatible/x, api_base: "{primary}/v1"}}}}
  - {{model_name: m, id: spare, priority: 2, timeout: 5s, params: {{model: compatible/x, api_base: "{spare}/v1"}}}}
router:
  routing_strategy: priority
  retries: 0
  circuit_breaker: {{min_failures: 5, failure_ratio: 0.5, cooldown: {cooldown_s}s, max_cooldown: {cooldown_s}s}}
"""

_ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@dataclass
class Primary:
    """llmock, which fails while it is told to, and keeps when each request came."""

    mock: Llmock

    async def fail(self) -> None:
        await asyncio.to_thread(self.mock.will, {"type": "fail", "status": 500, "message": "out of order", "times": None})

    async def mend(self) -> None:
        await asyncio.to_thread(self.mock.relent)

    async def asked(self, start_s: float, end_s: float) -> list[float]:
        """When requests came within a time, monotonic seconds: the clock is the machine's, one for all processes."""
        seen = await asyncio.to_thread(self.mock.seen)
        return sorted(one["started_at"] for one in seen if start_s <= one["started_at"] <= end_s)


@asynccontextmanager
async def spare_provider() -> AsyncIterator[str]:
    """One that always answers; gives its address."""

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(_ANSWER)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Seen:
    """One answer as a client got it. `status` 0: none came."""

    at_s: float
    worker: int
    status: int
    took_s: float
    deployment: str
    attempts: int
    degraded: bool
    overhead_ms: float

    @property
    def began_s(self) -> float:
        return self.at_s - self.took_s


@dataclass
class Fleet:
    """The workers' addresses, and all that their clients saw."""

    urls: list[str]
    session: aiohttp.ClientSession
    seen: list[Seen] = field(default_factory=list)

    async def ask(self, worker: int) -> Seen:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        started_s = time.monotonic()
        try:
            async with self.session.post(f"{self.urls[worker]}/v1/chat/completions", json=body) as response:
                await response.read()
                status, headers = response.status, dict(response.headers)
        except (aiohttp.ClientError, TimeoutError):
            status, headers = 0, {}
        took_s = time.monotonic() - started_s
        attempts, degraded = int(headers.get("x-pllm-attempts", "0")), headers.get("x-pllm-state") == "degraded"
        overhead_ms = float(headers.get("x-pllm-overhead-ms", "0"))
        deployment = headers.get("x-pllm-deployment", "")
        seen = Seen(time.monotonic(), worker, status, took_s, deployment, attempts, degraded, overhead_ms)
        self.seen.append(seen)
        return seen

    @asynccontextmanager
    async def load(self, pause_s: float) -> AsyncIterator[None]:
        """Every worker is asked again and again, with a pause between."""
        clients = [asyncio.create_task(self._client(worker, pause_s)) for worker in range(len(self.urls))]
        try:
            yield
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self, worker: int, pause_s: float) -> None:
        await asyncio.sleep(pause_s * worker / len(self.urls))
        while True:
            await self.ask(worker)
            await asyncio.sleep(pause_s)

    async def until(self, condition: Callable[[list[Seen]], bool], limit_s: float) -> float:
        """How long it took until the last answer of every worker meets a condition. Fails after `limit_s`."""
        started_s = time.monotonic()
        while time.monotonic() < started_s + limit_s:
            last = {one.worker: one for one in self.seen if one.at_s >= started_s}
            if len(last) == len(self.urls) and condition(list(last.values())):
                return time.monotonic() - started_s
            await asyncio.sleep(0.05)
        raise AssertionError(f"not within {limit_s} s: {last}")

    def between(self, start_s: float, end_s: float) -> list[Seen]:
        return [one for one in self.seen if start_s <= one.at_s <= end_s]


@asynccontextmanager
async def fleet(config: Path, dynamodb: str) -> AsyncIterator[Fleet]:
    """One uvicorn for each worker: the application that Lambda runs, in a process and an environment of its own."""
    ports: set[int] = set()
    while len(ports) < WORKERS:
        ports.add(free_port())
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    workers = [_worker(port, config, dynamodb) for port in ports]
    timeout = aiohttp.ClientTimeout(total=20)
    try:
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}, timeout=timeout) as session:
            await asyncio.gather(*map(partial(_ready, session), urls, workers, map(partial(_log, config), ports)))
            yield Fleet(urls, session)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def _worker(port: int, config: Path, dynamodb: str) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{ROOT / 'layers' / 'pllm'}:{ROOT / 'layers' / 'runtime'}",
        "PLLM_CONFIG": str(config),
        "PLLM_MASTER_KEY": KEY,
        "PLLM_TABLE": TABLE,
        "PLLM_DYNAMODB_ENDPOINT": dynamodb,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    code = f"import uvicorn; from pllm.bootstrap import gateway; uvicorn.run(gateway(), port={port}, log_level='error')"
    with _log(config, port).open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, stderr=log)


def _log(config: Path, port: int) -> Path:
    """What a worker complains of."""
    return config.with_name(f"worker-{port}.log")


async def _ready(session: aiohttp.ClientSession, url: str, worker: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and worker.poll() is None:
        with suppress(aiohttp.ClientError):
            async with session.get(f"{url}/ready") as response:
                if response.status == 200:
                    return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{url} did not start: {await asyncio.to_thread(log.read_text)}")
