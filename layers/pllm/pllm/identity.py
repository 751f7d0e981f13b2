"""Who may call, built from a configuration: the same for the data plane and the control plane."""

from collections.abc import Callable
from functools import cache
from random import SystemRandom
from typing import TYPE_CHECKING

from pllm.core.allowances import Allowances
from pllm.core.clock import Clock
from pllm.core.config.policies import Auth
from pllm.core.config.schema import Config
from pllm.core.roles import never_matching
from pllm.core.secret import Secret
from pllm.edge.auth import Authenticator, Identities
from pllm.providers.transport import AiohttpTransport
from pllm.state.key_reader import KeyReader
from pllm.state.store import Store
from pllm.telemetry.log import Emit

if TYPE_CHECKING:
    from pllm.edge.oidc import TokenVerifier


def authenticator(config: Config, master_key: str | None, store: Store | None, clock: Clock, emit: Emit) -> Authenticator:
    """For a resolved configuration. Without a `store` there are no virtual keys. What can never work is said to `emit`."""
    for warning in never_matching(config.auth.iam):
        emit({"level": "WARN", "message": "configuration", "warning": warning})
    identities = Identities(
        clock=clock,
        keys=KeyReader(store, clock, SystemRandom()) if store is not None else None,
        tokens=_tokens(config.auth, clock),
        roles=config.auth.iam,
        allowances=Allowances(config.limits, config.budgets),
    )
    return Authenticator(Secret(master_key) if master_key else None, identities)


def _tokens(auth: Auth, clock: Clock) -> "Callable[[], TokenVerifier] | None":
    """Made when the first token comes: only those who use tokens pay for the cryptography's import."""
    if not auth.oidc:
        return None

    @cache
    def verifier() -> "TokenVerifier":
        from pllm.edge.oidc import TokenVerifier

        return TokenVerifier(auth.oidc, AiohttpTransport(clock).simple, clock)

    return verifier
