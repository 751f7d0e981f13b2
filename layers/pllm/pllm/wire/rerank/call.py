"""One request to rank documents: which deployments can serve it, and in which lane."""

from importlib import import_module
from typing import cast

from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.core.limit_estimate import Demand
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Target
from pllm.wire.rerank.api import RerankApi
from pllm.wire.rerank.lane import RerankLane
from pllm.wire.rerank.request import RerankRequest, read_request, repeated_bytes, search_units

_APIS = {
    "cohere": ("pllm.wire.rerank.cohere", "api"),
    "cohere-rerank": ("pllm.wire.rerank.bedrock", "cohere"),
    "amazon-rerank": ("pllm.wire.rerank.bedrock", "amazon"),
}


class RerankCall:
    """See `wire.lane.NativeCall`. `plain`: the same request for servers of OpenAI's dialect, whose bytes it stays."""

    def __init__(self, plain: NativeCall, body: JsonObject) -> None:
        self._plain = plain
        self._body = body
        self._read: RerankRequest | None = None

    @property
    def demand(self) -> Demand:
        listed = self._body.get("documents")
        return Demand(
            inputs=max(len(listed), 1) if isinstance(listed, list) else 1,
            generates=False,
            repeated_bytes=repeated_bytes(self._body),
            search_units=search_units(self._body),
        )

    def refusal(self, deployment: Deployment) -> GatewayError | None:
        if _named(deployment) is None and "chat" in deployment.dialects:
            return self._plain.refusal(deployment)
        profile = deployment.profile
        if profile.known and profile.mode != "rerank":
            return _not_offered(deployment, f"its mode is {profile.mode!r}. Where that is wrong, `model_info.mode`")
        if _named(deployment) is None:
            what = f"{deployment.model!r} of {deployment.provider} is not known to rank documents."
            return _not_offered(deployment, f"{what} Where it is one that does, `model_info.base_model`")
        return None

    def lane(self, deployment: Deployment, target: Target, context: AnswerContext) -> tuple[Lane, UpstreamDialect]:
        named = _named(deployment)
        if named is None:
            return self._plain.lane(deployment, target, context)
        if self._read is None:
            self._read = read_request(self._body)
        module, name = _APIS[named]
        api = cast("RerankApi", getattr(import_module(module), name))
        return RerankLane(self._read, api, search_units(self._body), target), api.dialect


def _named(deployment: Deployment) -> str | None:
    """The API that a deployment is asked by; None for OpenAI's dialect, and for what is not known."""
    if "cohere" in deployment.dialects:
        return "cohere"
    on_bedrock = "converse" in deployment.dialects and deployment.profile.model_api in _APIS
    return deployment.profile.model_api if on_bedrock else None


def _not_offered(deployment: Deployment, why: str) -> GatewayError:
    told = f"/v1/rerank is not offered for the model {deployment.model_name!r}: {why} of the configuration says what it is."
    return invalid(told, "model", "unsupported_endpoint")
