"""The admission of a request that something limits: what it holds of its caller's limits and of its deployments'."""

import asyncio

from pllm.admission import Admission
from pllm.core.allowances import limits_of_deployment
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.limit_answers import Denial
from pllm.core.limits import GateLimits, Reservation, Spent
from pllm.core.record import RequestRecord
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket

_MAY_HAVE_WORKED = frozenset({ErrorKind.UPSTREAM_TIMEOUT, ErrorKind.STREAM_BROKEN})


class Holding(Admission):
    """One request's holds. Not for two tasks at once, but for a second deployment that is entered beside a running attempt;
    whoever gives up waiting for `enter` holds nothing by it."""

    def __init__(self, gates: Gates, scopes: tuple[GateLimits, ...], need: Reservation) -> None:
        self._gates = gates
        self._scopes = scopes
        self._need = need
        self._caller: Ticket | None = None
        self._places: list[Ticket] = []
        self._opened = False
        self._degraded = False

    @property
    def headers(self) -> dict[str, str]:
        return self._caller.headers() if self._caller is not None else {}

    @property
    def degraded(self) -> bool:
        return self._degraded

    async def enter(self, deployment: Deployment) -> GatewayError | None:
        limits = limits_of_deployment(deployment)
        if self._opened:
            return self._kept(await self._gates.admit([limits], self._need))
        self._opened = True
        caller, place = await self._gates.admit_first(self._scopes, limits, self._need)
        if isinstance(caller, Denial):
            raise caller.refused()
        self._caller = caller
        self._degraded |= caller.degraded
        return None if place is None else self._kept(place)

    async def enter_alone(self) -> None:
        caller = await self._gates.admit(self._scopes, self._need)
        if isinstance(caller, Denial):
            raise caller.refused()
        self._caller = caller
        self._degraded |= caller.degraded

    async def close(self, record: RequestRecord, failure: BaseException | None = None) -> None:
        caller, self._caller = self._caller, None
        tickets = [*self._places, *([caller] if caller is not None else [])]
        self._places = []
        if failure is not None and record.attempts == 0:  # nothing was sent to anybody
            await asyncio.gather(*(self._gates.cancel(ticket) for ticket in tickets))
        else:
            spent = self._spent(record, failure)
            await asyncio.gather(*(self._gates.settle(ticket, spent) for ticket in tickets))

    def _kept(self, place: Ticket | Denial) -> GatewayError | None:
        if isinstance(place, Denial):
            return place.refused()
        self._places.append(place)
        self._degraded |= place.degraded
        return None

    def _spent(self, record: RequestRecord, failure: BaseException | None) -> Spent:
        """What the provider said. Where it may have worked without saying what it used (the answer broke, or never came), what
        was set aside is charged: of two wrong figures, the one that lets nobody overshoot. A refusal costs nothing."""
        tokens = record.prompt_tokens + record.completion_tokens
        if tokens or record.cost_micro_usd is not None:
            cost = record.cost_micro_usd
            return Spent(tokens, self._need.micro_usd if cost is None else cost)
        if isinstance(failure, GatewayError) and failure.kind not in _MAY_HAVE_WORKED:
            return Spent(0, 0)
        return Spent(self._need.tokens, self._need.micro_usd)
