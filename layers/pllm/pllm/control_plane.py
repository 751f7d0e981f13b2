"""Builds the control plane. Imported by its function alone: FastAPI is not for the data plane's cold start."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from secrets import token_bytes
from uuid import uuid4

from pllm.admin.app import admin_app
from pllm.admin.services import AdminServices, ConfigDesk, Kept, LimitDesk, Outlook, Running, Scope
from pllm.core.allowances import Allowances
from pllm.core.catalogue import ModelCatalogue
from pllm.core.clock import Clock
from pllm.core.config import CompiledConfig, ConfigProblem, resolve
from pllm.core.config.schema import Config
from pllm.core.principal import Principal
from pllm.core.record import RequestRecord
from pllm.core.secret import Secret
from pllm.edge.auth import Authenticator
from pllm.edge.http import HttpRequest, Message
from pllm.identity import Known, authenticator
from pllm.live import App, LiveGateway, Parts
from pllm.providers.aws_credentials import AwsCredentialSource
from pllm.providers.deployments import ProfileOf, build
from pllm.providers.outlook import left_out, mixes, outlook
from pllm.providers.registry import Registry
from pllm.providers.transport import AiohttpTransport
from pllm.startup import Outside, Settings, begin
from pllm.state.audit import AuditLog
from pllm.state.breaker_desk import BreakerDesk
from pllm.state.changes import Changes
from pllm.state.config_history import ConfigHistory
from pllm.state.config_version import Pointer
from pllm.state.fleet_reader import FleetReader
from pllm.state.gate import Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.health import Notify
from pllm.state.key_reader import KeyReader
from pllm.state.keys import Keys, KeyTools
from pllm.state.store import TransactionalStore
from pllm.state.table import DynamoStore, connect
from pllm.state.teams import Teams
from pllm.state.usage_reader import UsageReader
from pllm.telemetry.breaker_line import emit_move
from pllm.telemetry.log import Emit
from pllm.telemetry.tracing import Tracing

# An administrator waits rather than not know whether a change was made.
_READ_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class LastingAdmin:
    """What an environment keeps while configurations come and go."""

    clock: Clock
    emit: Emit
    registry: Registry
    models: ModelCatalogue
    store: DynamoStore | None
    kept: Kept | None
    known: Known
    configs: ConfigDesk | None
    outlook: Outlook
    breakers: BreakerDesk | None
    tracing: Tracing


def control_plane(environment: Mapping[str, str], models: ModelCatalogue, clock: Clock, emit: Emit) -> App:
    """Raises ConfigError, OSError and GatewayError, as the data plane does."""
    settings = Settings.of(environment)
    start = begin(environment, settings, clock)
    transport = AiohttpTransport(clock)
    store = _store(settings)
    reader = KeyReader(store, clock, SystemRandom()) if store is not None else None
    credentials = AwsCredentialSource(environment, clock, transport.simple)
    outside = Outside(environment, settings, clock, transport.simple, credentials)
    registry = Registry()
    lasting = LastingAdmin(
        clock,
        emit,
        registry,
        models,
        store,
        kept(store, clock, emit) if store is not None else None,
        Known(reader, transport.simple, clock, emit),
        configs(store, clock, start.deployed) if store is not None else None,
        partial(_outlook, outside, registry, partial(models.profile_of, today=_today(clock))),
        breakers(store, clock, partial(emit_move, emit, settings.function, clock)) if store is not None else None,
        Tracing(SystemRandom().getrandbits, clock, partial(environment.get, "_X_AMZN_TRACE_ID"), propagate=False),
    )
    if store is None:
        return application(lasting, start.deployed, start.variables, Pointer())
    parts = Parts(start.deployed, partial(application, lasting), outside.variables, store, clock, emit, partial(_renew, reader))
    return LiveGateway(parts, start.variables, start.first)


async def _renew(reader: KeyReader | None) -> None:
    if reader is not None:
        reader.renew()


def application(lasting: LastingAdmin, compiled: CompiledConfig, variables: Mapping[str, str], pointer: Pointer) -> App:
    """The control plane of one configuration and the pointer to it. Raises ConfigError."""
    resolved = resolve(compiled.config, variables.get, compiled.source)
    config = resolved.config
    built = build(config, lasting.registry, variables, partial(lasting.models.profile_of, today=_today(lasting.clock)))
    master_key = config.auth.master_key or variables.get("PLLM_MASTER_KEY")
    token = config.auth.scrape_token
    services = AdminServices(
        authenticate=partial(_authenticate, authenticator(config, master_key, pointer.moves, lasting.known)),
        running=Running(
            config,
            built.catalogue,
            compiled.etag,
            compiled.source,
            pointer.version,
            (*compiled.warnings, *resolved.warnings, *left_out(config, built, compiled.source), *mixes(built, compiled.source)),
        ),
        clock=lasting.clock,
        new_id=lambda: uuid4().hex,
        emit=lasting.emit,
        outlook=lasting.outlook,
        kept=lasting.kept,
        scrape_token=Secret(token) if token else None,
        missing=() if master_key else ("a master key",),
        fleet=FleetReader(lasting.store, lasting.clock) if lasting.store is not None else None,
        usage=UsageReader(lasting.store, lasting.clock) if lasting.store is not None else None,
        configs=lasting.configs,
        breakers=lasting.breakers,
        note_trace=partial(_note_trace, lasting.tracing),
        limits=limits(lasting.store, lasting.clock, config, pointer.moves) if lasting.store is not None else None,
    )
    return admin_app(services)


def kept(store: TransactionalStore, clock: Clock, emit: Emit) -> Kept:
    """Keys, teams and their audit log in a table."""
    changes = Changes(store, clock, token_bytes)
    warn = partial(_warn, emit)
    keys = Keys(KeyTools(store, clock, changes, token_bytes, Gates(store, clock, SystemRandom()), warn))
    return Kept(keys, Teams(store, clock, changes), AuditLog(store))


def limits(store: TransactionalStore, clock: Clock, config: Config, order: int) -> LimitDesk:
    """The gates as the data plane of this configuration keeps them."""
    policy = GatePolicy.of(config.limits, config.budgets)
    return LimitDesk(Gates(store, clock, SystemRandom(), policy), Allowances(config.limits, config.budgets, order))


def configs(store: TransactionalStore, clock: Clock, deployed: CompiledConfig) -> ConfigDesk:
    """Versions of the configuration in a table."""
    return ConfigDesk(ConfigHistory(store, clock, Changes(store, clock, token_bytes)), deployed)


async def _outlook(
    outside: Outside, registry: Registry, profile_of: ProfileOf, config: Config, file: str
) -> tuple[ConfigProblem, ...]:
    variables = await outside.variables()
    return await asyncio.to_thread(outlook, config, variables, registry, file, profile_of)


def _today(clock: Clock) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(clock.wall_s()))


def breakers(store: TransactionalStore, clock: Clock, notify: Notify) -> BreakerDesk:
    """The fleet's breakers in a table."""
    return BreakerDesk(store, clock, Changes(store, clock, token_bytes), notify=notify)


def _warn(emit: Emit, words: str) -> None:
    emit({"level": "WARN", "message": "keys", "warning": words})


def _note_trace(tracing: Tracing, scope: Scope, record: RequestRecord) -> None:
    tracing.begin(HttpRequest(scope, _no_body), record)


async def _authenticate(authenticator: Authenticator, scope: Scope) -> Principal:
    return await authenticator.authenticate(HttpRequest(scope, _no_body))


async def _no_body() -> Message:
    raise RuntimeError("a credential is never in the body")


def _store(settings: Settings) -> DynamoStore | None:
    if settings.table is None:
        return None
    client = partial(connect, settings.region, settings.dynamodb_endpoint, read_timeout_s=_READ_TIMEOUT_S)
    return DynamoStore(client, settings.table)
