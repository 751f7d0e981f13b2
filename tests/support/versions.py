"""Versions of a configuration over a store, without waiting between tries."""

from secrets import token_bytes

from pllm.core.clock import Clock, ManualClock
from pllm.state.changes import Changes
from pllm.state.config_history import ConfigHistory
from pllm.state.store import TransactionalStore


def history_of(store: TransactionalStore, clock: Clock | None = None) -> ConfigHistory:
    clock = clock or ManualClock(1_700_000_000.5)
    return ConfigHistory(store, clock, Changes(store, clock, token_bytes, _no_nap))


async def _no_nap(seconds: float) -> None:
    return None
