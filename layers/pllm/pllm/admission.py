"""What a request may use: taken before its first attempt, given back, with what it really used, after its last byte.

`Admission.open` asks the caller's limits (key, team, model) and the first deployment's together, in one round trip; each
further attempt asks its own deployment's. However the request ends, `close` settles everything once.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from pllm.call import Call
from pllm.core.allowances import Allowances, limits_of_deployment
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.limit_answers import Denial
from pllm.core.limit_estimate import reserve
from pllm.core.limits import ONLY_COUNTED, GateLimits, Reservation, Spent
from pllm.core.record import RequestRecord
from pllm.estimating import most_of, size_of
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket

_NOTHING = Reservation(0, 0)
_MAY_HAVE_WORKED = frozenset({ErrorKind.UPSTREAM_TIMEOUT, ErrorKind.STREAM_BROKEN})


@dataclass(frozen=True)
class Admissions:
    """One for each configuration. `gates` is None where there is no table: then nothing can be limited, and a configuration
    that limits something has warned of it at start-up."""

    gates: Gates | None = None
    allowances: Allowances = field(default_factory=Allowances)

    def of(self, call: Call, possible: Iterable[Deployment]) -> "Admission":
        """For one call; `possible` is every deployment that may come to answer it. Raises a 400 where a budget holds and a
        price is not known: what cannot be bounded cannot be kept."""
        if self.gates is None:
            return Admission(None, (), _NOTHING)
        scopes = tuple(one for one in (*call.limits, self.allowances.of_model(call.model)) if one.limited)
        deployments = tuple(possible)
        if not scopes and not any(limits_of_deployment(one).limited for one in deployments):
            return Admission(self.gates, (), _NOTHING)
        needs = _needs(call, deployments)
        unpriced = [one.id for one, need in zip(deployments, needs, strict=True) if need.unpriced]
        if unpriced and any(one.budget is not None for one in scopes):
            raise _unpriced(call.model, unpriced)
        return Admission(self.gates, scopes, _most(needs))

    def refuses(self, limits: Iterable[GateLimits]) -> GatewayError | None:
        """What is known here to refuse any request of a caller with these limits, without asking the table."""
        known = self.gates.refusal(tuple(limits), ONLY_COUNTED) if self.gates is not None else None
        return None if known is None else _refused(known)

    def counted(self, call: Call) -> "Admission":
        """For a call that uses no model: one of its caller's requests, and nothing else."""
        return Admission(self.gates, call.limits, ONLY_COUNTED)


class Admission:
    """One request's holds. Not for two tasks at once, but for a second deployment that is entered beside a running attempt;
    whoever gives up waiting for `enter` holds nothing by it."""

    def __init__(self, gates: Gates | None, scopes: tuple[GateLimits, ...], need: Reservation) -> None:
        self._gates = gates
        self._scopes = scopes
        self._need = need
        self._caller: Ticket | None = None
        self._places: list[Ticket] = []
        self._opened = False
        self._degraded = False

    @property
    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` of the caller's tightest limit."""
        return self._caller.headers() if self._caller is not None else {}

    @property
    def degraded(self) -> bool:
        """Whether the table was not asked for some limit. Stays so when all is given back."""
        return self._degraded

    async def enter(self, deployment: Deployment) -> GatewayError | None:
        """None where this deployment has room, else what to tell the client if no other has. The first time the caller's own
        limits are asked too, and raise what refused."""
        if self._gates is None:
            return None
        limits = limits_of_deployment(deployment)
        if self._opened:
            return self._kept(await self._gates.admit([limits], self._need))
        self._opened = True
        caller, place = await self._gates.admit_first(self._scopes, limits, self._need)
        if isinstance(caller, Denial):
            raise _refused(caller)
        self._caller = caller
        self._degraded |= caller.degraded
        return None if place is None else self._kept(place)

    async def enter_alone(self) -> None:
        """Asks the caller's limits alone, for a call that no deployment is needed for. Raises what refused."""
        if self._gates is None:
            return
        caller = await self._gates.admit(self._scopes, self._need)
        if isinstance(caller, Denial):
            raise _refused(caller)
        self._caller = caller
        self._degraded |= caller.degraded

    async def close(self, record: RequestRecord, failure: BaseException | None = None) -> None:
        """Settles with what the record says was used, or, after a `failure` without any answer, with what that may have cost:
        nothing at all where nobody was asked. A second time does nothing."""
        if self._gates is None:
            return
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
            return _refused(place)
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


def _needs(call: Call, deployments: tuple[Deployment, ...]) -> list[Reservation]:
    """The most that each of them may use for this call."""
    size = size_of(call)
    return [reserve(most_of(call, size, one), one.profile.prices) for one in deployments]


def _most(needs: list[Reservation]) -> Reservation:
    return Reservation(
        max((one.tokens for one in needs), default=0),
        max((one.micro_usd for one in needs), default=0),
        unpriced=any(one.unpriced for one in needs),
    )


def _refused(denial: Denial) -> GatewayError:
    error = denial.error()
    error.headers = denial.headers()
    return error


def _unpriced(model: str, deployments: list[str]) -> GatewayError:
    """Names the deployments: the one without a price is often not of the model that was asked for, but of its fallback."""
    return GatewayError(
        ErrorKind.INVALID_REQUEST,
        f"A budget holds for this call, and cannot be kept: {model!r} may be answered by {', '.join(map(repr, deployments))}, "
        "whose price is not known. Set model_info.input_cost_per_token and output_cost_per_token there.",
        param="model",
        code="price_unknown",
    )
