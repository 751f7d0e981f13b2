"""The only place that builds things: environment in, application out."""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING
from uuid import uuid4

from pllm.admission import Admissions
from pllm.attempt import Upstreams
from pllm.core import catalogue
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.catalogue import ModelCatalogue
from pllm.core.clock import Clock
from pllm.core.config import CompiledConfig, resolve
from pllm.core.config.policies import Telemetry
from pllm.core.config.schema import Router
from pllm.core.plan import RoutingPolicy
from pllm.core.record import RequestRecord
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue
from pllm.edge.app import Edge, First, Gateway, Routes, routes
from pllm.edge.exchange import Exchange
from pllm.edge.generation import Generation
from pllm.edge.idempotency import idempotent
from pllm.edge.models import Models
from pllm.edge.responses import Responses
from pllm.identity import Known, authenticator
from pllm.limiting import admissions_of, gate_set
from pllm.live import App, LiveGateway, Parts
from pllm.pipeline import Endpoint, Pipeline
from pllm.providers.aws_credentials import AwsCredentialSource
from pllm.providers.azure import AzureProvider
from pllm.providers.base import Provider, ProviderRow
from pllm.providers.bedrock import BedrockProvider
from pllm.providers.cohere import CohereProvider
from pllm.providers.deployments import build
from pllm.providers.google_credentials import GoogleCredentials
from pllm.providers.keyed import KeyedProvider
from pllm.providers.registry import Registry
from pllm.providers.sigv4 import Scope, sign
from pllm.providers.transport import AiohttpTransport
from pllm.providers.vertex import GeminiApiProvider, VertexProvider
from pllm.startup import Outside, Settings, begin
from pllm.state.answers import StoredAnswers
from pllm.state.config_version import Pointer
from pllm.state.counters import Counters
from pllm.state.gate_set import GateSet
from pllm.state.guard import GuardedStore
from pllm.state.health import Health
from pllm.state.idempotency import Idempotency
from pllm.state.key_reader import KeyReader
from pllm.state.memory import MemoryStore
from pllm.state.table import DynamoStore, connect
from pllm.state.usage import Ledger
from pllm.telemetry.breaker_line import emit_move
from pllm.telemetry.limit_line import emit_limit_event
from pllm.telemetry.log import Emit, Log, emit_to_stdout
from pllm.telemetry.tracing import COLLECTOR_VARIABLES, Tracing

if TYPE_CHECKING:
    from pllm.probe_setup import Outfit
    from pllm.providers.media import MediaFetcher
    from pllm.rollup import Handler
    from pllm.telemetry.otlp import OtlpExporter


class SystemClock:
    """The machine's clocks."""

    def wall_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True)
class Lasting:
    """What an environment keeps while configurations come and go: connections, what it has counted, what it has learnt."""

    environment: Mapping[str, str]
    settings: Settings
    clock: Clock
    emit: Log
    registry: Registry
    models: ModelCatalogue
    transport: AiohttpTransport
    aws: AwsCredentialSource
    endpoints: Mapping[str, Endpoint]
    store: GuardedStore | None
    health: Health
    counters: Counters | None
    rota: Rota
    known: Known
    gates: GateSet | None
    ledger: Ledger | None
    cold: First = field(default_factory=First)


def gateway(
    environment: Mapping[str, str] = os.environ,
    emit: Emit = emit_to_stdout,
    clock: Clock = SystemClock(),  # noqa: B008 - has no state
) -> App:
    """The data plane. Raises ConfigError, or GatewayError when the secret or the configuration cannot be read: an environment
    that cannot know its keys must not come up half."""
    settings = Settings.of(environment)
    start = begin(environment, settings, clock)
    lasting = _lasting(environment, settings, clock, Log(emit, settings.namespace))
    if lasting.store is None:
        return application(lasting, start.deployed, start.variables, Pointer())
    outside = Outside(environment, settings, clock, lasting.transport.simple, lasting.aws)
    make = partial(application, lasting)
    parts = Parts(start.deployed, make, outside.variables, lasting.store, clock, lasting.emit, partial(_renew, lasting))
    return LiveGateway(parts, start.variables, start.first)


async def _renew(lasting: Lasting) -> None:
    if lasting.known.keys is not None:
        lasting.known.keys.renew()
    await lasting.health.renew()


def _lasting(environment: Mapping[str, str], settings: Settings, clock: Clock, emit: Log) -> Lasting:
    registry, transport = Registry(), AiohttpTransport(clock)
    aws = AwsCredentialSource(environment, clock, transport.simple)
    store = _store(settings, clock)
    return Lasting(
        environment,
        settings,
        clock,
        emit,
        registry,
        read_models(settings.catalogue),
        transport,
        aws,
        _endpoints(registry, environment, transport, aws, clock),
        store,
        _health(store, clock, settings, emit),
        Counters(store, clock, lambda: uuid4().hex, flush_s=settings.flush_s) if store else None,
        Rota(SystemRandom()),
        Known(KeyReader(store, clock, SystemRandom()) if store else None, transport.simple, clock, emit),
        gate_set(store, clock, partial(emit_limit_event, emit, settings.function, clock)) if store else None,
        Ledger(store, clock, lambda: uuid4().hex, emit, flush_s=settings.flush_s) if store else None,
    )


def application(lasting: Lasting, compiled: CompiledConfig, variables: Mapping[str, str], pointer: Pointer) -> Gateway:
    """The gateway of one configuration and the pointer to it. Raises ConfigError."""
    clock, emit = lasting.clock, lasting.emit
    resolved = resolve(compiled.config, variables.get, compiled.source)
    emit.adopt(resolved.config.logging.level)
    today = time.strftime("%Y-%m-%d", time.gmtime(clock.wall_s()))
    profile_of = partial(lasting.models.profile_of, today=today)
    built = build(resolved.config, lasting.registry, variables, profile_of)
    for warning in (*compiled.warnings, *resolved.warnings, *built.notes):
        emit({"level": "WARN", "message": "configuration", "warning": str(warning)})
    admissions = admissions_of(resolved.config, pointer.moves, lasting.gates, emit)
    pipeline = _pipeline(resolved.config.router, built.catalogue, lasting, admissions)
    master_key = resolved.config.auth.master_key or variables.get("PLLM_MASTER_KEY")
    answers = StoredAnswers(lasting.store) if lasting.store else None
    exporter = _exporter(lasting, resolved.config.telemetry, variables)
    responses = Responses(Generation("responses", pipeline), answers, clock, emit)
    edge = Edge(
        routes=_surface(lasting, routes(Models(built.catalogue, int(clock.wall_s())), pipeline, responses), admissions),
        authenticator=authenticator(resolved.config, master_key, pointer.moves, lasting.known),
        clock=clock,
        new_id=lambda: uuid4().hex,
        emit=emit,
        function=lasting.settings.function,
        missing=_missing(master_key, len(built.catalogue.models)),
        settle=partial(_settle, lasting, exporter),
        count=partial(_count, lasting),
        cold=lasting.cold,
        max_body_bytes=resolved.config.limits.max_body,
        tracing=_tracing(lasting, resolved.config.telemetry, exporter),
    )
    lasting.health.adopt(BreakerPolicy.of(resolved.config.router))
    if lasting.ledger:
        lasting.ledger.adopt(exact=resolved.config.usage == "exact")
    return Gateway(edge)


def _tracing(lasting: Lasting, telemetry: Telemetry, exporter: "OtlpExporter | None") -> Tracing:
    invocation = partial(lasting.environment.get, "_X_AMZN_TRACE_ID")  # AWS's runtime client sets it anew for each
    random_bits = SystemRandom().getrandbits
    return Tracing(random_bits, lasting.clock, invocation, telemetry.propagate, exporter, telemetry.record_content)


def _exporter(lasting: Lasting, telemetry: Telemetry, variables: Mapping[str, str]) -> "OtlpExporter | None":
    """None where nobody has named a collector."""
    if not (telemetry.otlp_endpoint or any(map(variables.get, COLLECTOR_VARIABLES))):
        return None
    from pllm.telemetry.otlp import OtlpExporter  # not for the cold start of those who do not export
    from pllm.telemetry.otlp_settings import read_settings

    settings, warnings = read_settings(variables, telemetry.otlp_endpoint)
    for warning in warnings:
        lasting.emit({"level": "WARN", "message": "configuration", "warning": warning})
    if settings is None:
        return None
    return OtlpExporter(settings, lasting.environment, lasting.transport, lasting.clock, lasting.emit)


def _surface(lasting: Lasting, served: Routes, admissions: Admissions) -> Routes:
    """The routes, with what only a table can give them: idempotent POSTs and usage."""
    store, clock = lasting.store, lasting.clock
    keeper = Idempotency(store, clock, lambda: uuid4().hex) if store else None
    return {
        **idempotent(served, keeper, lasting.emit, admissions.refuses),
        "/v1/usage": {"GET": ("usage", partial(_usage, lasting))},
    }


async def _usage(lasting: Lasting, exchange: Exchange) -> None:
    from pllm.edge.usage import UsageEndpoint  # for people, who ask now and then
    from pllm.state.usage_reader import UsageReader

    store, clock = lasting.store, lasting.clock
    await UsageEndpoint(UsageReader(store, clock) if store else None, clock)(exchange)


def _count(lasting: Lasting, record: RequestRecord) -> None:
    """A request that is over."""
    if lasting.counters:
        lasting.counters.add(record)
    if lasting.ledger:
        lasting.ledger.add(record)


async def _settle(lasting: Lasting, exporter: "OtlpExporter | None") -> None:
    """After a client's last byte: what was counted or is still owed goes to the table, as far as it is time, and spans to
    their collector."""
    work = [lasting.health.settle()]
    if lasting.counters:
        work.append(lasting.counters.settle())
    if lasting.gates:
        work.append(lasting.gates.flush())
    if lasting.ledger:
        work.append(lasting.ledger.settle())
    if exporter:
        work.append(exporter.flush())
    await asyncio.gather(*work)


def admin(environment: Mapping[str, str] = os.environ, emit: Emit = emit_to_stdout) -> App:
    """The control plane. Raises as `gateway` does."""
    from pllm.control_plane import control_plane  # FastAPI and what it needs: not for the data plane's cold start

    settings = Settings.of(environment)
    return control_plane(environment, read_models(settings.catalogue), SystemClock(), Log(emit, settings.namespace))


def rollup(environment: Mapping[str, str] = os.environ, emit: Emit = emit_to_stdout) -> "Handler":
    """The scheduled function. Raises RuntimeError where there is no table."""
    from pllm.rollup import handler  # for its function alone

    log = Log(emit, Settings.of(environment).namespace)
    return handler(environment, SystemClock(), log, replace(probe_outfit(environment, log), adopt=log.adopt))


def probe_outfit(environment: Mapping[str, str], emit: Emit) -> "Outfit":
    """What health probes are sent with."""
    from pllm.probe_setup import Outfit

    settings, registry = Settings.of(environment), Registry()
    models = lru_cache(1)(partial(read_models, settings.catalogue))
    endpoints = partial(_endpoints, registry, environment)
    return Outfit(environment, settings, SystemClock(), emit, registry, models, endpoints)


def read_models(front: str | None) -> ModelCatalogue:
    """The packaged catalogue, with an operator's own in front of it. Raises OSError and CatalogueError: prices that were
    meant to hold must not be missed silently."""
    packaged = catalogue.parse(Path(catalogue.__file__).with_name(catalogue.PACKAGED).read_bytes(), catalogue.PACKAGED)
    return catalogue.layered(catalogue.parse(Path(front).read_bytes(), front), packaged) if front else packaged


def _media_fetcher() -> "MediaFetcher":
    from pllm.providers.media import MediaFetcher  # for requests that name media by address

    return MediaFetcher()


def _pipeline(router: Router, catalogue: Catalogue, lasting: Lasting, admissions: Admissions) -> Pipeline:
    upstreams = Upstreams(
        endpoints=lasting.endpoints,
        transport=lasting.transport,
        clock=lasting.clock,
        health=lasting.health,
        attempt_timeout_s=router.attempt_timeout or float("inf"),
        drop_unsupported=router.drop_unsupported,
        repair_history=router.repair_history,
    )
    policy = RoutingPolicy.of(router)
    return Pipeline(catalogue, upstreams, SystemRandom(), lasting.rota, policy, _media_fetcher, admissions)


def _health(store: GuardedStore | None, clock: Clock, settings: Settings, emit: Emit) -> Health:
    """The fleet's health; where there is no table, this environment is the fleet."""
    return Health(
        store or MemoryStore(),
        clock,
        SystemRandom(),
        BreakerPolicy(),
        name=uuid4().hex[:12],
        degraded=lambda: store is not None and store.degraded,
        notify=partial(emit_move, emit, settings.function, clock),
        flush_s=settings.flush_s,
    )


def _endpoints(
    registry: Registry, environment: Mapping[str, str], transport: AiohttpTransport, aws: AwsCredentialSource, clock: Clock
) -> dict[str, Endpoint]:
    google = GoogleCredentials(environment, clock, transport.simple, partial(_sign_for_google, aws, environment, clock))
    special: dict[str, Provider] = {
        "azure": AzureProvider(),
        "bedrock": BedrockProvider(aws, clock, environment),
        "vertex": VertexProvider(google, environment),
        "gemini": GeminiApiProvider(),
    }
    return {row.name: Endpoint(special.get(row.kind) or _keyed(row, environment), row) for row in registry.rows}


def _keyed(row: ProviderRow, environment: Mapping[str, str]) -> Provider:
    return CohereProvider(row) if row.kind == "cohere" else KeyedProvider(row, environment)


async def _sign_for_google(
    aws: AwsCredentialSource,
    environment: Mapping[str, str],
    clock: Clock,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
) -> dict[str, str]:
    """Workload identity federation: Google believes a signed AWS request that says who the function is."""
    scope = Scope(Settings.of(environment).region, "sts")
    return sign(method, url, headers, body, credentials=await aws.get(), scope=scope, now_s=clock.wall_s())


def _store(settings: Settings, clock: Clock) -> GuardedStore | None:
    """The table, where the function has one. It is connected to when it is first needed, and left alone while it fails."""
    if settings.table is None:
        return None
    table = DynamoStore(partial(connect, settings.region, settings.dynamodb_endpoint), settings.table)
    return GuardedStore(table, clock, SystemRandom())


def _missing(master_key: str | None, models: int) -> tuple[str, ...]:
    """What /ready names. It is read by strangers: it says what kind of thing is missing and nothing about the rest."""
    missing = [] if master_key else ["a master key"]
    return tuple(missing + ([] if models else ["a usable model: no provider credential was found"]))
