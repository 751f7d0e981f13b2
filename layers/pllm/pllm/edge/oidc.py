"""Tokens of identity providers (OIDC, JWT): believed only when a configured issuer signed them, for us, and for now.

What the token says about how to check it is not followed: the algorithm must be one that the configuration pins for the
issuer, keys come from jwks, and `jku`, `x5u`, `jwk` and `x5c` are not looked at. The signature itself is checked by joserfc.
This module is imported when the first token comes: most deployments never pay for it.
"""

import warnings
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning

from pllm.core.clock import Clock
from pllm.core.config.policies import OidcIssuer
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, loads
from pllm.core.key_rules import check_team_id
from pllm.core.principal import Role
from pllm.edge.jwks import IssuerKeys, PublicKey
from pllm.providers.base import SimpleHttp

SKEW_S = 60.0
"""Clocks may differ by this much."""

_ROLES: Mapping[str, Role] = {"admin": "admin", "viewer": "viewer", "user": "user"}
_LONGEST_KID = 256
_LONGEST_SUBJECT = 512


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token names, by the claims that the issuer's entry of the configuration chose."""

    issuer: OidcIssuer
    subject: str
    team: str | None
    role: Role


class TokenVerifier:
    """One for each environment: it keeps the issuers' keys."""

    def __init__(self, issuers: Sequence[OidcIssuer], http: SimpleHttp, clock: Clock) -> None:
        self._issuers = tuple((issuer, IssuerKeys(issuer, http, clock)) for issuer in issuers)
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        """Raises AUTHENTICATION (401) saying why the token is not believed, UNAVAILABLE when that cannot be found out."""
        header, claimed = _unverified(token)
        algorithm, kid = _header(header)
        issuer, keys = self._issuer(claimed)
        if algorithm not in issuer.algorithms:
            raise refused("its signing algorithm is not accepted")
        key = await keys.find(kid, algorithm)
        if key is None:
            raise refused("it is signed with a key that its issuer does not have")
        claims = _verified(token, key, algorithm)
        self._check_times(claims)
        return _identity(claims, issuer)

    def _issuer(self, claimed: Mapping[str, Any]) -> tuple[OidcIssuer, IssuerKeys]:
        """The entry for a token that is not verified yet: what it claims is checked with this entry's keys alone."""
        name, audience = claimed.get("iss"), _audiences(claimed)
        of_issuer = [one for one in self._issuers if isinstance(name, str) and _same_issuer(name, one[0].issuer)]
        if not of_issuer:
            raise refused("its issuer is not accepted")
        for one in of_issuer:
            if not audience.isdisjoint(one[0].audience):
                return one
        raise refused("it is meant for another audience")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now_s = self._clock.wall_s()
        expires_s, from_s, issued_s = (_time(claims, name) for name in ("exp", "nbf", "iat"))
        if expires_s is None:
            raise refused("it does not say when it expires")
        if now_s >= expires_s + SKEW_S:
            raise refused("it has expired")
        if (from_s is not None and now_s < from_s - SKEW_S) or (issued_s is not None and now_s < issued_s - SKEW_S):
            raise refused("it is not valid yet")


def refused(why: str) -> GatewayError:
    return GatewayError(ErrorKind.AUTHENTICATION, f"The token is not accepted: {why}.")


def _unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of a compact JWS, to find out how it is to be checked."""
    parts = token.split(".")
    try:
        header, claims = (loads(_decoded(part)) for part in parts[:2])
    except (JsonError, ValueError):
        raise refused("it is no JWT") from None
    if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
        raise refused("it is no JWT")
    return header, claims


def _decoded(part: str) -> bytes:
    if not part.isascii() or "=" in part:
        raise ValueError("not base64url")
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _header(header: Mapping[str, Any]) -> tuple[str, str | None]:
    algorithm, kid = header.get("alg"), header.get("kid")
    if "crit" in header or "b64" in header:
        raise refused("it asks for extensions that are not known here")
    if not isinstance(algorithm, str):
        raise refused("it names no signing algorithm")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= _LONGEST_KID):
        raise refused("its key id is none")
    return algorithm, kid


def _verified(token: str, key: PublicKey, algorithm: str) -> Mapping[str, Any]:
    try:
        with warnings.catch_warnings():
            # EdDSA's name is deprecated, not the algorithm; the configuration accepts it.
            warnings.simplefilter("ignore", SecurityWarning)
            payload = jws.deserialize_compact(token, key, algorithms=[algorithm]).payload
        claims = loads(payload)
    except (JoseError, JsonError, ValueError, TypeError):
        raise refused("its signature is wrong") from None
    if not isinstance(claims, dict):
        raise refused("it is no JWT")
    return claims


def _audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    return frozenset(one for one in listed if isinstance(one, str))


def _same_issuer(name: str, configured: str) -> bool:
    """The configuration drops a final slash from every address; some issuers' names end in one."""
    return name.removesuffix("/") == configured


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"its {name!r} is no time")
    return float(value) if abs(value) < 1e15 else float("inf")


def _identity(claims: Mapping[str, Any], issuer: OidcIssuer) -> Identity:
    subject = claims.get(issuer.user_claim)
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise refused(f"its claim {issuer.user_claim!r} names nobody")
    return Identity(issuer, subject, _team(claims, issuer), _role(claims, issuer))


def _team(claims: Mapping[str, Any], issuer: OidcIssuer) -> str | None:
    team = claims.get(issuer.team_claim) if issuer.team_claim is not None else None
    if team is None:
        return None
    try:
        check_team_id(team if isinstance(team, str) else "")
    except GatewayError:
        # Without its team a caller would be without its team's limits.
        raise refused(f"its claim {issuer.team_claim!r} cannot be a team's id") from None
    return str(team)


def _role(claims: Mapping[str, Any], issuer: OidcIssuer) -> Role:
    claimed = claims.get(issuer.role_claim) if issuer.role_claim is not None else None
    if claimed is None:
        return issuer.role
    listed = claimed if isinstance(claimed, list) else [claimed]
    for name, role in _ROLES.items():
        if name in listed:
            return role
    raise refused(f"its claim {issuer.role_claim!r} holds none of admin, viewer and user")
