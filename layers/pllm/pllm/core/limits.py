"""What may be used and what is: limits, reservations and the three clocks that limits run by. Values only.

Three labels say which part of time an amount belongs to, and each only moves forward:
- window: the minute since the epoch. Requests and tokens are counted in it.
- generation: 16 minutes. What a request holds (money, a parallel call) is filed under the generation it was taken in, so
  that what a crashed request held is known to be dead two generations later.
- period: the minute at which a budget's day, week or month began; 0 for a budget that never starts anew.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Literal

Period = Literal["day", "week", "month", "total"]

WINDOW_S = 60
GENERATION_S = 16 * 60
"""Longer than any request can live (15 minutes on Lambda) by a minute for clocks that differ: a live request's hold is
then never taken for a dead one's."""


class LimitKind(StrEnum):
    """What a gate refused for."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    PARALLEL = "parallel"
    BUDGET = "budget"
    REVOKED = "revoked"
    STATE = "state"
    """Nothing was refused: the table could not be asked, and the limit says that nothing passes then."""


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """Money that may be spent in a period. `zone` is the IANA name of the zone in which periods begin."""

    micro_usd: int
    period: Period = "month"
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Everything that limits one scope; None is not limited. `sliding`: the minute before weighs in.
    `version` orders configurations: limits of a lower one never replace those of a higher one."""

    scope: str
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    budget: BudgetLimit | None = None
    sliding: bool = False
    version: int = 0

    @property
    def limited(self) -> bool:
        return not (self.rpm is None and self.tpm is None and self.max_parallel is None and self.budget is None)

    def concerns(self, need: "Reservation") -> bool:
        """Whether anything here limits such a request."""
        if need.further:
            return (self.tpm is not None and need.tokens > 0) or (self.budget is not None and need.micro_usd > 0)
        return self.rpm is not None if need.only_counted else self.limited


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that one request can use. `unpriced`: a price it needs is not known, so `micro_usd` is no upper bound.
    `only_counted`: it is one request of its minute and nothing else, so that tokens, money and calls in flight are neither
    taken nor looked at. `further`: it adds tokens and money to what a request that is in holds already, and counts as no
    other request and no other call in flight."""

    tokens: int
    micro_usd: int
    unpriced: bool = False
    only_counted: bool = False
    further: bool = False


ONLY_COUNTED = Reservation(0, 0, only_counted=True)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a request used in the end. Tokens count prompt and answer together."""

    tokens: int
    micro_usd: int


def key_scope(key_id: str) -> str:
    return f"key/{key_id}"


def team_scope(team_id: str) -> str:
    return f"team/{team_id}"


def model_scope(model: str) -> str:
    return f"model/{model}"


def deployment_scope(deployment_id: str) -> str:
    return f"dep/{deployment_id}"


# --- Time ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Epochs:
    """The three labels of one moment, as a gate sees it."""

    window: int
    generation: int
    period: int


def epochs(limits: GateLimits, now_s: float) -> Epochs:
    """The labels by one's own clock. `now_s` is seconds since the epoch."""
    period = period_start_s(limits.budget, now_s) // WINDOW_S if limits.budget else 0
    return Epochs(int(now_s // WINDOW_S), int(now_s // GENERATION_S), period)


def period_start_s(budget: BudgetLimit, now_s: float) -> int:
    """When the current period began, in seconds since the epoch; 0 for one that never starts anew."""
    if budget.period == "total":
        return 0
    zone = _zone(budget.zone)
    return _midnight(_first_day(budget.period, datetime.fromtimestamp(now_s, zone).date()), zone)


def period_end_s(budget: BudgetLimit, now_s: float) -> int | None:
    """When the next period begins, in seconds since the epoch; None for one that never starts anew."""
    if budget.period == "total":
        return None
    zone = _zone(budget.zone)
    return _midnight(_next_day(budget.period, _first_day(budget.period, datetime.fromtimestamp(now_s, zone).date())), zone)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # only budgets in a zone of their own pay for the import

    return ZoneInfo(name)


def _first_day(period: Period, day: date) -> date:
    match period:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case _:
            return day


def _next_day(period: Period, first: date) -> date:
    match period:
        case "week":
            return first + timedelta(days=7)
        case "month":
            return (first + timedelta(days=32)).replace(day=1)
        case _:
            return first + timedelta(days=1)


def _midnight(day: date, zone: tzinfo) -> int:
    """Where the zone's clocks jump over midnight, the moment at which they jump."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
