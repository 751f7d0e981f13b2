"""A gateway built by hand around the deployments a test wants, with its clock, randomness and log lines in the test's hands."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from random import Random
from time import monotonic, time
from typing import Any

import httpx2

from pllm.attempt import Upstreams
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.clock import Clock
from pllm.core.config.schema import Route
from pllm.core.deployment import Deployment
from pllm.core.plan import RoutingPolicy
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.edge.app import Edge, Gateway, routes
from pllm.edge.auth import Authenticator
from pllm.edge.generation import Generation
from pllm.edge.models import Models
from pllm.edge.responses import Responses
from pllm.pipeline import Endpoint, Pipeline
from pllm.providers.azure import AzureProvider
from pllm.providers.base import Provider, SimpleHttp
from pllm.providers.bedrock import BedrockProvider
from pllm.providers.cohere import CohereProvider
from pllm.providers.google_credentials import GoogleCredentials
from pllm.providers.keyed import KeyedProvider
from pllm.providers.registry import ROWS
from pllm.providers.sigv4 import AwsCredentials
from pllm.providers.transport import AiohttpTransport
from pllm.providers.vertex import GeminiApiProvider, VertexProvider
from pllm.state.answers import StoredAnswers
from pllm.state.guard import GuardedStore
from pllm.state.health import Health
from pllm.state.memory import MemoryStore
from pllm.state.store import TransactionalStore
from pllm.telemetry.breaker_line import emit_move
from pllm.telemetry.tracing import Tracing

KEY = "sk-test-master"

_OF_UPSTREAMS = ("attempt_timeout_s", "drop_unsupported", "repair_history")
_OF_POLICY = tuple(field.name for field in fields(RoutingPolicy))


class RealClock:
    """Time passes as it does, from the beginning of a minute on: no test is cut in two by the end of one."""

    def __init__(self) -> None:
        self._minute_s = time() // 60 * 60
        self._began_s = monotonic()

    def wall_s(self) -> float:
        return self._minute_s + monotonic() - self._began_s

    def monotonic_s(self) -> float:
        return monotonic()


@dataclass
class Harness:
    """`lines` are the log and EMF lines; `naps` the pauses the pipeline asked for (none is really taken);
    `committed` is set once a status line went out."""

    edge: Edge
    client: httpx2.AsyncClient
    health: Health
    pipeline: Pipeline
    lines: list[dict[str, Any]] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    committed: asyncio.Event = field(default_factory=asyncio.Event)

    def against(self, app: Gateway) -> httpx2.AsyncClient:
        """A client of another application, with this one's headers."""
        inner = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=inner, base_url="http://gateway", headers=self.client.headers)

    def log(self) -> dict[str, Any]:
        return [line for line in self.lines if line.get("message") == "request"][-1]

    def emf(self) -> dict[str, Any]:
        return [line for line in self.lines if "_aws" in line][-1]

    async def chat(self, **body: Any) -> httpx2.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | body
        return await self.client.post("/v1/chat/completions", content=json.dumps(body))


def deployment(base_url: str, **changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "id": "m/1",
        "model_name": "m",
        "provider": "openai",
        "model": "gpt-x",
        "api_base": f"{base_url}/v1",
        "api_key": Secret("sk-upstream"),
    }
    return Deployment(**(fields | changes))


class RoleKeys:
    """The function's role."""

    async def get(self) -> AwsCredentials:
        return AwsCredentials("AKIDTEST", "secret", "session")


def providers(environment: Mapping[str, str], clock: Clock, http: SimpleHttp) -> dict[str, Endpoint]:
    special: dict[str, Provider] = {
        "azure": AzureProvider(),
        "bedrock": BedrockProvider(RoleKeys(), clock, {"AWS_REGION": "us-east-1", **environment}),
        "vertex": VertexProvider(GoogleCredentials(environment, clock, http), environment),
        "gemini": GeminiApiProvider(),
    }
    rows = {row.name: row for row in ROWS}
    special["cohere"] = CohereProvider(rows["cohere"])
    return {row.name: Endpoint(special.get(row.kind) or KeyedProvider(row, environment), row) for row in ROWS}


@asynccontextmanager
async def gateway(
    deployments: Sequence[Deployment],
    *,
    aliases: Mapping[str, tuple[str, ...]] | None = None,
    environment: Mapping[str, str] | None = None,
    missing: tuple[str, ...] = (),
    answers: StoredAnswers | None = None,
    store: TransactionalStore | None = None,
    breaker: BreakerPolicy | None = None,
    model_routes: Sequence[Route] = (),
    disabled: Mapping[str, str] | None = None,
    tracing: Tracing | None = None,
    **options: Any,
) -> AsyncIterator[Harness]:
    """`options`: fields of Upstreams, RoutingPolicy and Pipeline."""
    catalogue = Catalogue(by_model(deployments), aliases or {}, disabled or {}, {route.slug: route for route in model_routes})
    clock = RealClock()
    transport = AiohttpTransport(clock)
    naps: list[float] = []
    lines: list[dict[str, Any]] = []
    sleep: Callable[[float], Awaitable[None]] = _recorder(naps)
    health = _health(store or MemoryStore(), clock, breaker or BreakerPolicy(), lines.append)
    upstream_options = {name: options.pop(name) for name in _OF_UPSTREAMS if name in options}
    endpoints = providers(environment or {}, clock, transport.simple)
    upstreams = Upstreams(endpoints, transport, clock, health, **upstream_options)
    policy = RoutingPolicy(**({"retries": 0} | {name: options.pop(name) for name in _OF_POLICY if name in options}))
    random: Random = options.pop("random", None) or Random(7)
    line = Pipeline(catalogue, upstreams, random, Rota(random), policy, **({"sleep": sleep} | options))
    edge = Edge(
        routes(Models(catalogue, 1_700_000_000), line, Responses(Generation("responses", line), answers, clock, lines.append)),
        Authenticator(Secret(KEY)),
        clock,
        lambda: "req-1",
        lines.append,
        missing=missing,
        settle=health.settle,
        tracing=tracing,
    )
    committed = asyncio.Event()
    inner = httpx2.ASGITransport(app=_watched(Gateway(edge), committed), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    async with httpx2.AsyncClient(transport=inner, base_url="http://gateway", headers=headers) as client:
        try:
            yield Harness(edge, client, health, line, lines, naps, committed)
        finally:
            await transport.close()


def by_model(deployments: Sequence[Deployment]) -> dict[str, tuple[Deployment, ...]]:
    """As a catalogue has them."""
    models: dict[str, tuple[Deployment, ...]] = {}
    for one in deployments:
        models[one.model_name] = (*models.get(one.model_name, ()), one)
    return models


def _watched(app: Gateway, committed: asyncio.Event) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """The same application; `committed` is set when something of an answer is out."""

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            await send(message)
            committed.set()

        await app(scope, receive, note)

    return watched


def _health(store: TransactionalStore, clock: Clock, policy: BreakerPolicy, emit: Callable[[dict[str, Any]], None]) -> Health:
    guard = GuardedStore(store, clock, Random(8))
    notify = partial(emit_move, emit, "gateway", clock)
    return Health(guard, clock, Random(9), policy, name="test", degraded=lambda: guard.degraded, notify=notify)


def _recorder(naps: list[float]) -> Callable[[float], Awaitable[None]]:
    async def nap(seconds: float) -> None:
        naps.append(seconds)

    return nap
