"""The gates of an environment as its configurations come and go: one `Gates` for each policy."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pllm.state.gate import Gates
    from pllm.state.gate_outage import GatePolicy


class GateSet:
    """A new configuration with a policy that there was before goes on with its leases and with what it owes. What a policy
    owes that is no longer in use is settled like the rest."""

    def __init__(self, make: "Callable[[GatePolicy], Gates]") -> None:
        self._make = make
        self._made: dict[GatePolicy, Gates] = {}

    def of(self, policy: "GatePolicy") -> "Gates":
        if policy not in self._made:
            self._made[policy] = self._make(policy)
        return self._made[policy]

    async def flush(self) -> None:
        """Writes what is due. For the end of an invocation."""
        await asyncio.gather(*(gates.flush() for gates in self._made.values()))
