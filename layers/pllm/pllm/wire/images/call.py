"""One request for pictures: which deployments can serve it, and in which lane."""

from importlib import import_module
from typing import cast

from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.core.limit_estimate import Demand
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.images.api import ImagesApi
from pllm.wire.images.lane import ImagesLane
from pllm.wire.images.request import read_request
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Target

_APIS = {
    "amazon-image": ("converse", "pllm.wire.images.amazon"),
    "imagen": ("gemini", "pllm.wire.images.imagen"),
}


class ImagesCall:
    """See `wire.lane.NativeCall`. `plain`: the same request for those who speak OpenAI's dialect, whose bytes it stays."""

    def __init__(self, plain: NativeCall, body: JsonObject) -> None:
        self._plain = plain
        self._body = body

    @property
    def demand(self) -> Demand:
        return self._plain.demand

    def refusal(self, deployment: Deployment) -> GatewayError | None:
        profile = deployment.profile
        if _module(deployment) is not None:
            return None
        if "chat" in deployment.dialects or (profile.known and profile.mode != "image"):
            return self._plain.refusal(deployment)
        return _unknown(deployment)

    def lane(self, deployment: Deployment, target: Target, context: AnswerContext) -> tuple[Lane, UpstreamDialect]:
        module = _module(deployment)
        if module is None:
            return self._plain.lane(deployment, target, context)
        api = cast("ImagesApi", import_module(module).api)
        return ImagesLane(read_request(self._body, target.defaults), api, target, context.created_s), api.dialect


def _unknown(deployment: Deployment) -> GatewayError:
    return invalid(
        f"/v1/images/generations is not offered for the model {deployment.model_name!r}: {deployment.model!r} of "
        f"{deployment.provider} is not known to make pictures by a call of its own. Where it is one that does, "
        "`model_info.base_model` of the configuration says which.",
        "model",
        "unsupported_endpoint",
    )


def _module(deployment: Deployment) -> str | None:
    """The API that a deployment is asked by; None for OpenAI's dialect, and for who makes no pictures that way."""
    dialect, module = _APIS.get(deployment.profile.model_api, ("", None))
    return module if dialect in deployment.dialects and "chat" not in deployment.dialects else None
