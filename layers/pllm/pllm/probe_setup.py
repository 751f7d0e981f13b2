"""Builds one run of health probes: with the configuration that holds now, and the keys as they are now."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from uuid import uuid4

from pllm.attempt import Upstreams
from pllm.call import Endpoint
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.catalogue import ModelCatalogue
from pllm.core.clock import Clock
from pllm.core.config import CompiledConfig, resolve
from pllm.core.config.schema import Config
from pllm.probing import Prober
from pllm.providers.aws_credentials import AwsCredentialSource
from pllm.providers.deployments import build
from pllm.providers.registry import Registry
from pllm.providers.transport import AiohttpTransport
from pllm.startup import Settings, Start
from pllm.state.config_version import decode_body
from pllm.state.counters import Counters
from pllm.state.fleet_reader import FleetReader
from pllm.state.health import Health
from pllm.state.store import StateError, Store
from pllm.telemetry.breaker_line import emit_move
from pllm.telemetry.log import Emit


@dataclass(frozen=True, slots=True)
class Outfit:
    """What probes are sent with. `models`: the catalogue, read when first needed. `endpoints` makes the providers for a
    transport, whose connections belong to one event loop. `adopt` is told of the configured level of the log."""

    environment: Mapping[str, str]
    settings: Settings
    clock: Clock
    emit: Emit
    registry: Registry
    models: Callable[[], ModelCatalogue]
    endpoints: Callable[[AiohttpTransport, AwsCredentialSource, Clock], Mapping[str, Endpoint]]
    adopt: Callable[[str], None] = lambda level: None

    @asynccontextmanager
    async def prober(self, compiled: CompiledConfig, variables: Mapping[str, str], store: Store) -> AsyncIterator[Prober]:
        """Raises ConfigError where a variable is missing that must be there."""
        config = resolve(compiled.config, variables.get, compiled.source).config
        self.adopt(config.logging.level)
        today = time.strftime("%Y-%m-%d", time.gmtime(self.clock.wall_s()))
        built = build(config, self.registry, variables, partial(self.models().profile_of, today=today))
        transport = AiohttpTransport(self.clock)
        try:
            yield Prober(
                built.catalogue,
                config.router.health_probes,
                self._upstreams(config, transport, store),
                FleetReader(store, self.clock),
                Counters(store, self.clock, lambda: "probes"),
                self.emit,
                self.settings.function,
            )
        finally:
            await transport.close()

    def _upstreams(self, config: Config, transport: AiohttpTransport, store: Store) -> Upstreams:
        aws = AwsCredentialSource(self.environment, self.clock, transport.simple)
        return Upstreams(
            endpoints=self.endpoints(transport, aws, self.clock),
            transport=transport,
            clock=self.clock,
            health=self._health(config, store),
            attempt_timeout_s=config.router.health_probes.timeout,
            drop_unsupported=True,
        )

    def _health(self, config: Config, store: Store) -> Health:
        notify = partial(emit_move, self.emit, self.settings.function, self.clock)
        policy = BreakerPolicy.of(config.router)
        return Health(store, self.clock, SystemRandom(), policy, name=uuid4().hex[:12], notify=notify)


def holding(start: Start) -> CompiledConfig:
    """The configuration that the data plane answers by. Raises StateError when the table cannot be asked which one that is,
    and ConfigError when it cannot be used here."""
    first = start.first
    if first.pointer is None:
        raise StateError(first.trouble, sent=False)
    version = first.pointer.version
    return decode_body(first.body, version) if version else start.deployed
