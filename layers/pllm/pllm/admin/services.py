"""What the control plane works with, and how an endpoint gets at it."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from pllm.core.allowances import Allowances
from pllm.core.clock import Clock
from pllm.core.config import CompiledConfig
from pllm.core.config.problem import ConfigProblem
from pllm.core.config.schema import Config
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.fleet import Fleet
from pllm.core.principal import Principal
from pllm.core.record import RequestRecord
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.state.audit import AuditLog
from pllm.state.breaker_desk import BreakerDesk
from pllm.state.config_history import ConfigHistory
from pllm.state.fleet_reader import FleetReader
from pllm.state.gate import Gates
from pllm.state.keys import Keys
from pllm.state.teams import Teams
from pllm.state.usage_reader import UsageReader
from pllm.telemetry.log import Emit

Scope = MutableMapping[str, Any]
Authenticate = Callable[[Scope], Awaitable[Principal]]
"""Who sent the request with this ASGI scope. Raises GatewayError."""

Outlook = Callable[[Config, str], Awaitable[tuple[ConfigProblem, ...]]]
"""What an environment would warn of that took up a configuration, from a file of this name, now: its variables and the secret
are read anew. Raises ConfigError where it could not start, GatewayError when the secret cannot be read."""

PRINCIPAL = "pllm.principal"
"""Where the doorman leaves the principal in the ASGI scope."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is in the table."""

    keys: Keys
    teams: Teams
    audit: AuditLog


@dataclass(frozen=True, slots=True)
class ConfigDesk:
    """What versions of the configuration are made with. `deployed` is version 0."""

    history: ConfigHistory
    deployed: CompiledConfig


@dataclass(frozen=True, slots=True)
class LimitDesk:
    """What limits are looked at with: the gates, and what the configuration in use says of whom."""

    gates: Gates
    allowances: Allowances


@dataclass(frozen=True, slots=True)
class Running:
    """The configuration that is in use: `version` is the table's number for it, 0 for the deployed one."""

    config: Config
    catalogue: Catalogue
    etag: str
    source: str
    version: int = 0
    warnings: tuple[ConfigProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class AdminServices:
    """What is None by default is None where there is no table. `missing` is what /ready names. `note_trace` writes into the
    record which trace a request belongs to."""

    authenticate: Authenticate
    running: Running
    clock: Clock
    new_id: Callable[[], str]
    emit: Emit
    outlook: Outlook
    kept: Kept | None = None
    scrape_token: Secret | None = None
    missing: tuple[str, ...] = ()
    fleet: FleetReader | None = None
    usage: UsageReader | None = None
    configs: ConfigDesk | None = None
    breakers: BreakerDesk | None = None
    limits: LimitDesk | None = None
    note_trace: Callable[[Scope, RequestRecord], None] = lambda scope, record: None


def services(request: Request) -> AdminServices:
    found: AdminServices = request.app.state.services
    return found


def no_table(what: str) -> GatewayError:
    """The 503 for `what` is kept in a table, where there is none."""
    return GatewayError(ErrorKind.UNAVAILABLE, f"This gateway has no table (PLLM_TABLE), which is where it keeps {what}.")


def kept(request: Request) -> Kept:
    """Raises UNAVAILABLE where there is no table."""
    found = services(request).kept
    if found is None:
        raise no_table("keys and teams")
    return found


async def fleet_now(request: Request) -> Fleet:
    """The fleet as the table has it now. Raises UNAVAILABLE where there is no table, StateError when it cannot be asked."""
    reader = services(request).fleet
    if reader is None:
        raise no_table("the fleet's numbers")
    return await reader.read()


def principal(request: Request) -> Principal:
    found: Principal = request.scope[PRINCIPAL]
    return found


Serving = Annotated[AdminServices, Depends(services)]
Table = Annotated[Kept, Depends(kept)]
FleetNow = Annotated[Fleet, Depends(fleet_now)]
Who = Annotated[Principal, Depends(principal)]

ERRORS: Mapping[int | str, Mapping[str, Any]] = {
    "4XX": {"description": "Refused: the credential (401), its role (403), the request (400, 404, 409, 413)."},
    "5XX": {"description": "The table cannot be asked now (503), or the gateway failed (500)."},
}
"""For every endpoint's description."""
