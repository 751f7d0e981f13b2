"""Builds the scheduled function: it makes hours and days of the usage that the data plane has written, and, where the template
switches them on, the health probes. The event says which."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from pllm.core.clock import Clock
from pllm.probe_setup import Outfit, holding
from pllm.startup import Settings, begin
from pllm.state.store import Store
from pllm.state.table import DynamoStore, connect
from pllm.state.usage_rollup import RollUp
from pllm.telemetry.log import Emit

Handler = Callable[[Mapping[str, Any], object], dict[str, int]]

PROBES = "health-probes"
"""`job` of the event that asks for health probes. An event without a job asks for the roll-up, which does what is due."""

# Nobody waits: pages of rows may take their time.
_READ_TIMEOUT_S = 5.0
# Less than the five minutes until the next run.
_PROBES_S = 240.0
_RESERVE_S = 10.0


def handler(environment: Mapping[str, str], clock: Clock, emit: Emit, outfit: Outfit) -> Handler:
    """`handler(event, context)`; it gives what it has made. Raises StateError when the table cannot be asked: the platform
    tries again, and the next run does the rest; ValueError for a job that there is not."""
    settings = Settings.of(environment)
    if settings.table is None:
        raise RuntimeError("PLLM_TABLE is not set: there is no usage to roll up")
    client = partial(connect, settings.region, settings.dynamodb_endpoint, read_timeout_s=_READ_TIMEOUT_S)
    store = DynamoStore(client, settings.table)

    def handle(event: Mapping[str, Any], context: object) -> dict[str, int]:
        job = event.get("job")
        if job == PROBES:
            return _probes(outfit, store, context)
        if job is not None:
            raise ValueError(f"there is no job {job!r}: {PROBES!r}, or none for the roll-up")
        return asdict(asyncio.run(RollUp(store, clock, emit).run()))

    return handle


def _probes(outfit: Outfit, store: Store, context: object) -> dict[str, int]:
    """Raises ConfigError and GatewayError too, when the configuration or the secret cannot be had: what cannot be known is
    not guessed."""
    start = begin(outfit.environment, outfit.settings, outfit.clock)
    remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
    left_s = _PROBES_S if remaining_ms is None else remaining_ms() / 1000 - _RESERVE_S

    async def run() -> dict[str, int]:
        async with outfit.prober(holding(start), start.variables, store) as prober:
            return await prober.run(min(_PROBES_S, left_s))

    return asyncio.run(run())
