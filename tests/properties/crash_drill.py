"""Workers that are admitted and then killed. Run as a process of its own: it forks, so it must have no threads.

    python -m tests.properties.crash_drill ENDPOINT TABLE KILLS SEED

Each worker is an environment: it is admitted a few times, settles some of them, says so, and holds the rest until SIGKILL
comes. Every third one is killed at a random moment instead, in the middle of whatever it does. The time is injected and
moves on as the drill goes. Prints one JSON object: what was killed, what was surely settled, what perhaps.
"""

import asyncio
import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from pllm.core.clock import ManualClock
from pllm.core.limits import BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket
from pllm.state.table import DynamoStore, connect

START_S = 1_800_000_000.0
LIMITS = (
    GateLimits("key/drill", rpm=400, max_parallel=60, budget=BudgetLimit(3_000_000, "total")),
    GateLimits("team/drill", budget=BudgetLimit(4_000_000, "total")),
)
AT_ONCE = 8
_STEP_S = 400.0
_PATIENCE_S = 30.0


@dataclass
class Report:
    """Micro-dollars and counts. `perhaps`: what a worker was settling when it was killed."""

    killed: int = 0
    held: int = 0
    admitted: int = 0
    settled: int = 0
    perhaps: int = 0

    def read(self, said: str) -> None:
        """One worker's words: a = admitted, b = is about to settle, s = has settled, h = holds the rest."""
        under_way = 0
        for line in said.splitlines():
            word, _, number = line.partition(" ")
            if word == "a":
                self.admitted += 1
            elif word == "b":
                under_way = int(number)
            elif word == "s":
                self.settled, under_way = self.settled + under_way, 0
            elif word == "h":
                self.held += int(number)
        self.perhaps += under_way


async def _work(client: Any, table: str, now_s: float, seed: int, out: int) -> None:
    random = Random(seed)
    gates = Gates(DynamoStore(lambda: client, table), ManualClock(now_s), random)

    def say(text: str) -> None:
        os.write(out, f"{text}\n".encode())

    tickets = []
    for _ in range(random.randint(1, 4)):
        found = await gates.admit(LIMITS, Reservation(10, random.randint(1, 9_000)))
        if isinstance(found, Ticket):
            say("a")
            tickets.append(found)
    for ticket in tickets[: random.randint(0, 2)]:
        used = random.randint(0, min(hold.micro_usd or 0 for hold in ticket.holds))
        say(f"b {used}")
        await gates.settle(ticket, Spent(5, used))
        say("s")
        tickets.remove(ticket)
    say(f"h {len(tickets)}")
    await asyncio.sleep(_PATIENCE_S)


def _start(client: Any, table: str, now_s: float, seed: int) -> tuple[int, int]:
    """(pid, what it says)."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        asyncio.run(_work(client, table, now_s, seed, write))
        os._exit(0)
    os.close(write)
    return pid, read


def _kill(pid: int, read: int, after_s: float | None) -> str:
    """Kills a worker once it holds its tickets, or after `after_s` wherever it is. Gives what it said."""
    end_s = time.monotonic() + (_PATIENCE_S if after_s is None else after_s)
    said = b""
    while b"h " not in said and (left_s := end_s - time.monotonic()) > 0:
        if select.select([read], [], [], left_s)[0]:
            said += os.read(read, 4096)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while rest := os.read(read, 4096):
        said += rest
    os.close(read)
    return said.decode()


def drill(endpoint: str, table: str, kills: int, seed: int) -> tuple[Report, float]:
    """The report and the time at which the last worker was started."""
    client = connect("us-east-1", endpoint, read_timeout_s=10.0)
    random, report, now_s = Random(seed), Report(), START_S
    while report.killed < kills:
        workers = [_start(client, table, now_s, random.getrandbits(32)) for _ in range(AT_ONCE)]
        for number, (pid, read) in enumerate(workers):
            anywhere = random.uniform(0.02, 0.2) if number % 3 == 0 else None
            report.read(_kill(pid, read, anywhere))
            report.killed += 1
        now_s += _STEP_S
    return report, now_s


def main() -> None:
    endpoint, table, kills, seed = sys.argv[1:]
    report, now_s = drill(endpoint, table, int(kills), int(seed))
    numbers = {name: getattr(report, name) for name in ("killed", "held", "admitted", "settled", "perhaps")}
    print(json.dumps({**numbers, "now_s": now_s}))


if __name__ == "__main__":
    main()
