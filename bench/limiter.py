"""Does a limit hold? 8 processes with 8 threads each hammer one; what came through is counted by the minute.

`python -m bench.limiter` measures the gates themselves on DynamoDB Local, in under a minute:
  - one limit of requests; the same with tokens, money and parallel calls, settled; one hot key with leases.
`python -m bench.limiter --url http://.../v1 --key KEY --model NAME --rpm 60` measures any OpenAI-compatible gateway from the
outside in the same way. Its limit must be configured there; the run keeps within one minute of the clock where it can.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from random import Random, SystemRandom
from typing import Any
from urllib.parse import urlsplit

from bench.figures import Table
from bench.processes import Bench

PROCESSES = 8
THREADS = 8
MAX_REQUESTS = 2_000_000
"""All workers together never send more, however fast the gateway."""

_TABLE = "limiter"
_START_S = 60.0
_MINUTE_S = 60
# A refusal that costs the limiter nothing would otherwise cost the machine everything.
_AFTER_REFUSAL_S = 0.004


@dataclass(frozen=True, slots=True)
class Load:
    """What each thread does. `offered_per_s`: of all threads together, as fast as they can when None."""

    name: str
    rpm: int
    seconds: float
    tpm: int | None = None
    max_parallel: int | None = None
    budget_micro_usd: int | None = None
    offered_per_s: float | None = None
    url: str = ""
    key: str = ""
    model: str = ""


@dataclass
class Tally:
    """What one process saw. Admissions by the minute they count in."""

    admitted: Counter[int] = field(default_factory=Counter)
    offered: Counter[int] = field(default_factory=Counter)
    tokens: Counter[int] = field(default_factory=Counter)
    settled_micro_usd: int = 0
    writes: int = 0
    degraded: int = 0
    failed: int = 0
    admit_ms: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.admitted += other.admitted
        self.offered += other.offered
        self.tokens += other.tokens
        self.settled_micro_usd += other.settled_micro_usd
        self.writes += other.writes
        self.degraded += other.degraded
        self.failed += other.failed
        self.admit_ms += other.admit_ms


Attempt = Callable[[Tally, threading.Lock], Coroutine[Any, Any, bool]]
"""One request: counts what it saw; whether it was admitted."""


# --- The gates themselves ------------------------------------------------------------------------------------------


class _Clock:
    def wall_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()


def _gate_attempts(load: Load, endpoint: str, tally: Tally, lock: threading.Lock) -> Callable[[], Attempt]:
    """One environment, shared by the threads of its process as by concurrent requests."""
    from pllm.core.limits import BudgetLimit, GateLimits, Reservation, Spent
    from pllm.state.gate import Gates
    from pllm.state.gate_ticket import Ticket
    from pllm.state.store import Applied, Refused, Update
    from pllm.state.table import DynamoStore, connect

    class Counted(DynamoStore):
        async def update(self, update: Update) -> Applied | Refused:
            with lock:
                tally.writes += 1
            return await super().update(update)

    store = Counted(partial(connect, "us-east-1", endpoint, read_timeout_s=10.0), _TABLE)
    asyncio.run(store.get("warm", "up"))  # the client and its imports are no part of what is measured
    gates = Gates(store, _Clock(), SystemRandom())
    budget = BudgetLimit(load.budget_micro_usd, "total") if load.budget_micro_usd else None
    limits = [GateLimits(f"key/{load.name}", load.rpm, load.tpm, load.max_parallel, budget)]
    need = Reservation(100, 1000)

    def of_thread() -> Attempt:
        random = Random()

        async def attempt(tally: Tally, lock: threading.Lock) -> bool:
            started_s = time.perf_counter()
            found = await gates.admit(limits, need)
            took_ms = (time.perf_counter() - started_s) * 1000
            if not isinstance(found, Ticket):
                with lock:
                    tally.offered[int(time.time() // _MINUTE_S)] += 1
                return False
            spent = Spent(random.randint(0, need.tokens), random.randint(0, need.micro_usd))
            window = found.holds[0].at.window
            with lock:
                tally.offered[window] += 1
                tally.admitted[window] += 1
                tally.tokens[window] += spent.tokens
                tally.settled_micro_usd += spent.micro_usd
                tally.degraded += found.degraded
                tally.admit_ms.append(took_ms)
            await gates.settle(found, spent)
            return True

        return attempt

    return of_thread


# --- Any gateway ---------------------------------------------------------------------------------------------------


def _http_attempts(load: Load) -> Callable[[], Attempt]:
    """A kept-alive connection for each thread; 200 is admitted, 429 refused, anything else failed."""
    parts = urlsplit(load.url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = parts.path.rstrip("/") + "/chat/completions"
    messages = [{"role": "user", "content": "Say yes."}]
    body = json.dumps({"model": load.model, "messages": messages, "max_tokens": 5})
    headers = {"authorization": f"Bearer {load.key}", "content-type": "application/json"}

    def of_thread() -> Attempt:
        connection = make(parts.hostname or "", parts.port, timeout=20)

        async def attempt(tally: Tally, lock: threading.Lock) -> bool:
            started_s = time.time()
            try:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            minute = int(started_s // _MINUTE_S)
            with lock:
                tally.offered[minute] += 1
                tally.admitted[minute] += status == 200
                tally.failed += status not in (200, 429)
                tally.admit_ms.append((time.time() - started_s) * 1000)
            return status == 200

        return attempt

    return of_thread


# --- Processes and threads -----------------------------------------------------------------------------------------


def _worker(load: Load, endpoint: str, start: Barrier, results: "Queue[Tally]") -> None:
    tally, lock = Tally(), threading.Lock()
    make = _http_attempts(load) if load.url else _gate_attempts(load, endpoint, tally, lock)
    attempts = [make() for _ in range(THREADS)]
    start.wait(_START_S)
    end_s = time.monotonic() + load.seconds
    threads = [threading.Thread(target=asyncio.run, args=(_drive(one, load, end_s, tally, lock),)) for one in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(tally)


async def _drive(attempt: Attempt, load: Load, end_s: float, tally: Tally, lock: threading.Lock) -> None:
    pause_s = PROCESSES * THREADS / load.offered_per_s if load.offered_per_s else 0.0
    next_s = time.monotonic() + Random().uniform(0, pause_s)
    for _ in range(MAX_REQUESTS // (PROCESSES * THREADS)):
        if time.monotonic() >= end_s:
            return
        admitted = await attempt(tally, lock)
        if pause_s:
            next_s += pause_s
            await asyncio.sleep(max(next_s - time.monotonic(), 0.0))
        elif not admitted:
            await asyncio.sleep(_AFTER_REFUSAL_S)


def run(load: Load, endpoint: str = "") -> Tally:
    """Runs a load to its end and adds up what all processes saw."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(PROCESSES + 1), context.Queue()
    workers = [context.Process(target=_worker, args=(load, endpoint, start, results), daemon=True) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    start.wait(_START_S)
    total = Tally()
    for _ in workers:
        total.add(results.get(timeout=load.seconds + _START_S))
    for worker in workers:
        worker.join()
    return total


# --- What it comes to ----------------------------------------------------------------------------------------------


def over(tally: Tally, rpm: int) -> int:
    """Requests admitted beyond the limit, in all minutes together."""
    return sum(max(count - rpm, 0) for count in tally.admitted.values())


def utilisation(tally: Tally, rpm: int) -> float | None:
    """Admitted per limit, in the minutes in which more was asked for; None where that was in none."""
    full = [minute for minute, offered in tally.offered.items() if offered > rpm]
    return sum(min(tally.admitted[minute], rpm) for minute in full) / (rpm * len(full)) if full else None


def _row(load: Load, tally: Tally) -> list[str]:
    used, admitted = utilisation(tally, load.rpm), sum(tally.admitted.values())
    times = sorted(tally.admit_ms) or [0.0]
    return [
        load.name,
        f"{load.rpm:,}",
        f"{sum(tally.offered.values()):,}",
        f"{admitted:,}",
        str(over(tally, load.rpm)),
        f"{used:.1%}" if used is not None else "limit not reached",
        f"{tally.writes / admitted:.3f}" if admitted and tally.writes else "",
        f"{times[len(times) // 2]:.2f}",
    ]


_HEADER = [
    "load",
    "limit a minute",
    "offered",
    "admitted",
    "over the limit",
    "of the limit used",
    "writes per admitted",
    "p50, ms",
]

LOADS = (
    Load("requests", rpm=1500, seconds=8),
    Load("requests, tokens, money, calls", rpm=600, seconds=12, tpm=80_000, max_parallel=48, budget_micro_usd=10**9),
    Load("hot key", rpm=15_000, seconds=11, offered_per_s=2000),
)


def measure(_bench: Bench | None = None, loads: Sequence[Load] = LOADS) -> list[Table]:
    """The gates on DynamoDB Local. Raises SystemExit when a limit did not hold."""
    from tests.support.dynamodb import create_table, dynamodb_local

    from pllm.state.table import connect

    rows, problems = [], []
    with dynamodb_local() as endpoint:
        client = connect("us-east-1", endpoint, read_timeout_s=30.0)
        create_table(client, _TABLE)
        for load in loads:
            tally = run(load, endpoint)
            rows.append(_row(load, tally))
            problems += _problems(load, tally, _spent(client, load))
    if problems:
        raise SystemExit("\n".join(problems))
    notes = [
        f"{PROCESSES} processes with {THREADS} threads each, one environment a process; DynamoDB Local, one machine.",
        "Writes include those that refused, settled and opened a new minute.",
    ]
    return [Table("Limits under fire", _HEADER, rows, notes)]


def _spent(client: Any, load: Load) -> tuple[int, int]:
    """(spent, held), in micro-dollars, by the table."""
    key = {"PK": {"S": f"G#key/{load.name}"}, "SK": {"S": "G"}}
    item = client.get_item(TableName=_TABLE, Key=key, ConsistentRead=True)["Item"]
    return (int(item["bl"]["N"]) - int(item["b"]["N"]) - int(item["h"]["N"]) if "bl" in item else 0), int(item["h"]["N"])


def _problems(load: Load, tally: Tally, spent: tuple[int, int]) -> list[str]:
    found = []
    if over(tally, load.rpm):
        found.append(f"{load.name}: {over(tally, load.rpm)} over the limit")
    if (used := utilisation(tally, load.rpm)) is not None and used < 0.98:
        found.append(f"{load.name}: only {used:.1%} of the limit was given out, though more was asked for")
    if tally.degraded:
        found.append(f"{load.name}: {tally.degraded} were admitted without the table")
    if load.tpm is not None and max(tally.tokens.values()) > load.tpm:
        found.append(f"{load.name}: {max(tally.tokens.values())} tokens in a minute")
    if load.budget_micro_usd is not None and spent != (tally.settled_micro_usd, 0):
        found.append(f"{load.name}: the table says {spent} micro-dollars spent and held, the clients {tally.settled_micro_usd}")
    return found


def _wait_for_room(seconds: float) -> None:
    """A run within one minute of the clock is judged by one limit; waits for the next minute where this one is too short."""
    left_s = _MINUTE_S - time.time() % _MINUTE_S
    if left_s < seconds <= _MINUTE_S:
        time.sleep(left_s + 0.05)


def _external(arguments: argparse.Namespace) -> Table:
    load = Load(
        arguments.name,
        rpm=arguments.rpm,
        seconds=arguments.seconds,
        url=arguments.url,
        key=arguments.key,
        model=arguments.model,
    )
    _wait_for_room(load.seconds + 1)
    tally = run(load)
    notes = [f"{tally.failed} answers were neither 200 nor 429."] if tally.failed else []
    return Table("A gateway's limit under fire", _HEADER, [_row(load, tally)], notes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.limiter", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="an OpenAI-compatible gateway's base URL, with /v1")
    parser.add_argument("--key", default="", help="a key that the limit holds for")
    parser.add_argument("--model", default="", help="a model it may use")
    parser.add_argument("--rpm", type=int, default=60, help="the limit that is configured there (60)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long (20, at most 50)")
    parser.add_argument("--name", default="gateway", help="what the table calls it")
    chosen = parser.parse_args(arguments)
    if chosen.seconds > 50:
        parser.error("--seconds: at most 50, so that the run keeps within a minute")
    tables = [_external(chosen)] if chosen.url else measure()
    for table in tables:
        print(table.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
