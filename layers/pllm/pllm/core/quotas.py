"""Where a scope stands, in the terms of those who set its limits: how much there is, how much is used, and until when."""

from dataclasses import dataclass

from pllm.core.limit_image import GateImage, current_epochs, spare
from pllm.core.limits import WINDOW_S, GateLimits, period_end_s


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit. `reserved` is held by requests that still run, and comes back as far as they do not use it. `resets_at_s`:
    when it starts anew, None where it never does."""

    limit: int
    used: int
    reserved: int = 0
    resets_at_s: int | None = None

    @property
    def remaining(self) -> int:
        """What a request may still take; nothing where more was used than there was."""
        return max(self.limit - self.used - self.reserved, 0)

    @property
    def percent(self) -> float:
        """How much of it is taken, to a tenth. Of nothing, everything is."""
        return round(100 * (self.used + self.reserved) / self.limit, 1) if self.limit else 100.0


@dataclass(frozen=True, slots=True)
class Quotas:
    """All limits of one scope; None is not limited. Requests and tokens are of this minute, calls in flight of this moment,
    money (micro-dollars) of the budget's period."""

    requests: Quota | None = None
    tokens: Quota | None = None
    parallel: Quota | None = None
    budget: Quota | None = None
    revoked: bool = False


def quotas(limits: GateLimits, image: GateImage | None, now_s: float) -> Quotas:
    """`image`: the gate, rolled to the present; None where nobody used it yet. Limits that the gate was not told of yet are
    shown as they will be: what was used stays used."""
    seen = image or GateImage(0, 0, 0)
    requests_left, tokens_left = spare(seen, limits, now_s)
    window_end_s = (current_epochs(limits, now_s, image).window + 1) * WINDOW_S
    return Quotas(
        requests=_of_a_minute(limits.rpm, seen.requests_limit, requests_left, window_end_s),
        tokens=_of_a_minute(limits.tpm, seen.tokens_limit, tokens_left, window_end_s),
        parallel=None if limits.max_parallel is None else Quota(limits.max_parallel, seen.parallel),
        budget=_budget(limits, seen, now_s),
        revoked=seen.revoked,
    )


def _of_a_minute(limit: int | None, known: int | None, left: int, resets_at_s: int) -> Quota | None:
    if limit is None:
        return None
    return Quota(limit, 0 if known is None else known - left, resets_at_s=resets_at_s)


def _budget(limits: GateLimits, seen: GateImage, now_s: float) -> Quota | None:
    budget = limits.budget
    if budget is None:
        return None
    used = 0 if seen.budget_limit is None else seen.budget_limit - seen.budget_left - seen.held
    return Quota(budget.micro_usd, used, seen.held, period_end_s(budget, now_s))
