"""What a configuration limits, and the gates that keep it. Gates are loaded for who has limits: a twentieth of a cold start."""

from collections.abc import Callable
from functools import cache, partial
from random import SystemRandom
from typing import TYPE_CHECKING

from pllm.admission import Admissions
from pllm.core.allowances import Allowances
from pllm.core.clock import Clock
from pllm.core.config.model_entry import ModelEntry
from pllm.core.config.policies import Budgets, Limits
from pllm.core.config.schema import Config
from pllm.state.gate_set import GateSet
from pllm.state.guard import GuardedStore
from pllm.telemetry.log import Emit

if TYPE_CHECKING:
    from pllm.state.gate import GateEvent, Gates
    from pllm.state.gate_outage import GatePolicy


def gate_set(store: GuardedStore, clock: Clock, tell: "Callable[[GateEvent], None]") -> GateSet:
    """The gates of an environment; none are made yet."""

    def made(policy: "GatePolicy") -> "Gates":
        from pllm.state.gate import Gates

        return Gates(store, clock, SystemRandom(), policy, tell)

    return GateSet(made)


def admissions_of(config: Config, order: int, gates: GateSet | None, emit: Emit) -> Admissions:
    """`order` as of Allowances.version. Limits are kept in the table; without one (`gates` is None) they cannot be, and that is
    said rather than passed over."""
    allowances = Allowances(config.limits, config.budgets, order)
    if gates is None:
        if _limits_something(config):
            warning = "limits and budgets are configured, and there is no table (PLLM_TABLE) to keep them in: they do not hold"
            emit({"level": "WARN", "message": "configuration", "warning": warning})
        return Admissions(None, allowances)
    made = cache(partial(_gates_of, gates, config))
    if _limits_something(config):
        made()  # while the CPU is whole; where nothing is limited but a key in the table, its first request makes them
    return Admissions(made, allowances)


def _gates_of(gates: GateSet, config: Config) -> "Gates":
    from pllm.state.gate_outage import GatePolicy

    return gates.of(GatePolicy.of(config.limits, config.budgets))


def _limits_something(config: Config) -> bool:
    return config.limits != Limits() or config.budgets != Budgets() or any(map(_limited, config.model_list))


def _limited(entry: ModelEntry) -> bool:
    return not (entry.rpm is None and entry.tpm is None and entry.max_parallel is None)
