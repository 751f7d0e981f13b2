"""Cohere: its own API (dialect `cohere`: embeddings, rankings) and the one for OpenAI's SDKs, under one address and key."""

from pllm.core.deployment import Deployment
from pllm.providers.base import HttpRequest, ProviderRow
from pllm.providers.keyed import common_headers, credential
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import WireRequest

ROOT = "https://api.cohere.com"
_COMPATIBLE = "/compatibility/v1"
_OWN = "/v2"


class CohereProvider:
    """An `api_base` stands for the address of both; with the path of either it is understood too."""

    def __init__(self, row: ProviderRow) -> None:
        self._row = row

    async def prepare(self, deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> HttpRequest:
        root = (deployment.api_base or ROOT).rstrip("/").removesuffix(_COMPATIBLE).removesuffix(_OWN)
        url = f"{root}{_OWN if dialect == 'cohere' else _COMPATIBLE}/{call.path}" + (f"?{call.query}" if call.query else "")
        headers = {**common_headers(call), **call.headers, **credential(self._row, deployment), **deployment.headers}
        return HttpRequest(url, headers, call.body)
