"""A gate before a gateway: limits and budgets of one model, in a memory store."""

from random import Random
from typing import Any

from pllm.admission import Admissions
from pllm.core.allowances import Allowances
from pllm.core.clock import ManualClock
from pllm.core.config.policies import Budget, Budgets, Limit, Limits
from pllm.state.gate import Gates
from pllm.state.memory import MemoryStore


class Limited:
    """Admissions over a memory store whose clock the test owns."""

    def __init__(self, limit: Limit | None = None, budget: Budget | None = None) -> None:
        self.store = MemoryStore()
        self.clock = ManualClock(1_800_000_000.0)
        self.gates = Gates(self.store, self.clock, Random(1))
        limits = Limits(models={"m": limit} if limit else {})
        budgets = Budgets(models={"m": budget} if budget else {})
        self.allowances = Allowances(limits, budgets)
        self.admissions = Admissions(lambda: self.gates, self.allowances)

    async def left(self) -> Any:
        return await self.gates.look(self.allowances.of_model("m"))
