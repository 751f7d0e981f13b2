"""The admission of a request that something limits: what it holds of its caller's limits and of its deployments'.

Each further attempt asks its own deployment's limits and, where one before it or beside it may be billed, the caller's again:
tokens and money enough for all of them are held before it starts.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from pllm.admission import Admission
from pllm.core.allowances import limits_of_deployment
from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError
from pllm.core.limit_answers import Denial
from pllm.core.limits import GateLimits, Reservation, Spent
from pllm.core.record import Abandoned, RequestRecord
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket

_Held = tuple[Ticket, Reservation]


class Holding(Admission):
    """One request's holds. Not for two tasks at once, but for a second deployment that is entered beside a running attempt;
    whoever gives up waiting for `enter` holds nothing by it. `record` tells what attempts that were given up have used."""

    def __init__(self, gates: Gates, scopes: tuple[GateLimits, ...], need: Reservation, record: RequestRecord) -> None:
        self._gates = gates
        self._scopes = scopes
        self._need = need
        self._record = record
        self._caller: Ticket | None = None
        self._more: list[_Held] = []
        self._places: dict[str, list[_Held]] = {}
        self._opened = False
        self._degraded = False

    @property
    def headers(self) -> dict[str, str]:
        return self._caller.headers() if self._caller is not None else {}

    @property
    def degraded(self) -> bool:
        return self._degraded

    async def enter(self, deployment: Deployment, *, beside: bool = False) -> GatewayError | None:
        limits = limits_of_deployment(deployment)
        if self._opened:
            more = self._missing(beside=beside)
            caller, place = await self._gates.admit_again(self._scopes, more, limits, self._need)
            if isinstance(caller, Denial):
                raise self._refused_again(caller)
            self._more.append((caller, more))
        else:
            self._opened = True
            caller, place = await self._gates.admit_first(self._scopes, limits, self._need)
            if isinstance(caller, Denial):
                raise caller.refused()
            self._caller = caller
        self._degraded |= caller.degraded
        return None if place is None else self._kept(deployment, place)

    async def enter_alone(self) -> None:
        caller = await self._gates.admit(self._scopes, self._need)
        if isinstance(caller, Denial):
            raise caller.refused()
        self._caller = caller
        self._degraded |= caller.degraded

    async def close(self, record: RequestRecord, failure: BaseException | None = None) -> None:
        caller, self._caller = self._caller, None
        holds = [(caller, self._need)] if caller is not None else []
        holds, self._more = [*holds, *self._more], []
        places, self._places = self._places, {}
        if failure is not None and record.attempts == 0:  # nothing was sent to anybody
            await self._gates.cancel_all(ticket for ticket, _ in chain(holds, *places.values()))
            return
        charges = self._charges(record, failure)
        shares = list(_shares(_sum(spent for _, spent in charges), holds))
        for deployment, held_there in places.items():
            shares += _shares(_sum(spent for name, spent in charges if name == deployment), held_there)
        await self._gates.settle_all(shares)

    def _kept(self, deployment: Deployment, place: Ticket | Denial) -> GatewayError | None:
        if isinstance(place, Denial):
            return place.refused()
        self._places.setdefault(deployment.id, []).append((place, self._need))
        self._degraded |= place.degraded
        return None

    def _missing(self, *, beside: bool) -> Reservation:
        """What all attempts may come to, beyond what is held. Of two at once each may cost a whole one."""
        used = _sum(self._used(one) for one in self._record.abandoned)
        tokens = used.tokens + beside * self._need.tokens - sum(more.tokens for _, more in self._more)
        micro_usd = used.micro_usd + beside * self._need.micro_usd - sum(more.micro_usd for _, more in self._more)
        return Reservation(max(tokens, 0), max(micro_usd, 0))

    def _refused_again(self, denial: Denial) -> GatewayError:
        error = denial.refused()
        before = " and ".join(dict.fromkeys(one.deployment for one in self._record.abandoned))
        error.message += f" It was to be tried once more: {before} gave no answer and may be billed for it all the same."
        return error

    def _charges(self, record: RequestRecord, failure: BaseException | None) -> list[tuple[str, Spent]]:
        """By deployment, for each attempt that may be billed. An answer whose provider did not say what it used is charged what
        was set aside: of two wrong figures, the one that lets nobody overshoot. A refusal costs nothing."""
        charges = [(one.deployment, self._used(one)) for one in record.abandoned]
        if record.used is not None or failure is not None:
            return [*charges, (record.deployment, self._used(record))]
        return [*charges, (record.deployment, Spent(self._need.tokens, self._need.micro_usd))]

    def _used(self, attempt: RequestRecord | Abandoned) -> Spent:
        if attempt.used is None:
            return Spent(0, 0)
        cost = attempt.cost_micro_usd
        return Spent(attempt.prompt_tokens + attempt.completion_tokens, self._need.micro_usd if cost is None else cost)


def _sum(charges: Iterable[Spent]) -> Spent:
    total = Spent(0, 0)
    for one in charges:
        total = Spent(total.tokens + one.tokens, total.micro_usd + one.micro_usd)
    return total


def _shares(total: Spent, holds: Sequence[_Held]) -> Iterator[tuple[Ticket, Spent]]:
    """What each hold on the same gates is charged: as much as it holds, the first ones first. What is beyond them all is the
    first one's: a further hold is kept by those gates only that more was needed of, and may be kept by none."""
    beyond = total
    shares: list[Spent] = []
    for _, held in holds:
        shares.append(Spent(min(beyond.tokens, held.tokens), min(beyond.micro_usd, held.micro_usd)))
        beyond = Spent(beyond.tokens - shares[-1].tokens, beyond.micro_usd - shares[-1].micro_usd)
    for number, ((ticket, _), share) in enumerate(zip(holds, shares, strict=True)):
        yield ticket, _sum((share, beyond)) if number == 0 else share
