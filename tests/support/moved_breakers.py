"""Breakers as tests move them by hand."""

from pllm.core import breaker_moves as moves
from pllm.core.breaker import Asked, Breaker, moved
from pllm.core.breaker_policy import BreakerPolicy

POLICY = BreakerPolicy(min_failures=5, failure_ratio=0.5, cooldown_ms=30_000, max_cooldown_ms=100_000)
NOW = 1_000_000


def after(breaker: Breaker | None, asked: Asked) -> Breaker:
    """The breaker after a move that must be accepted."""
    changed = moved(breaker, asked)
    assert changed is not None
    return changed


def opened(generation: int = 0) -> Breaker:
    """One that tripped at NOW."""
    return after(Breaker(generation=generation), moves.trip(POLICY, generation, NOW, "upstream_error"))
