"""Google access tokens without Google's SDK: service accounts, workload identity federation from AWS, and given tokens.

A credential is the JSON that Google hands out (`service_account`, `external_account`, `authorized_user`) or an access token.
From AWS no Google key is needed at all: the function's role signs a GetCallerIdentity request, which Google's token service
runs to see who asks, and exchanges for a token (`external_account`).
"""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode, urlsplit

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.core.secret import Secret
from pllm.providers.base import SimpleHttp

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
RENEW_BEFORE_S = 60.0
"""A token this close to its end is renewed; while that fails, it is used for as long as it holds."""

_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_STS_URL = "https://sts.googleapis.com/v1/token"
_AWS_CALLER = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
_JWT_LIFETIME_S = 3600
_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}

AwsSigner = Callable[[str, str, Mapping[str, str], bytes], Awaitable[Mapping[str, str]]]
"""(method, url, headers, body) -> headers with SigV4's added, in the region and for the service that the URL names (sts)."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    value: Secret
    expires_s: float


class TokenSource(Protocol):
    async def token(self) -> str:
        """A token that holds for at least another moment. Raises GatewayError UPSTREAM_AUTH when none can be had."""
        ...


@dataclass(frozen=True, slots=True)
class StaticToken:
    """An access token that someone else keeps fresh."""

    value: Secret

    async def token(self) -> str:
        return self.value.reveal()


class CachedToken:
    """A token fetched once for all who wait for it, and again `RENEW_BEFORE_S` before it ends. Bound to one event loop."""

    def __init__(self, fetch: Callable[[], Awaitable[AccessToken]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: AccessToken | None = None
        self._fetching = asyncio.Lock()

    async def token(self) -> str:
        if (kept := self._holding(RENEW_BEFORE_S)) is not None:
            return kept
        async with self._fetching:
            if (kept := self._holding(RENEW_BEFORE_S)) is not None:
                return kept
            try:
                self._kept = await self._fetch()
            except GatewayError:
                if (kept := self._holding(0)) is not None:
                    return kept
                raise
            return self._kept.value.reveal()

    def _holding(self, margin_s: float) -> str | None:
        if self._kept is None or self._clock.wall_s() + margin_s >= self._kept.expires_s:
            return None
        return self._kept.value.reveal()


class GoogleCredentials:
    """Tokens for each configured credential, and for the environment's own (GOOGLE_APPLICATION_CREDENTIALS: a file or the
    JSON itself). `aws_signer` signs with the function's role, for federation from AWS."""

    def __init__(
        self,
        environment: Mapping[str, str],
        clock: Clock,
        http: SimpleHttp,
        aws_signer: AwsSigner | None = None,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._http = http
        self._aws_signer = aws_signer
        self._sources: dict[Secret | None, TokenSource] = {}
        self._projects: dict[Secret | None, str | None] = {}

    async def token(self, credential: Secret | None) -> str:
        """An access token for `credential` (JSON or a token); None stands for the environment's. Raises UPSTREAM_AUTH."""
        return await self._source(credential).token()

    def project(self, credential: Secret | None) -> str | None:
        """The project that the credential belongs to, where its JSON says."""
        self._source(credential)
        return self._projects[credential]

    def _source(self, credential: Secret | None) -> TokenSource:
        if credential not in self._sources:
            text = credential.reveal() if credential is not None else self._from_environment()
            if not text.lstrip().startswith("{"):
                self._sources[credential], self._projects[credential] = StaticToken(Secret(text)), None
                return self._sources[credential]
            info = _object(text)
            project = info.get("project_id") or info.get("quota_project_id")
            self._projects[credential] = project if isinstance(project, str) else None
            self._sources[credential] = CachedToken(self._fetcher(info), self._clock)
        return self._sources[credential]

    def _from_environment(self) -> str:
        value = self._environment.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        if not value:
            raise _no_token(
                "no credential: give params.api_key (a key or a credential's JSON) or GOOGLE_APPLICATION_CREDENTIALS"
            )
        if value.lstrip().startswith("{"):
            return value
        try:
            return Path(value).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _no_token(f"the file of GOOGLE_APPLICATION_CREDENTIALS cannot be read ({type(error).__name__})") from None

    def _fetcher(self, info: JsonObject) -> Callable[[], Awaitable[AccessToken]]:
        kind = info.get("type")
        if kind == "service_account":
            return lambda: service_account_token(info, self._clock, self._http)
        if kind == "authorized_user":
            return lambda: user_token(info, self._clock, self._http)
        if kind == "external_account":
            return lambda: self._federated(info)
        raise _no_token(
            f"a credential of type {kind!r} is not known; service_account, external_account and authorized_user are"
        )

    async def _federated(self, info: JsonObject) -> AccessToken:
        region = self._environment.get("AWS_REGION") or self._environment.get("AWS_DEFAULT_REGION")
        if self._aws_signer is None or not region:
            raise _no_token("workload identity federation needs AWS credentials and AWS_REGION")
        subject = await aws_subject_token(info, region, self._aws_signer)
        return await federated_token(info, subject, self._clock, self._http)


# --- Service accounts ---------------------------------------------------------------------------------------------


async def service_account_token(info: JsonObject, clock: Clock, http: SimpleHttp) -> AccessToken:
    """The JWT grant: an assertion signed with the account's key (RS256), exchanged for an hour's token."""
    url = _https(info.get("token_uri") or _TOKEN_URL, "token_uri")
    assertion = signed_jwt(info, url, int(clock.wall_s()))
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return await _exchange(url, form, clock, http)


def signed_jwt(info: JsonObject, audience: str, now_s: int) -> str:
    """Raises UPSTREAM_AUTH for a key that is not an RSA private key in PEM, or where `cryptography` is not installed."""
    header = {"alg": "RS256", "typ": "JWT", "kid": _text(info, "private_key_id")}
    email = _text(info, "client_email")
    claims = {"iss": email, "sub": email, "scope": SCOPE, "aud": audience, "iat": now_s, "exp": now_s + _JWT_LIFETIME_S}
    signing_input = _base64url(dumps(header)) + b"." + _base64url(dumps(claims))
    return (signing_input + b"." + _base64url(_rs256(_text(info, "private_key"), signing_input))).decode("ascii")


def _rs256(private_key_pem: str, message: bytes) -> bytes:
    try:  # for service accounts alone, and slow to import
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        what = "signing for a service account needs the package 'cryptography'; workload identity federation does not"
        raise _no_token(what) from None
    try:
        key = load_pem_private_key(private_key_pem.encode(), password=None)
    except (ValueError, TypeError):
        raise _no_token("the service account's private_key is not a private key in PEM form") from None
    if not isinstance(key, RSAPrivateKey):
        raise _no_token("the service account's private_key is not an RSA key")
    return key.sign(message, PKCS1v15(), SHA256())


async def user_token(info: JsonObject, clock: Clock, http: SimpleHttp) -> AccessToken:
    """A person's refresh token, as `gcloud auth application-default login` leaves it on a laptop."""
    form = {name: _text(info, name) for name in ("client_id", "client_secret", "refresh_token")}
    return await _exchange(_TOKEN_URL, {"grant_type": "refresh_token", **form}, clock, http)


# --- Workload identity federation ---------------------------------------------------------------------------------


async def aws_subject_token(info: JsonObject, region: str, signer: AwsSigner) -> str:
    """The signed GetCallerIdentity request, as Google's token service wants it: it will send it to AWS itself."""
    source = info.get("credential_source")
    source = source if isinstance(source, dict) else {}
    if not str(source.get("environment_id", "")).startswith("aws"):
        raise _no_token("only AWS is supported as credential_source of an external_account (environment_id 'aws1')")
    url = str(source.get("regional_cred_verification_url") or _AWS_CALLER).replace("{region}", region)
    host = urlsplit(url).netloc
    wanted = {"host": host, "x-goog-cloud-target-resource": _text(info, "audience")}
    signed = {"host": host, **await signer("POST", url, wanted, b"")}
    headers = [{"key": name, "value": value} for name, value in sorted(signed.items())]
    return quote(json.dumps({"url": url, "method": "POST", "headers": headers}, separators=(",", ":"), sort_keys=True))


async def federated_token(info: JsonObject, subject_token: str, clock: Clock, http: SimpleHttp) -> AccessToken:
    """The exchange at Google's token service, then the service account's own token where the credential names one."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": _text(info, "audience"),
        "scope": SCOPE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": _text(info, "subject_token_type"),
        "subject_token": subject_token,
    }
    federated = await _exchange(_https(info.get("token_url") or _STS_URL, "token_url"), form, clock, http)
    impersonation = info.get("service_account_impersonation_url")
    if impersonation is None:
        return federated
    return await _impersonated(_https(impersonation, "service_account_impersonation_url"), federated, http)


async def _impersonated(url: str, federated: AccessToken, http: SimpleHttp) -> AccessToken:
    headers = {"authorization": f"Bearer {federated.value.reveal()}", "content-type": "application/json"}
    answer = await _post(url, headers, dumps({"scope": [SCOPE], "lifetime": f"{_JWT_LIFETIME_S}s"}), http)
    value, expiry = answer.get("accessToken"), answer.get("expireTime")
    try:
        expires_s = datetime.fromisoformat(str(expiry)).timestamp()
    except ValueError:
        raise _no_token(f"the answer of {urlsplit(url).netloc} has no expireTime") from None
    if not isinstance(value, str) or not value:
        raise _no_token(f"the answer of {urlsplit(url).netloc} has no accessToken")
    return AccessToken(Secret(value), expires_s)


# --- The wire -----------------------------------------------------------------------------------------------------


async def _exchange(url: str, form: Mapping[str, str], clock: Clock, http: SimpleHttp) -> AccessToken:
    answer = await _post(url, _FORM, urlencode(form).encode("ascii"), http)
    value, lifetime = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(value, str) or not value or not isinstance(lifetime, int | float):
        raise _no_token(f"the answer of {urlsplit(url).netloc} has no access_token with an expires_in")
    return AccessToken(Secret(value), clock.wall_s() + lifetime)


async def _post(url: str, headers: Mapping[str, str], body: bytes, http: SimpleHttp) -> JsonObject:
    host = urlsplit(url).netloc
    try:
        status, answer = await http("POST", url, headers, body)
    except GatewayError as error:
        raise _no_token(f"{host} could not be asked: {error.message}") from error
    try:
        said = loads(answer)
    except JsonError:
        said = None
    said = said if isinstance(said, dict) else {}
    if not 200 <= status < 300:
        raise _no_token(f"{host} answered {status}{_reason(said)}")
    return said


def _reason(said: JsonObject) -> str:
    """OAuth's {"error", "error_description"} or Google's {"error": {"message"}}. Neither holds a credential."""
    error, description = said.get("error"), said.get("error_description")
    words = [error.get("message")] if isinstance(error, dict) else [error, description]
    found = ": ".join(word for word in words if isinstance(word, str) and word)
    return f" ({found})" if found else ""


def _no_token(why: str) -> GatewayError:
    return GatewayError(ErrorKind.UPSTREAM_AUTH, f"No access token for Google: {why}.")


def _object(text: str) -> JsonObject:
    try:
        info = loads(text)
    except JsonError as error:
        raise _no_token(f"the credential is not valid JSON ({error})") from None
    assert isinstance(info, dict), "it begins with a brace"
    return info


def _text(info: JsonObject, name: str) -> str:
    value = info.get(name)
    if not isinstance(value, str) or not value:
        raise _no_token(f"the credential has no {name!r}")
    return value


def _https(url: object, name: str) -> str:
    if not isinstance(url, str) or urlsplit(url).scheme != "https":
        raise _no_token(f"the credential's {name!r} is not an https address")
    return url


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
