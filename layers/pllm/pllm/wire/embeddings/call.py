"""One request for embeddings: which deployments can serve it, and in which lane."""

from importlib import import_module
from typing import cast

from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.core.limit_estimate import Demand
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.embeddings.api import EmbeddingsApi
from pllm.wire.embeddings.lane import EmbeddingsLane
from pllm.wire.embeddings.request import EmbeddingsRequest, holds_tokens, inputs_of, read_request
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Part, Target

_APIS = {
    "titan-embed": ("pllm.wire.embeddings.titan", "titan"),
    "titan-embed-image": ("pllm.wire.embeddings.titan", "multimodal"),
    "cohere": ("pllm.wire.embeddings.cohere", "own"),
    "cohere-embed": ("pllm.wire.embeddings.cohere", "on_bedrock"),
    "gemini": ("pllm.wire.embeddings.google", "gemini"),
    "vertex": ("pllm.wire.embeddings.google", "vertex"),
}


class EmbeddingsCall:
    """See `wire.lane.NativeCall`. `plain`: the same request for those who speak OpenAI's dialect, whose bytes it stays."""

    def __init__(self, plain: NativeCall, body: JsonObject) -> None:
        self._plain = plain
        self._body = body
        self._read: EmbeddingsRequest | None = None
        self._kept: dict[str, dict[int, Part]] = {}

    @property
    def demand(self) -> Demand:
        return Demand(inputs=inputs_of(self._body), generates=False)

    def refusal(self, deployment: Deployment) -> GatewayError | None:
        if _is_plain(deployment):
            return self._plain.refusal(deployment)
        profile = deployment.profile
        if profile.known and profile.mode != "embedding":
            return _other_mode(deployment)
        if _named(deployment) not in _APIS:
            return _unknown(deployment)
        return _tokens(deployment) if holds_tokens(self._body) else None

    def lane(self, deployment: Deployment, target: Target, context: AnswerContext) -> tuple[Lane, UpstreamDialect]:
        if _is_plain(deployment):
            return self._plain.lane(deployment, target, context)
        if self._read is None:
            self._read = read_request(self._body)
        api = _api(deployment, target)
        return EmbeddingsLane(self._read, api, target, self._kept.setdefault(deployment.id, {})), api.dialect


def _is_plain(deployment: Deployment) -> bool:
    return "chat" in deployment.dialects and "cohere" not in deployment.dialects


def _named(deployment: Deployment) -> str:
    """Which API its dialect has for embeddings; on Bedrock that depends on the model."""
    return next((name for name in ("cohere", "gemini") if name in deployment.dialects), deployment.profile.model_api)


def _api(deployment: Deployment, target: Target) -> EmbeddingsApi:
    named = _named(deployment)
    module, name = _APIS[target.quirks.variant or named if named == "gemini" else named]
    return cast("EmbeddingsApi", getattr(import_module(module), name))


def _other_mode(deployment: Deployment) -> GatewayError:
    return invalid(
        f"/v1/embeddings is not offered for the model {deployment.model_name!r}: its mode is {deployment.profile.mode!r}. "
        "Where that is wrong, `model_info.mode` of the configuration says what it is.",
        "model",
        "unsupported_endpoint",
    )


def _unknown(deployment: Deployment) -> GatewayError:
    return invalid(
        f"/v1/embeddings is not offered for the model {deployment.model_name!r}: {deployment.model!r} of {deployment.provider} "
        "is not known to make embeddings. Where it is one that does, `model_info.base_model` of the configuration says which.",
        "model",
        "unsupported_endpoint",
    )


def _tokens(deployment: Deployment) -> GatewayError:
    return invalid(
        f"'input' is a list of tokens, and {deployment.model!r} of {deployment.provider} takes text: it has another tokenizer.",
        "input",
    )
