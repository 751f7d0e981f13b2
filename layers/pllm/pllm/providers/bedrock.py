"""Amazon Bedrock: regional addresses, and a signature by the function's own role or a Bedrock API key."""

import re
from collections.abc import Mapping
from typing import Protocol

from pllm.core.clock import Clock
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import HttpRequest
from pllm.providers.keyed import common_headers
from pllm.providers.sigv4 import AwsCredentials, Scope, sign
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import WireRequest

SIGNING_NAME = "bedrock"

# By the beginning of the region's name; AWS's other partitions have domains of their own.
_DOMAINS: Mapping[str, str] = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "eusc-": "amazonaws.eu",
}
_REGION = re.compile(r"[a-z0-9-]{1,30}")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]+):")
_HOST = re.compile(r"https?://(?:[\w-]+\.)?bedrock-runtime(?:-fips)?\.(?P<region>[a-z0-9-]+)\.")


class CredentialSource(Protocol):
    """Where the keys come from; asked for every request."""

    async def get(self) -> AwsCredentials: ...


class BedrockProvider:
    """Address and credential of Bedrock's runtime, whatever the dialect: every operation is signed alike.

    `environment` gives the region where neither deployment nor model names one.
    """

    def __init__(self, credentials: CredentialSource, clock: Clock, environment: Mapping[str, str]) -> None:
        self._credentials = credentials
        self._clock = clock
        self._environment = environment

    async def prepare(self, deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> HttpRequest:
        """Raises GatewayError UPSTREAM_AUTH without a credential, UPSTREAM_UNREACHABLE without a region.

        The URL is signed as it stands: it must be sent without being quoted or normalised again.
        """
        headers = {**common_headers(call), **call.headers, **deployment.headers}
        region = region_of(deployment, self._environment)
        url = f"{_base(deployment, region)}/{call.path}" + (f"?{call.query}" if call.query else "")
        if deployment.api_key is not None:
            headers["authorization"] = f"Bearer {deployment.api_key.reveal()}"
            return HttpRequest(url, headers, call.body)
        if region is None:
            raise _no_region(deployment)
        signed = sign(
            "POST",
            url,
            headers,
            call.body,
            credentials=_own_keys(deployment) or await self._credentials.get(),
            scope=Scope(region, SIGNING_NAME),
            now_s=self._clock.wall_s(),
        )
        return HttpRequest(url, signed, call.body)


def _own_keys(deployment: Deployment) -> AwsCredentials | None:
    if deployment.aws is None:
        return None
    token = deployment.aws.session_token
    return AwsCredentials(
        deployment.aws.access_key_id,
        deployment.aws.secret_access_key.reveal(),
        token.reveal() if token is not None else None,
    )


def region_of(deployment: Deployment, environment: Mapping[str, str]) -> str | None:
    """The deployment's own region, else the one in its model's ARN or in its api_base, else the function's."""
    named = deployment.region or _found(_ARN, deployment.model) or _found(_HOST, deployment.api_base or "")
    region = named or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or None
    if region is not None and not _REGION.fullmatch(region):
        raise GatewayError(
            ErrorKind.UPSTREAM_UNREACHABLE, f"Deployment {deployment.id!r}: {region!r} is not the name of an AWS region."
        )
    return region


def endpoint(region: str) -> str:
    """Bedrock's own address in a region."""
    domain = next((domain for prefix, domain in _DOMAINS.items() if region.startswith(prefix)), "amazonaws.com")
    return f"https://bedrock-runtime.{region}.{domain}"


def _base(deployment: Deployment, region: str | None) -> str:
    if deployment.api_base:
        return deployment.api_base.rstrip("/")
    if region is None:
        raise _no_region(deployment)
    return endpoint(region)


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.match(text)
    return match["region"] if match else None


def _no_region(deployment: Deployment) -> GatewayError:
    return GatewayError(
        ErrorKind.UPSTREAM_UNREACHABLE, f"Deployment {deployment.id!r} has no region: set params.region or AWS_REGION."
    )
