"""An issuer's signing keys: found, fetched, kept, and fetched again when a token names one that is not there yet.

A token decides nothing about where keys come from: only the configuration, or the discovery document at the configured issuer,
does. Keys that cannot verify the signatures that are accepted are dropped when they are read: symmetric ones above all.
"""

import asyncio
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from pllm.core.clock import Clock
from pllm.core.config.policies import OidcIssuer
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, JsonObject, loads
from pllm.providers.base import SimpleHttp

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey

FRESH_S = 600.0
STALE_S = 24 * 3600.0
"""For so long do keys serve while the issuer does not answer."""
ROTATION_S = 60.0
"""Tokens that name unknown keys make the issuer asked at most this often: naming one is free to anybody."""
_AFTER_FAILURE_S = 10.0

_MAX_BYTES = 512 * 1024
_MAX_KEYS = 100
_SMALLEST_RSA_BITS = 2048
_CURVES = {"ES256": "P-256", "ES384": "P-384"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One usable key of a set, with what the set says of it."""

    kid: str | None
    algorithm: str | None
    key: PublicKey

    def fits(self, algorithm: str) -> bool:
        """Whether it may verify this algorithm, by its kind and by what the issuer says it is for."""
        if self.algorithm is not None and self.algorithm != algorithm:
            return False
        if algorithm.startswith(("RS", "PS")):
            return isinstance(self.key, RSAKey)
        if algorithm == "EdDSA":
            return isinstance(self.key, OKPKey)
        return isinstance(self.key, ECKey) and self.key.curve_name == _CURVES.get(algorithm)


class IssuerKeys:
    """The keys of one issuer. Bound to one event loop."""

    def __init__(self, issuer: OidcIssuer, http: SimpleHttp, clock: Clock) -> None:
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._read_s: float | None = None
        self._asked_s: float | None = None
        self._failed = False
        self._asking = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key for a token, None when the issuer has none. Raises UNAVAILABLE when the issuer cannot be asked."""
        await self._refresh(when_older_s=FRESH_S)
        found = self._match(kid, algorithm)
        if found is None and kid is not None:
            await self._refresh(when_older_s=ROTATION_S)
            found = self._match(kid, algorithm)
        return found

    def _match(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """By the token's `kid`; a token without one is served where only one key comes into question."""
        fitting = [one.key for one in self._keys if one.fits(algorithm) and (kid is None or one.kid == kid)]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self, when_older_s: float) -> None:
        async with self._asking:
            now_s = self._clock.wall_s()
            if self._younger(self._read_s, when_older_s, now_s):
                return
            if not (self._failed and self._younger(self._asked_s, _AFTER_FAILURE_S, now_s)):
                await self._ask(now_s)
            if not self._younger(self._read_s, STALE_S, now_s):
                raise _unreachable(self._issuer.issuer)

    async def _ask(self, now_s: float) -> None:
        self._asked_s = now_s
        try:
            self._keys = read_keys(await self._json(await self._address()))
        except (GatewayError, JsonError, ValueError):
            self._failed = True
        else:
            self._failed = False
            self._read_s = now_s

    async def _address(self) -> str:
        if self._issuer.jwks_url is not None:
            return self._issuer.jwks_url
        issuer = self._issuer.issuer
        document = await self._json(f"{issuer}/.well-known/openid-configuration")
        address = document.get("jwks_uri")
        if str(document.get("issuer")).rstrip("/") != issuer or not isinstance(address, str):
            raise ValueError("the discovery document is another issuer's, or names no keys")
        if not address.startswith("https://") and issuer.startswith("https://"):
            raise ValueError("the keys of an https issuer must come over https")
        return address

    async def _json(self, url: str) -> JsonObject:
        status, body = await self._http("GET", url, {"accept": "application/json"}, b"")
        if status != 200 or len(body) > _MAX_BYTES:
            raise ValueError(f"HTTP {status}, {len(body)} bytes")
        value = loads(body)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value

    @staticmethod
    def _younger(moment_s: float | None, age_s: float, now_s: float) -> bool:
        return moment_s is not None and 0 <= now_s - moment_s < age_s


def read_keys(document: JsonObject) -> tuple[SigningKey, ...]:
    """The usable keys of a JWK set. Raises ValueError for what is no set."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("no JWK set")
    return tuple(_usable(listed[:_MAX_KEYS]))


def _usable(listed: Sequence[Any]) -> list[SigningKey]:
    keys = []
    for jwk in listed:
        if not isinstance(jwk, dict) or jwk.get("kty") not in ("RSA", "EC", "OKP") or jwk.get("use", "sig") != "sig":
            continue
        try:
            key = _imported({name: value for name, value in jwk.items() if isinstance(value, str)})
            weak = isinstance(key, RSAKey) and key.public_key.key_size < _SMALLEST_RSA_BITS
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey) and not weak:
            kid, algorithm = jwk.get("kid"), jwk.get("alg")
            keys.append(SigningKey(kid if isinstance(kid, str) else None, algorithm, key))
    return keys


def _imported(jwk: dict[str, str | list[str]]) -> Key:
    with warnings.catch_warnings():
        # A weak key is warned of here and dropped by the caller.
        warnings.simplefilter("ignore", SecurityWarning)
        return JWKRegistry.import_key(jwk)


def _unreachable(issuer: str) -> GatewayError:
    message = f"Tokens cannot be checked now: the keys of {issuer} cannot be read."
    return GatewayError(ErrorKind.UNAVAILABLE, message, retry_after_s=_AFTER_FAILURE_S)
