"""Builds the scheduled function, which makes hours and days of the usage that the data plane has written."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from pllm.core.clock import Clock
from pllm.startup import Settings
from pllm.state.table import DynamoStore, connect
from pllm.state.usage_rollup import RollUp
from pllm.telemetry.log import Emit

Handler = Callable[[Mapping[str, Any], object], dict[str, int]]

# Nobody waits: pages of rows may take their time.
_READ_TIMEOUT_S = 5.0


def handler(environment: Mapping[str, str], clock: Clock, emit: Emit) -> Handler:
    """`handler(event, context)`; it gives what it has made. Whatever it is called with, it does what is due. Raises StateError
    when the table cannot be asked: the platform tries again, and the next hour's run does the rest."""
    settings = Settings.of(environment)
    if settings.table is None:
        raise RuntimeError("PLLM_TABLE is not set: there is no usage to roll up")
    client = partial(connect, settings.region, settings.dynamodb_endpoint, read_timeout_s=_READ_TIMEOUT_S)
    store = DynamoStore(client, settings.table)

    def handle(event: Mapping[str, Any], context: object) -> dict[str, int]:
        return asdict(asyncio.run(RollUp(store, clock, emit).run()))

    return handle
