"""Azure OpenAI: deployment URLs, api-version, and a key or an Entra token.

Two address forms exist. The classic one names the deployment in the path and the version in the query:
`/openai/deployments/<name>/chat/completions?api-version=...`. The v1 form (`api_base` ending in `/openai/v1`) looks like
OpenAI's own and names the deployment as the model.
"""

from urllib.parse import quote

from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import HttpRequest
from pllm.providers.keyed import common_headers
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import WireRequest

DEFAULT_API_VERSION = "2024-10-21"

# The Responses API is not under a deployment, and older api-versions do not have it; nor is the list of models.
_NO_DEPLOYMENT_IN_PATH = frozenset({"responses", "models"})


class AzureProvider:
    """Address and credential of Azure OpenAI and Azure AI Foundry."""

    async def prepare(self, deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> HttpRequest:
        headers = common_headers(call)
        headers.update(call.headers)
        headers.update(_credential(deployment))
        headers.update(deployment.headers)
        return HttpRequest(_url(deployment, call), headers, call.body)


def _url(deployment: Deployment, call: WireRequest) -> str:
    if not deployment.api_base:
        raise GatewayError(
            ErrorKind.UPSTREAM_UNREACHABLE,
            f"Deployment {deployment.id!r} has no api_base: Azure needs its resource's address.",
        )
    base = deployment.api_base.rstrip("/")
    query = [call.query] if call.query else []
    if base.endswith("/openai/v1"):
        if deployment.api_version:
            query.append(f"api-version={quote(deployment.api_version, safe='')}")
        path = f"{base}/{call.path}"
    else:
        query.append(f"api-version={quote(deployment.api_version or DEFAULT_API_VERSION, safe='')}")
        root = base if base.endswith("/openai") else f"{base}/openai"
        if call.path.split("/")[0] in _NO_DEPLOYMENT_IN_PATH:
            path = f"{root}/{call.path}"
        else:
            path = f"{root}/deployments/{quote(deployment.model, safe='')}/{call.path}"
    return path + ("?" + "&".join(query) if query else "")


def _credential(deployment: Deployment) -> dict[str, str]:
    if deployment.api_key is None:
        raise GatewayError(ErrorKind.UPSTREAM_AUTH, "No credential is configured for Azure OpenAI.")
    value = deployment.api_key.reveal()
    # An Entra token is a JWT; Azure's own keys are hex or base64 and never contain two dots.
    if value.count(".") == 2 and value.startswith("ey"):
        return {"authorization": f"Bearer {value}"}
    return {"api-key": value}
