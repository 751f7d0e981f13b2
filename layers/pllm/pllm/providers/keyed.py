"""Providers that take a key in a header: OpenAI and everything that looks like it, Anthropic too."""

from collections.abc import Mapping

from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import HttpRequest, ProviderRow
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import WireRequest

_CREDENTIAL_HEADERS = {"bearer": "authorization", "api-key": "api-key", "x-api-key": "x-api-key"}


class KeyedProvider:
    """base URL + path, one credential header, and the row's own headers. `environment` fills the row's env_headers."""

    def __init__(self, row: ProviderRow, environment: Mapping[str, str]) -> None:
        self._row = row
        self._headers = {**row.headers, **from_environment(row, environment)}

    async def prepare(self, deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> HttpRequest:
        base = deployment.api_base or self._row.base_url
        url = f"{base}/{call.path}" + (f"?{call.query}" if call.query else "")
        return HttpRequest(url, self._all_headers(deployment, call), call.body)

    def _all_headers(self, deployment: Deployment, call: WireRequest) -> dict[str, str]:
        headers = common_headers(call)
        headers.update(self._headers)
        headers.update(call.headers)
        if deployment.organization:
            headers["openai-organization"] = deployment.organization
        if deployment.project:
            headers["openai-project"] = deployment.project
        headers.update(credential(self._row, deployment))
        headers.update(deployment.headers)
        return headers


def common_headers(call: WireRequest) -> dict[str, str]:
    """What every upstream request says about itself."""
    return {
        "content-type": call.content_type,
        "accept": "text/event-stream" if call.stream else "application/json",
        "user-agent": "pllm",
    }


def from_environment(row: ProviderRow, environment: Mapping[str, str]) -> dict[str, str]:
    """The row's headers whose environment variable is set (OpenRouter's attribution)."""
    return {header: environment[name] for header, name in row.env_headers.items() if environment.get(name)}


def credential(row: ProviderRow, deployment: Deployment) -> dict[str, str]:
    """The credential header; empty where none is needed. Raises UPSTREAM_AUTH where one is needed and missing."""
    if deployment.api_key is None:
        if row.key_required:
            raise GatewayError(ErrorKind.UPSTREAM_AUTH, f"No credential is configured for {row.title}.")
        return {}
    value = deployment.api_key.reveal()
    return {_CREDENTIAL_HEADERS[row.auth]: f"Bearer {value}" if row.auth == "bearer" else value}
