"""Who may call, built from a configuration: the same for the data plane and the control plane."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pllm.core.allowances import Allowances
from pllm.core.clock import Clock
from pllm.core.config.policies import Auth
from pllm.core.config.schema import Config
from pllm.core.roles import never_matching
from pllm.core.secret import Secret
from pllm.edge.auth import Authenticator, Identities
from pllm.providers.base import SimpleHttp
from pllm.state.key_reader import KeyReader
from pllm.telemetry.log import Emit

if TYPE_CHECKING:
    from pllm.edge.oidc import TokenVerifier


@dataclass(frozen=True, slots=True)
class Known:
    """What outlives a configuration: the memory of keys (None where there is no table), and whom to ask for signing keys."""

    keys: KeyReader | None
    http: SimpleHttp
    clock: Clock
    emit: Emit


def authenticator(config: Config, master_key: str | None, order: int, known: Known) -> Authenticator:
    """For a resolved configuration; `order` as of Allowances.version. What can never work is logged."""
    for warning in never_matching(config.auth.iam):
        known.emit({"level": "WARN", "message": "configuration", "warning": warning})
    identities = Identities(
        clock=known.clock,
        keys=known.keys,
        tokens=_tokens(config.auth, known),
        roles=config.auth.iam,
        allowances=Allowances(config.limits, config.budgets, order),
    )
    return Authenticator(Secret(master_key) if master_key else None, identities)


def _tokens(auth: Auth, known: Known) -> "Callable[[], TokenVerifier] | None":
    """Made when the first token comes: only those who use tokens pay for the cryptography's import."""
    if not auth.oidc:
        return None

    @cache
    def verifier() -> "TokenVerifier":
        from pllm.edge.oidc import TokenVerifier

        return TokenVerifier(auth.oidc, known.http, known.clock)

    return verifier
