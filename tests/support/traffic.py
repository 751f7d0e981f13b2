"""A known traffic through whole environments, and what their clients saw of it: the oracle of every number that is told.

Environments share one store and one clock that moves only here. The network is a function: what a prompt says is what its
upstream does. What clients saw is counted from statuses, headers and bodies alone, never from what the gateway says it counted.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Any

import httpx2
from tests.support.faulty import Fault, FaultyStore
from tests.support.gateway import providers
from tests.support.traffic_seen import TOLD, Seen, note

from pllm.attempt import Upstreams
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.clock import ManualClock
from pllm.core.config.schema import HealthProbes
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.limits import BudgetLimit, GateLimits, Reservation, Spent
from pllm.core.plan import RoutingPolicy
from pllm.core.principal import Principal
from pllm.core.profile import ModelProfile, Prices
from pllm.core.record import RequestRecord
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.edge.app import Edge, Gateway, routes
from pllm.edge.auth import Authenticator
from pllm.edge.exchange import Exchange
from pllm.edge.generation import Generation
from pllm.edge.http import HttpRequest as Asked
from pllm.edge.models import Models
from pllm.edge.responses import Responses
from pllm.pipeline import Pipeline
from pllm.probing import Prober
from pllm.providers.base import HttpRequest, Timeouts, UpstreamResponse
from pllm.state.counters import Counters
from pllm.state.fleet_reader import FleetReader
from pllm.state.gate import Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.guard import GuardedStore
from pllm.state.health import Health
from pllm.state.memory import MemoryStore
from pllm.state.store import TransactionalStore
from pllm.state.usage import Ledger
from pllm.telemetry.breaker_line import emit_move
from pllm.telemetry.limit_line import emit_limit_event

PRICES = Prices(input=1_000_000, output=3_000_000, cache_read=500_000, version="test")
"""A micro-dollar for a prompt token, three for one of the answer."""


def _deployment(name: str, model: str, priority: int = 0) -> Deployment:
    return Deployment(
        id=f"{model}@openai/{name}",
        model_name=model,
        provider="openai",
        model=name,
        api_base=f"http://{name}/v1",
        api_key=Secret("sk-upstream"),
        profile=ModelProfile(prices=PRICES, thinking="none"),
        priority=priority,
    )


CATALOGUE = Catalogue(
    {
        "m": (_deployment("first", "m", 1), _deployment("second", "m", 2)),
        "n": (_deployment("failing", "n"),),
        'odd "name"\\': (_deployment("odd", 'odd "name"\\'),),
    }
)


class TickingClock(ManualClock):
    """Looking at it takes ten microseconds, so nothing takes no time."""

    def monotonic_s(self) -> float:
        self.advance(0.000_01)
        return self.now_s


@dataclass(frozen=True)
class _Whole:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield self.body

    async def read(self) -> bytes:
        return self.body

    async def close(self) -> None:
        return None


@dataclass(frozen=True)
class _Stream:
    clock: ManualClock
    events: tuple[Any, ...]
    cut: bool
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})

    async def chunks(self) -> AsyncGenerator[bytes]:
        for event in self.events:
            self.clock.advance(0.05)
            yield b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"
        if self.cut:
            raise GatewayError(ErrorKind.STREAM_BROKEN, "cut")

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self) -> None:
        return None


@dataclass
class Upstream:
    """Every provider at once. `fallback`: the first deployment fails. `cut`: a stream breaks. The one named failing does."""

    clock: ManualClock

    async def send(self, request: HttpRequest, timeouts: Timeouts) -> UpstreamResponse:
        if request.method == "GET":
            return _Whole(503 if "//failing/" in request.url else 200, b"{}")
        body = json.loads(request.body)
        prompt = body["messages"][0]["content"]
        self.clock.advance(0.2)
        if "//failing/" in request.url or (prompt == "fallback" and "//first/" in request.url):
            return _Whole(500, b'{"error": {"message": "no"}}')
        usage = {
            "prompt_tokens": 10 + len(prompt),
            "completion_tokens": 7,
            "total_tokens": 17 + len(prompt),
            "prompt_tokens_details": {"cached_tokens": 4},
        }
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "x"}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "hello"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return _Whole(200, json.dumps({**head, "choices": [choice], "usage": usage}).encode())
        chunk = {**head, "object": "chat.completion.chunk"}
        said = {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}]}
        if prompt == "cut":
            return _Stream(self.clock, ({**said, "usage": usage | {"completion_tokens": TOLD}},), cut=True)
        last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        return _Stream(self.clock, (said, last, {**chunk, "choices": [], "usage": usage}, b"[DONE]"), cut=False)


class _Named(Authenticator):
    """Whoever gives a name is believed, but for a stranger."""

    async def authenticate(self, request: Asked) -> Principal:
        name = (request.header("authorization") or "").removeprefix("Bearer ")
        if name == "stranger":
            raise GatewayError(ErrorKind.AUTHENTICATION, "Incorrect API key provided.")
        return Principal(name)


class Environment:
    """One environment of the fleet: its own counters, health and ledger before the shared store."""

    def __init__(self, store: TransactionalStore, clock: ManualClock, name: str, lines: list[dict[str, Any]]) -> None:
        guard = GuardedStore(store, clock, Random(1))
        self.health = Health(
            guard,
            clock,
            Random(2),
            BreakerPolicy(),
            name=name,
            degraded=lambda: guard.degraded,
            notify=partial(emit_move, lines.append, "gateway", clock),
        )
        self.counters = Counters(guard, clock, lambda: name)
        self.ledger = Ledger(guard, clock, lambda: name, lines.append)
        upstreams = Upstreams(providers({}, clock, _no_network), Upstream(clock), clock, self.health)
        pipeline = Pipeline(CATALOGUE, upstreams, Random(3), Rota(Random(4)), RoutingPolicy(retries=1), sleep=_no_sleep)
        responses = Responses(Generation("responses", pipeline), None, clock, lines.append)
        numbers = count(1)
        edge = Edge(
            routes={
                **routes(Models(CATALOGUE, 1_700_000_000), pipeline, responses),
                "/v1/limited": {"POST": ("chat", _limited)},
                "/v1/spent": {"POST": ("chat", _spent)},
            },
            authenticator=_Named(None),
            clock=clock,
            new_id=lambda: f"{name}-{next(numbers)}",
            emit=lines.append,
            settle=self._settle,
            count=self._count,
        )
        inner = httpx2.ASGITransport(app=Gateway(edge), raise_app_exceptions=False)
        self.client = httpx2.AsyncClient(transport=inner, base_url="http://gateway")

    def _count(self, record: RequestRecord) -> None:
        self.counters.add(record)
        self.ledger.add(record)

    async def _settle(self) -> None:
        await self.health.settle()
        await self.counters.settle()
        await self.ledger.settle()

    async def end(self) -> None:
        """Nothing is left untold."""
        await self.health.flush()
        await self.counters.flush()
        await self.ledger.flush()
        await self.client.aclose()


async def _limited(exchange: Exchange) -> None:
    """As a gate refuses: after the model is known, before anything is asked of a deployment."""
    exchange.record.model = "m"
    raise GatewayError(ErrorKind.RATE_LIMITED, "Too many requests.", retry_after_s=1)


async def _spent(exchange: Exchange) -> None:
    exchange.record.model = "m"
    raise GatewayError(ErrorKind.BUDGET_EXCEEDED, "The budget is spent.")


async def _spend_nearly_all(store: TransactionalStore, clock: ManualClock, lines: list[dict[str, Any]]) -> None:
    """Of somebody's budget, whom nothing else here knows."""
    gates = Gates(store, clock, Random(5), GatePolicy(), partial(emit_limit_event, lines.append, "gateway", clock))
    found = await gates.admit([GateLimits("key/spender", budget=BudgetLimit(1_000))], Reservation(1, 950))
    assert isinstance(found, Ticket)
    await gates.settle(found, Spent(1, 950))


async def _no_network(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    raise AssertionError(f"nobody should ask {url}")


async def _no_sleep(seconds: float) -> None:
    return None


# --- What is asked, and what is seen ---------------------------------------------------------------------------------

_KINDS = (
    *("ok",) * 8,
    *("stream",) * 4,
    *("fallback", "cut", "unknown", "stranger", "failing", "list", "odd", "limited"),
)


@dataclass
class Traffic:
    store: MemoryStore
    clock: ManualClock
    seen: Seen
    lines: list[dict[str, Any]]

    def metrics(self) -> list[dict[str, Any]]:
        """The EMF lines."""
        return [line for line in self.lines if "_aws" in line]

    def emitted(self) -> set[str]:
        """Every metric's name."""
        directives = (directive for line in self.metrics() for directive in line["_aws"]["CloudWatchMetrics"])
        return {metric["Name"] for directive in directives for metric in directive["Metrics"]}

    def dimensions(self) -> set[tuple[str, tuple[str, ...]]]:
        """Every metric's name with each set of dimensions that it was emitted under."""
        directives = [directive for line in self.metrics() for directive in line["_aws"]["CloudWatchMetrics"]]
        return {
            (metric["Name"], tuple(names))
            for directive in directives
            for metric in directive["Metrics"]
            for names in directive["Dimensions"]
        }


async def run(requests: int, environments: int = 3, store: MemoryStore | None = None) -> Traffic:
    """So many requests, one after the other. For a tenth of them the table refuses everything, and half-way each environment
    is replaced by a new one."""
    clock, lines, seen = TickingClock(), list[dict[str, Any]](), Seen()
    store = store or MemoryStore()
    table = FaultyStore(store)
    fleet = [Environment(table, clock, f"e{n}", lines) for n in range(environments)]
    await _spend_nearly_all(table, clock, lines)
    for number in range(requests):
        table.always = Fault.THROTTLED if 3 <= 10 * number / requests < 4 else Fault.NONE
        if number == requests // 2:
            for one in fleet:
                await one.end()
            fleet = [Environment(table, clock, f"f{n}", lines) for n in range(environments)]
        await _one(fleet[number % environments], number, seen)
        clock.advance(0.1)
    for one in fleet:
        await one.end()
    await _probes(clock, lines)
    return Traffic(store, clock, seen, lines)


async def _probes(clock: ManualClock, lines: list[dict[str, Any]]) -> None:
    """A run of health probes, in a fleet of its own: what it finds is no part of the traffic."""
    store = MemoryStore()
    health = Health(store, clock, Random(5), BreakerPolicy(), name="probes")
    upstreams = Upstreams(providers({}, clock, _no_network), Upstream(clock), clock, health)
    counters = Counters(store, clock, lambda: "probes")
    prober = Prober(CATALOGUE, HealthProbes(), upstreams, FleetReader(store, clock), counters, lines.append, "rollup")
    await prober.run(30)


async def _one(environment: Environment, number: int, seen: Seen) -> None:
    kind = _KINDS[number % len(_KINDS)]
    caller = "stranger" if kind == "stranger" else f"key-{number % 7}"
    headers = {"authorization": f"Bearer {caller}", "content-type": "application/json"}
    if kind == "list":
        answer = await environment.client.get("/v1/models", headers=headers)
        seen.statuses["models", answer.status_code] += 1
        seen.numbers["Requests"] += 1
        return
    model = {"unknown": "nobody", "failing": "n", "odd": 'odd "name"\\'}.get(kind, "m")
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": kind}]}
    if kind in ("stream", "cut"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    path = ("/v1/limited", "/v1/spent")[number // len(_KINDS) % 2] if kind == "limited" else "/v1/chat/completions"
    answer = await environment.client.post(path, content=json.dumps(body), headers=headers)
    note(seen, kind, caller, model, answer)
