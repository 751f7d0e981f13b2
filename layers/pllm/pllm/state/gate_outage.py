"""When the table does not answer: stop asking for a while, keep rate limits by memory, and keep what could not be settled.

Not safe for threads: the owner (`Gates`) holds its lock around every call.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from pllm.core.config.policies import Budgets, Limits
from pllm.core.limits import GateLimits, LimitKind, Reservation
from pllm.state.gate_settle import Settlement

Unreachable = Literal["open", "closed"]

_PATIENCE = 3
_REST_S = 2.0
_QUEUE = 1000
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.16
_SCOPES = 4096


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What happens while the table is unreachable, and to what a crashed request held (`strict`: it is charged).

    `exact`: a settlement of money counts once even if its answer is lost, for twice the price of its write.
    `open_budget_micro_usd`: with `budgets` open, what each environment lets pass a minute and scope. `assumed_fleet`: how
    many environments share a limit, where that was never seen: rather too many than too few.
    """

    rates: Unreachable = "open"
    budgets: Unreachable = "closed"
    strict: bool = False
    exact: bool = False
    open_budget_micro_usd: int = 1_000_000
    assumed_fleet: int = 10

    @staticmethod
    def of(limits: Limits, budgets: Budgets) -> "GatePolicy":
        """What a configuration asks for."""
        return GatePolicy(limits.on_state_error, budgets.on_state_error, budgets.strict, budgets.exact)

    def closed(self, limits: GateLimits) -> bool:
        """Whether nothing may pass these limits unasked."""
        rates = limits.rpm is not None or limits.tpm is not None or limits.max_parallel is not None
        return (limits.budget is not None and self.budgets == "closed") or (rates and self.rates == "closed")


class TableBreaker:
    """After three errors in a row the table is left alone for 2 s, give or take half, so that an outage costs no request
    its timeout."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self._until_s = 0.0

    def resting(self, now_s: float) -> bool:
        return now_s < self._until_s

    def failed(self, now_s: float) -> None:
        self._failures += 1
        if self._failures >= _PATIENCE:
            self._until_s = now_s + _REST_S * self._random.uniform(0.5, 1.5)

    def worked(self) -> None:
        self._failures = 0
        self._until_s = 0.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between sends of one write: 10 ms, twice that each time, at most 160 ms, give or take half."""

    random: Random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def wait(self, sends: int) -> None:
        """`sends`: how often it has been sent, at least once."""
        longest_s = min(_FIRST_WAIT_S * 2 ** (sends - 1), _LONGEST_WAIT_S)
        await self.sleep(longest_s * self.random.uniform(0.5, 1.5))


@dataclass(slots=True)
class _Count:
    window: int = -1
    requests: int = 0
    tokens: int = 0
    micro_usd: int = 0
    parallel: int = 0


class DegradedGates:
    """This environment's share of each limit, kept in memory. Approximate: shares are by the fleet as it was last seen."""

    def __init__(self, policy: GatePolicy) -> None:
        self._policy = policy
        self._counts: dict[str, _Count] = {}

    def admit(self, limits: GateLimits, need: Reservation, window: int, fleet: float | None) -> LimitKind | None:
        """What refuses, None when the request may pass and was counted."""
        if len(self._counts) > _SCOPES:
            self._counts = {scope: count for scope, count in self._counts.items() if count.window == window or count.parallel}
        count = self._counts.setdefault(limits.scope, _Count())
        if count.window != window:
            count.window, count.requests, count.tokens, count.micro_usd = window, 0, 0, 0
        shares = math.ceil(fleet) if fleet is not None else self._policy.assumed_fleet
        refused = self._refused(count, limits, need, shares)
        if refused is None:
            count.requests += not need.further
            count.tokens += need.tokens
            count.micro_usd += need.micro_usd
            count.parallel += not need.further
        return refused

    def _refused(self, count: _Count, limits: GateLimits, need: Reservation, shares: int) -> LimitKind | None:
        if limits.budget is not None and count.micro_usd + need.micro_usd > self._policy.open_budget_micro_usd:
            return LimitKind.BUDGET
        if limits.rpm is not None and count.requests >= _share(limits.rpm, shares):
            return LimitKind.REQUESTS
        if limits.tpm is not None and count.tokens + need.tokens > limits.tpm / shares and count.tokens:
            return LimitKind.TOKENS
        if limits.max_parallel is not None and count.parallel >= _share(limits.max_parallel, shares):
            return LimitKind.PARALLEL
        return None

    def ended(self, scope: str) -> None:
        """A request that was let pass is over."""
        if count := self._counts.get(scope):
            count.parallel = max(count.parallel - 1, 0)


def _share(limit: int, shares: int) -> int:
    """At least one where there is any: nobody is shut out for being one of many."""
    return max(limit // shares, min(limit, 1))


class Unsettled:
    """Settlements that wait for the table to come back; the oldest give way when there are too many (they were reported)."""

    def __init__(self) -> None:
        self._jobs: deque[Settlement] = deque(maxlen=_QUEUE)

    def add(self, job: Settlement) -> None:
        self._jobs.append(job)

    def take_all(self) -> list[Settlement]:
        jobs = list(self._jobs)
        self._jobs.clear()
        return jobs

    def __len__(self) -> int:
        return len(self._jobs)
