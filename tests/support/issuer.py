"""An identity provider: signs tokens, serves its keys, can rotate them, and can be down."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from pllm.core.clock import ManualClock
from pllm.core.config.policies import OidcIssuer
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import dumps

URL = "https://login.example.com/pool-1"
AUDIENCE = "pllm"
ALGORITHMS = ["RS256", "PS256", "ES256", "HS256", "HS512", "none"]

Key = RSAKey | ECKey | OKPKey | OctKey


@cache
def rsa_key(number: int = 0) -> RSAKey:
    """Made once for all tests: it takes a while."""
    return RSAKey.generate_key(2048)


def jwk(key: Key, kid: str, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", **more}


def sign(key: Key, claims: Mapping[str, Any], **header: Any) -> str:
    whole = {"alg": "RS256", "typ": "JWT", **header}
    return jws.serialize_compact({k: v for k, v in whole.items() if v is not None}, dumps(dict(claims)), key, ALGORITHMS)


class Issuer:
    """`asked` are the addresses that were fetched."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.key = rsa_key()
        self.keys: list[dict[str, Any]] = [jwk(self.key, "k1")]
        self.documents: dict[str, bytes] = {
            f"{URL}/.well-known/openid-configuration": dumps({"issuer": URL, "jwks_uri": f"{URL}/keys"}),
        }
        self.asked: list[str] = []
        self.down = False

    async def http(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.asked.append(url)
        if self.down:
            raise GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, "no route")
        if url == f"{URL}/keys" and url not in self.documents:
            return 200, dumps({"keys": self.keys})
        return (200, self.documents[url]) if url in self.documents else (404, b"not here")

    def claims(self, **changes: Any) -> dict[str, Any]:
        now_s = int(self.clock.wall_s())
        whole = {"iss": URL, "aud": AUDIENCE, "sub": "alice", "iat": now_s, "exp": now_s + 3600, **changes}
        return {name: value for name, value in whole.items() if value is not None}

    def token(self, *, kid: str | None = "k1", key: Key | None = None, alg: str = "RS256", **claims: Any) -> str:
        return sign(key or self.key, self.claims(**claims), kid=kid, alg=alg)


def entry(**changes: Any) -> OidcIssuer:
    return OidcIssuer(**{"issuer": URL, "audience": (AUDIENCE,), **changes})
