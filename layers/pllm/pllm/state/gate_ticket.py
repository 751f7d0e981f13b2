"""A ticket: the only way to hold an admission. It is settled or cancelled, once, and then worth nothing."""

from dataclasses import dataclass

from pllm.core.limit_answers import Standing, rate_headers
from pllm.core.limits import Epochs


@dataclass(frozen=True, slots=True)
class Hold:
    """What one scope's gate took for a request, and under which labels. None: that dimension was not limited.

    `certain` is False where the gate may not have taken it (the table did not answer and the limit lets pass then): it is
    charged in the end, but gives nothing back. `leased`: it came out of a lease of this environment. `further`: it adds to
    another hold of the same request.
    """

    scope: str
    at: Epochs
    requests: int | None = None
    tokens: int | None = None
    micro_usd: int | None = None
    slot: bool = False
    certain: bool = True
    leased: bool = False
    further: bool = False


@dataclass(frozen=True, slots=True)
class Ticket:
    """An admission by every scope of `holds`. `standings`: where each stood then. `degraded`: some gate was not asked."""

    id: int
    holds: tuple[Hold, ...] = ()
    standings: tuple[Standing, ...] = ()
    degraded: bool = False

    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` of the scope with least left, as it stood at admission."""
        return rate_headers(self.standings)
