"""Where AWS credentials come from, without boto3: the environment, a shared credentials file, a container's endpoint.

Lambda's role lives in the environment and is read anew at each use, because the runtime rotates it. A laptop has a profile
in a file, also read anew. A container (ECS, EKS pod identity, Lambda with SnapStart) serves expiring credentials over
HTTP; those are kept and renewed before they end.
"""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, loads
from pllm.providers.base import SimpleHttp
from pllm.providers.sigv4 import AwsCredentials

RENEW_BEFORE_S = 15 * 60.0
"""Credentials this close to their end are renewed; while that fails, they are used for as long as they hold."""

RETRY_AFTER_S = 10.0
"""How long a failed renewal of credentials that still hold is not tried again."""

_CONTAINER_ADDRESS = "http://169.254.170.2"
_CONTAINER_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost"})


@dataclass(frozen=True, slots=True)
class _Expiring:
    credentials: AwsCredentials
    expires_s: float | None


class AwsCredentialSource:
    """The credentials of this process, by AWS's usual order: environment, AWS_PROFILE or the default profile, container.

    `environment` is read at each use. `http` fetches from the container's endpoint. Bound to one event loop.
    """

    def __init__(self, environment: Mapping[str, str], clock: Clock, http: SimpleHttp) -> None:
        self._environment = environment
        self._clock = clock
        self._http = http
        self._kept: _Expiring | None = None
        self._retry_at_s = 0.0
        self._fetching = asyncio.Lock()

    async def get(self) -> AwsCredentials:
        """Credentials that hold now. Raises GatewayError UPSTREAM_AUTH saying which source failed and why."""
        found = from_environment(self._environment) or from_shared_files(self._environment)
        if found is not None:
            return found
        url = container_url(self._environment)
        if url is None:
            raise _no_credentials(
                "none was found: the function has no role, and neither AWS_ACCESS_KEY_ID, a shared credentials file nor "
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is set"
            )
        return await self._from_container(url)

    async def _from_container(self, url: str) -> AwsCredentials:
        if (kept := self._fresh()) is not None:
            return kept
        async with self._fetching:
            if (kept := self._fresh()) is not None:  # another request renewed them meanwhile
                return kept
            try:
                self._kept = await self._fetch(url)
            except GatewayError:
                if self._kept is None or self._remaining_s(self._kept) <= 0:
                    raise
                self._retry_at_s = self._clock.wall_s() + RETRY_AFTER_S
            return self._kept.credentials

    def _fresh(self) -> AwsCredentials | None:
        if self._kept is None:
            return None
        remaining_s = self._remaining_s(self._kept)
        waiting = remaining_s > 0 and self._clock.wall_s() < self._retry_at_s
        return self._kept.credentials if waiting or remaining_s > RENEW_BEFORE_S else None

    def _remaining_s(self, kept: _Expiring) -> float:
        return float("inf") if kept.expires_s is None else kept.expires_s - self._clock.wall_s()

    async def _fetch(self, url: str) -> _Expiring:
        headers = {"accept": "application/json", **container_authorization(self._environment)}
        try:
            status, body = await self._http("GET", url, headers, b"")
        except GatewayError as error:
            raise _no_credentials(f"the container's endpoint could not be asked: {error.message}") from error
        if status != 200:
            raise _no_credentials(f"the container's endpoint answered {status}")
        found = _read_container_answer(body)
        if self._remaining_s(found) <= 0:
            raise _no_credentials("the container's endpoint handed out credentials that have already expired")
        return found


def _no_credentials(why: str) -> GatewayError:
    return GatewayError(ErrorKind.UPSTREAM_AUTH, f"No AWS credentials: {why}.")


# --- Environment ----------------------------------------------------------------------------------------------------


def from_environment(environment: Mapping[str, str]) -> AwsCredentials | None:
    """AWS_ACCESS_KEY_ID and its fellows; None without them. Raises UPSTREAM_AUTH for one half of a pair."""
    key, secret = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
    if not key and not secret:
        return None
    if not key or not secret:
        missing = "AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID"
        raise _no_credentials(f"the environment holds half of a pair, {missing} is missing")
    return AwsCredentials(key, secret, environment.get("AWS_SESSION_TOKEN") or None)


# --- Shared files ---------------------------------------------------------------------------------------------------


def from_shared_files(environment: Mapping[str, str]) -> AwsCredentials | None:
    """Static keys of a profile in ~/.aws/credentials or ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE).

    None when no profile was named and there is no default one. Raises UPSTREAM_AUTH when a named profile has no keys.
    """
    profile = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
    name = profile or "default"
    home = Path(environment.get("HOME") or "/")
    credentials_file = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    config_file = Path(environment.get("AWS_CONFIG_FILE") or home / ".aws" / "config")
    found = _keys_in(credentials_file, (name,)) or _keys_in(config_file, (f"profile {name}", name))
    if found is None and profile:
        raise _no_credentials(
            f"profile {profile!r} has no static keys in {credentials_file} or {config_file} "
            "(SSO, processes and assumed roles are not read; export temporary keys into the environment instead)"
        )
    return found


def _keys_in(path: Path, sections: tuple[str, ...]) -> AwsCredentials | None:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _no_credentials(f"{path} cannot be read ({type(error).__name__})") from error
    import configparser  # a function has no such files, and its cold start need not read the parser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise _no_credentials(f"{path} is not a credentials file ({type(error).__name__})") from error
    for section in sections:
        if parser.has_option(section, "aws_access_key_id"):
            key, secret = parser.get(section, "aws_access_key_id"), parser.get(section, "aws_secret_access_key", fallback="")
            if not secret:
                raise _no_credentials(f"section [{section}] of {path} has no aws_secret_access_key")
            return AwsCredentials(key, secret, parser.get(section, "aws_session_token", fallback="") or None)
    return None


# --- Container ------------------------------------------------------------------------------------------------------


def container_url(environment: Mapping[str, str]) -> str | None:
    """Where the container's credentials are served; None when it has no such endpoint.

    Raises UPSTREAM_AUTH for plain HTTP to any host that is not the machine's own or AWS's: the answer holds secrets.
    """
    if relative := environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return _CONTAINER_ADDRESS + relative
    url = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_trusted(parts.hostname or "")):
        return url
    raise _no_credentials(f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {parts.hostname!r}, which must be asked over https")


def _is_trusted(host: str) -> bool:
    if host in _CONTAINER_HOSTS:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def container_authorization(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that proves us to the endpoint; the token's file is read anew because it rotates. Empty without one."""
    if path := environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        try:
            token = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _no_credentials(f"the token file {path} cannot be read ({type(error).__name__})") from error
    else:
        token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    token = token.strip()
    if "\r" in token or "\n" in token:
        raise _no_credentials("the container's authorization token has a line break inside")
    return {"authorization": token} if token else {}


def _read_container_answer(body: bytes) -> _Expiring:
    try:
        answer = loads(body)
        credentials = AwsCredentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("Token"))
        expires = answer.get("Expiration")
        return _Expiring(credentials, None if expires is None else _epoch_s(expires))
    except (JsonError, KeyError, TypeError, AttributeError, ValueError):
        raise _no_credentials("the container's endpoint answered with something else than credentials") from None


def _epoch_s(stamp: str) -> float:
    moment = datetime.fromisoformat(stamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
