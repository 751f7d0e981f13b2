"""Which deployments a health probe asks, and what its answer may be taken for (docs/decisions/0010-health-probes.md).

Requests tell of the deployments that have them. A probe asks the others: those that nothing was heard of, and those that are
open, whose next request would otherwise be somebody's. What it asks costs nothing, so it shows less than a request does, and
an open breaker is only closed by an answer that disproves the failure it was opened for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pllm.core.breaker import Admission
from pllm.core.breaker_policy import Impact, impact_of
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.evidence import Evidence
from pllm.core.health import UNKNOWN, HealthView


class Reason(StrEnum):
    """Why a deployment is asked."""

    OPEN = "open"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Due:
    """A deployment to be asked, by a call that shows `evidence`."""

    deployment: Deployment
    reason: Reason
    evidence: Evidence


def due(
    candidates: Iterable[tuple[Deployment, Evidence]],
    view: HealthView,
    heard_ms: Mapping[str, int],
    idle_after_s: float,
    now_ms: int,
) -> list[Due]:
    """What is to be asked now, open ones first. `candidates`: deployments with what a call to each would show; `view` and
    `heard_ms` (when anything was last heard of it) by deployment. What is open, cooling or forced open is left alone until
    its time is over, as by requests."""
    found = []
    for deployment, evidence in candidates:
        health = view.get(deployment.id, UNKNOWN)
        if health.admission is Admission.PROBE and evidence.disproves(health.why):
            found.append(Due(deployment, Reason.OPEN, evidence))
        elif health.admission is Admission.ALL and now_ms - heard_ms.get(deployment.id, 0) >= idle_after_s * 1000:
            found.append(Due(deployment, Reason.IDLE, evidence))
    return sorted(found, key=lambda one: one.reason is Reason.IDLE)


# A key that may generate need not be allowed to look at the list.
_MISSING_RIGHTS = (b"scope", b"permission", b"restricted")


def failure_of(status: int, body: bytes, error: GatewayError, evidence: Evidence) -> GatewayError | None:
    """What a bad answer to a free call says against the deployment: `error`, or nothing. A 5xx does, and a credential that is
    refused where one is asked for; not a path that is missing, a limit on lists, or a key that may not look at them."""
    if status >= 500:
        return error if status != 501 and impact_of(error) is Impact.FAILURE else None
    lowered = body[:4096].lower()
    refused = error.kind is ErrorKind.UPSTREAM_AUTH and status != 403 and evidence >= Evidence.CREDENTIAL
    return error if refused and not any(word in lowered for word in _MISSING_RIGHTS) else None
