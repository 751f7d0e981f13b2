"""Authentication: before the path, the body or anything else of a request is looked at.

Four kinds of credential lead to a principal: the master key, a virtual key, a token of an identity provider, and, under
/iam/v1, the signature that API Gateway has verified. A request carries one; two different ones are refused, since whoever
added the second may not know of the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from pllm.core.allowances import Allowances, own_allowance
from pllm.core.clock import Clock
from pllm.core.config.policies import IamPrincipal
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.keys import Team, digest_of, is_key
from pllm.core.principal import MASTER, Principal, outside_id
from pllm.core.roles import entry_for, principal_id, role_arn
from pllm.core.secret import Secret
from pllm.edge.http import HttpRequest
from pllm.state.key_reader import KeyReader
from pllm.state.store import StateError

if TYPE_CHECKING:
    from pllm.edge.oidc import TokenVerifier

# OpenAI's SDK, Anthropic's SDK, Azure's SDK.
_BARE_HEADERS = ("x-api-key", "api-key")
_IAM = "/iam/v1/"
# API Gateway takes 10 KB of headers altogether; longer than this is no credential, and not worth a hash.
_LONGEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class Identities:
    """Who else than the master may call. `keys` is None where there is no table, `tokens` where no issuer is configured."""

    clock: Clock
    keys: KeyReader | None = None
    tokens: "Callable[[], TokenVerifier] | None" = None
    roles: Sequence[IamPrincipal] = ()
    allowances: Allowances = field(default_factory=Allowances)


class Authenticator:
    """Knows the master key by its hash only. Every wrong key takes the same way and gets the same answer."""

    def __init__(self, master_key: Secret | None, identities: Identities | None = None) -> None:
        self._master = _digest(master_key.reveal()) if master_key is not None else None
        self._others = identities

    async def authenticate(self, request: HttpRequest) -> Principal:
        """Raises AUTHENTICATION (401) without telling a missing, malformed, contradictory or wrong credential apart in
        anything but words that the caller already knows to be true; UNAVAILABLE (503) when that cannot be found out."""
        if request.path.startswith(_IAM):
            return await self._role(request)
        presented = credentials(request)
        if not presented:
            raise _refused("No API key was given: send it as 'Authorization: Bearer ...', 'x-api-key' or 'api-key'.")
        if len(set(presented)) != 1 or len(presented[0]) > _LONGEST:
            raise _refused()
        credential = presented[0]
        # Comparing fixed-length digests in constant time tells nothing of how much of a guess was right.
        if self._master is not None and compare_digest(_digest(credential), self._master):
            return MASTER
        if self._others is None:
            raise _refused()
        try:
            return await self._other(credential, self._others)
        except StateError as error:
            raise _unknowable(error) from None

    async def _other(self, credential: str, others: Identities) -> Principal:
        if others.tokens is not None and credential.startswith("eyJ") and credential.count(".") == 2:
            return await self._token(credential, others.tokens(), others)
        if others.keys is None or not is_key(credential):
            raise _refused()
        digest = digest_of(credential)
        holder = await others.keys.find(digest)
        now_s = others.clock.wall_s()
        if holder is None or not holder.record.opens(digest, now_s):
            raise _refused()
        status = holder.record.status(now_s)
        if status != "active":
            # Said only to who holds the key itself.
            raise _refused(f"This API key {'has expired' if status == 'expired' else f'is {status}'}.")
        return others.allowances.principal(holder.record, holder.team)

    async def _token(self, token: str, verifier: "TokenVerifier", others: Identities) -> Principal:
        identity = await verifier.verify(token)
        issuer = identity.issuer
        team = await _team(identity.team, others)
        own = own_allowance(issuer.limit, issuer.budget)
        caller = outside_id("oidc", sha256(issuer.issuer.encode()).hexdigest()[:8], identity.subject)
        return Principal(
            id=caller,
            role=identity.role,
            team=identity.team,
            models=issuer.models,
            name=identity.subject,
            team_models=team.fields.models if team is not None else ("*",),
            # A subject may be chosen by who bears it: it must not choose among the limits that go by name.
            limits=(others.allowances.of_key(caller, "", own), *others.allowances.of_team(identity.team, team)),
        )

    async def _role(self, request: HttpRequest) -> Principal:
        others = self._others
        arn = role_arn(request.caller_arn) if request.caller_arn is not None else None
        if credentials(request, signed=True):
            raise _refused("Under /iam/v1 the AWS signature is the credential: send no API key beside it.")
        entry = entry_for(arn, others.roles) if arn is not None and others is not None else None
        if arn is None or others is None or entry is None:
            raise _refused(
                "Under /iam/v1 requests must be signed (SigV4) by a role that 'auth.iam' of the configuration names."
            )
        try:
            team = await _team(entry.team, others)
        except StateError as error:
            raise _unknowable(error) from None
        caller = principal_id(arn, entry)
        own = own_allowance(entry.limit, entry.budget)
        return Principal(
            id=caller,
            role=entry.role,
            team=entry.team,
            models=entry.models,
            name=entry.name,
            team_models=team.fields.models if team is not None else ("*",),
            limits=(others.allowances.of_key(caller, entry.name, own), *others.allowances.of_team(entry.team, team)),
        )


def credentials(request: HttpRequest, *, signed: bool = False) -> Sequence[str]:
    """Every credential the request carries, in any of the accepted headers. Never from the query string. `signed`: a
    signature in `Authorization` is none of them."""
    found = [value for name in _BARE_HEADERS for value in request.all(name)]
    for value in request.all("authorization"):
        scheme, _, token = value.partition(" ")
        if signed and scheme.startswith("AWS4-"):
            continue
        found.append(token.strip() if scheme.lower() == "bearer" else "")
    return found


async def _team(team_id: str | None, others: Identities) -> Team | None:
    return await others.keys.team(team_id) if team_id is not None and others.keys is not None else None


def _digest(value: str) -> bytes:
    return sha256(value.encode("utf-8", "surrogateescape")).digest()


def _refused(message: str = "Incorrect API key provided.") -> GatewayError:
    return GatewayError(ErrorKind.AUTHENTICATION, message)


def _unknowable(error: StateError) -> GatewayError:
    """The table cannot be asked: that says nothing about the key, so it is no 401."""
    return GatewayError(ErrorKind.UNAVAILABLE, f"API keys cannot be checked now ({error.reason}).", retry_after_s=2)
