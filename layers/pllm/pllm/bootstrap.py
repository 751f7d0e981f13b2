"""The only place that builds things: environment in, application out."""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom
from uuid import uuid4

from pllm.attempt import Upstreams
from pllm.core import catalogue
from pllm.core.breaker import BreakerPolicy
from pllm.core.catalogue import ModelCatalogue
from pllm.core.clock import Clock
from pllm.core.config import CompiledConfig, load_compiled, resolve
from pllm.core.config.schema import Config, Router
from pllm.core.plan import RoutingPolicy
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.edge.app import Edge, Gateway, routes
from pllm.edge.auth import Authenticator
from pllm.edge.generation import Generation
from pllm.edge.models import Models
from pllm.edge.responses import Responses
from pllm.identity import authenticator
from pllm.pipeline import Endpoint, Pipeline
from pllm.providers.aws_credentials import AwsCredentialSource
from pllm.providers.azure import AzureProvider
from pllm.providers.base import Provider
from pllm.providers.bedrock import BedrockProvider
from pllm.providers.deployments import build
from pllm.providers.google_credentials import GoogleCredentials
from pllm.providers.keyed import KeyedProvider
from pllm.providers.media import MediaFetcher
from pllm.providers.registry import Registry
from pllm.providers.secrets import fetch_secret
from pllm.providers.sigv4 import Scope, sign
from pllm.providers.transport import AiohttpTransport
from pllm.providers.vertex import GeminiApiProvider, VertexProvider
from pllm.state.answers import StoredAnswers
from pllm.state.guard import GuardedStore
from pllm.state.health import Health
from pllm.state.memory import MemoryStore
from pllm.state.table import DynamoStore, connect
from pllm.telemetry.breaker_line import emit_move
from pllm.telemetry.log import Emit, emit_to_stdout

PACKAGED_CONFIG = "/opt/config/config.json"
"""Where the config layer puts the compiled configuration."""

# The first key of every compiled file: telling it so spares a cold start a second parse.
_COMPILED = b'{"pllm_config"'


class SystemClock:
    """The machine's clocks."""

    def wall_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function's environment says. Every variable is described in docs/environment.md."""

    config: str = PACKAGED_CONFIG
    catalogue: str | None = None
    secret_arn: str | None = None
    table: str | None = None
    dynamodb_endpoint: str | None = None
    region: str = "us-east-1"
    function: str = "gateway"

    @staticmethod
    def of(environment: Mapping[str, str]) -> "Settings":
        return Settings(
            config=environment.get("PLLM_CONFIG") or PACKAGED_CONFIG,
            catalogue=environment.get("PLLM_CATALOGUE") or None,
            secret_arn=environment.get("PLLM_SECRET_ARN") or None,
            table=environment.get("PLLM_TABLE") or None,
            dynamodb_endpoint=environment.get("PLLM_DYNAMODB_ENDPOINT") or None,
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
            function=environment.get("AWS_LAMBDA_FUNCTION_NAME") or "gateway",
        )


def gateway(environment: Mapping[str, str] = os.environ, emit: Emit = emit_to_stdout) -> Gateway:
    """The data plane. Raises ConfigError, or GatewayError when the secret cannot be read: an environment that cannot know
    its keys must not come up half."""
    clock = SystemClock()
    settings = Settings.of(environment)
    variables = _variables(environment, settings, clock)
    compiled = read_config(settings.config)
    resolved = resolve(compiled.config, variables.get, settings.config)
    registry = Registry()
    models = read_models(settings.catalogue)
    today = time.strftime("%Y-%m-%d", time.gmtime(clock.wall_s()))
    built = build(resolved.config, registry, variables, lambda provider, model: models.profile_of(provider, model, today))
    for warning in (*compiled.warnings, *resolved.warnings, *built.notes):
        emit({"level": "WARN", "message": "configuration", "warning": str(warning)})
    store = _store(settings, clock)
    health = _health(resolved.config.router, store, clock, settings, emit)
    pipeline = _pipeline(resolved.config, built.catalogue, registry, environment, health, clock)
    master_key = resolved.config.auth.master_key or variables.get("PLLM_MASTER_KEY")
    answers = StoredAnswers(store) if store else None
    responses = Responses(Generation("responses", pipeline), answers, clock, emit)
    return Gateway(
        Edge(
            routes=routes(Models(built.catalogue, int(clock.wall_s())), pipeline, responses),
            authenticator=authenticator(resolved.config, master_key, store, clock, emit),
            clock=clock,
            new_id=lambda: uuid4().hex,
            emit=emit,
            function=settings.function,
            missing=_missing(master_key, len(built.catalogue.models)),
            settle=health.settle,
        )
    )


def admin(environment: Mapping[str, str] = os.environ, emit: Emit = emit_to_stdout) -> Gateway:
    """The control plane. It answers /health and /ready; everything else is refused until it is there."""
    clock = SystemClock()
    settings = Settings.of(environment)
    master_key = _variables(environment, settings, clock).get("PLLM_MASTER_KEY")
    only_master = Authenticator(Secret(master_key) if master_key else None)
    missing = () if master_key else ("a master key",)
    return Gateway(Edge({}, only_master, clock, lambda: uuid4().hex, emit, settings.function, missing))


def read_config(name: str) -> CompiledConfig:
    """A compiled configuration, or a YAML one compiled on the spot (laptops and tests: it costs a cold start its speed)."""
    data = Path(name).read_bytes()
    if data.startswith(_COMPILED):
        return load_compiled(data, name)
    from pllm.core.config import compile_config  # YAML and pydantic are not for the cold start
    from pllm.core.config.loader import load

    loaded = load(data.decode("utf-8-sig"), name)
    return load_compiled(compile_config(loaded.config, loaded.warnings, name), name)


def read_models(front: str | None) -> ModelCatalogue:
    """The packaged catalogue, with an operator's own in front of it. Raises OSError and CatalogueError: prices that were
    meant to hold must not be missed silently."""
    packaged = catalogue.parse(Path(catalogue.__file__).with_name(catalogue.PACKAGED).read_bytes(), catalogue.PACKAGED)
    return catalogue.layered(catalogue.parse(Path(front).read_bytes(), front), packaged) if front else packaged


def _pipeline(
    config: Config, catalogue: Catalogue, registry: Registry, environment: Mapping[str, str], health: Health, clock: Clock
) -> Pipeline:
    transport = AiohttpTransport(clock)
    random = SystemRandom()
    router = config.router
    upstreams = Upstreams(
        endpoints=_endpoints(registry, environment, transport, clock),
        transport=transport,
        clock=clock,
        health=health,
        attempt_timeout_s=router.attempt_timeout or float("inf"),
        drop_unsupported=router.drop_unsupported,
        repair_history=router.repair_history,
    )
    return Pipeline(catalogue, upstreams, random, Rota(random), RoutingPolicy.of(router), MediaFetcher())


def _health(router: Router, store: GuardedStore | None, clock: Clock, settings: Settings, emit: Emit) -> Health:
    """The fleet's health; where there is no table, this environment is the fleet."""
    return Health(
        store or MemoryStore(),
        clock,
        SystemRandom(),
        BreakerPolicy.of(router),
        name=uuid4().hex[:12],
        degraded=lambda: store is not None and store.degraded,
        notify=partial(emit_move, emit, settings.function, clock),
    )


def _endpoints(
    registry: Registry, environment: Mapping[str, str], transport: AiohttpTransport, clock: Clock
) -> dict[str, Endpoint]:
    aws = AwsCredentialSource(environment, clock, transport.simple)
    google = GoogleCredentials(environment, clock, transport.simple, partial(_sign_for_google, aws, environment, clock))
    special: dict[str, Provider] = {
        "azure": AzureProvider(),
        "bedrock": BedrockProvider(aws, clock, environment),
        "vertex": VertexProvider(google, environment),
        "gemini": GeminiApiProvider(),
    }
    return {row.name: Endpoint(special.get(row.kind) or KeyedProvider(row, environment), row) for row in registry.rows}


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


def _variables(environment: Mapping[str, str], settings: Settings, clock: Clock) -> Mapping[str, str]:
    """The environment over the secret: what an operator sets on the function wins."""
    if settings.secret_arn is None:
        return environment
    return asyncio.run(_secret(environment, settings, settings.secret_arn, clock)) | dict(environment)


async def _secret(environment: Mapping[str, str], settings: Settings, arn: str, clock: Clock) -> dict[str, str]:
    transport = AiohttpTransport(clock)  # of its own: connections belong to the loop that made them
    try:
        credentials = await AwsCredentialSource(environment, clock, transport.simple).get()
        return await fetch_secret(arn, settings.region, credentials, clock, transport.simple)
    finally:
        await transport.close()


def _missing(master_key: str | None, models: int) -> tuple[str, ...]:
    """What /ready names. It is read by strangers: it says what kind of thing is missing and nothing about the rest."""
    missing = [] if master_key else ["a master key"]
    return tuple(missing + ([] if models else ["a usable model: no provider credential was found"]))
