"""What a request may use: taken before its first attempt, given back, with what it really used, after its last byte.

`Admission.enter` asks the caller's limits (key, team, model) and the first deployment's together, in one round trip; each
further attempt asks its own deployment's, and the caller's once more where it may be billed beside others. However the
request ends, `close` settles everything once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pllm.call import Call
from pllm.core.allowances import Allowances, limits_of_deployment
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.limit_estimate import reserve
from pllm.core.limits import ONLY_COUNTED, GateLimits, Reservation
from pllm.core.record import RequestRecord
from pllm.estimating import most_of, size_of

if TYPE_CHECKING:
    from pllm.state.gate import Gates


@dataclass(frozen=True)
class Admissions:
    """One for each configuration. `gates`: made for the first request that something limits; None where there is no table:
    then nothing can be limited, and a configuration that limits something has warned of it at start-up."""

    gates: "Callable[[], Gates] | None" = None
    allowances: Allowances = field(default_factory=Allowances)

    def of(self, call: Call, possible: Iterable[Deployment]) -> "Admission":
        """For one call; `possible` is every deployment that may come to answer it. Raises a 400 where a budget holds and a
        price is not known: what cannot be bounded cannot be kept."""
        if self.gates is None:
            return _UNLIMITED
        scopes = tuple(one for one in (*call.limits, self.allowances.of_model(call.model)) if one.limited)
        deployments = tuple(possible)
        if not scopes and not any(limits_of_deployment(one).limited for one in deployments):
            return _UNLIMITED
        needs = _needs(call, deployments)
        unpriced = [one.id for one, need in zip(deployments, needs, strict=True) if need.unpriced]
        if unpriced and any(one.budget is not None for one in scopes):
            raise _unpriced(call.model, unpriced)
        return _holding(self.gates, scopes, _most(needs), call.record)

    def refuses(self, limits: Iterable[GateLimits]) -> GatewayError | None:
        """What is known here to refuse any request of a caller with these limits, without asking the table."""
        limited = tuple(one for one in limits if one.limited)
        known = self.gates().refusal(limited, ONLY_COUNTED) if self.gates is not None and limited else None
        return None if known is None else known.refused()

    def counted(self, call: Call) -> "Admission":
        """For a call that uses no model: one of its caller's requests, and nothing else."""
        limited = tuple(one for one in call.limits if one.limited)
        return _holding(self.gates, limited, ONLY_COUNTED, call.record) if self.gates is not None and limited else _UNLIMITED


def _holding(
    gates: "Callable[[], Gates]", scopes: tuple[GateLimits, ...], need: Reservation, record: RequestRecord
) -> "Admission":
    from pllm.holding import Holding  # with the gates, for who has limits

    return Holding(gates(), scopes, need, record)


class Admission:
    """Of one request, which nothing limits: it may enter everywhere and holds nothing. One that something limits is a
    `holding.Holding`."""

    @property
    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` of the caller's tightest limit."""
        return {}

    @property
    def degraded(self) -> bool:
        """Whether the table was not asked for some limit. Stays so when all is given back."""
        return False

    async def enter(self, deployment: Deployment, *, beside: bool = False) -> GatewayError | None:
        """None where this deployment has room, else what to tell the client if no other has. The first time the caller's own
        limits are asked too, and raise what refused; later where they do not hold enough for every attempt that may be
        billed, the one that this one goes `beside` included."""
        return None

    async def enter_alone(self) -> None:
        """Asks the caller's limits alone, for a call that no deployment is needed for. Raises what refused."""

    async def close(self, record: RequestRecord, failure: BaseException | None = None) -> None:
        """Settles with what the record says was used by every attempt: nothing at all where nobody was asked. A second time
        does nothing."""


_UNLIMITED = Admission()


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


def _unpriced(model: str, deployments: list[str]) -> GatewayError:
    """Names the deployments: the one without a price is often not of the model that was asked for, but of its fallback."""
    return GatewayError(
        ErrorKind.INVALID_REQUEST,
        f"A budget holds for this call, and cannot be kept: {model!r} may be answered by {', '.join(map(repr, deployments))}, "
        "whose price is not known. Set model_info.input_cost_per_token and output_cost_per_token there.",
        param="model",
        code="price_unknown",
    )
