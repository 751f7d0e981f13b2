"""One request to one of these endpoints: what it asks for, who can serve it, and its lane."""

from dataclasses import dataclass

from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.core.limit_estimate import Demand
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import AnswerContext, Lane, Target
from pllm.wire.openai_media.content import Content, JsonContent
from pllm.wire.openai_media.endpoints import MediaEndpoint
from pllm.wire.openai_media.form import Form
from pllm.wire.openai_media.lane import Delivery, MediaLane

_DIALECT: UpstreamDialect = "chat"
"""A provider that speaks OpenAI's Chat has these endpoints, or says itself that it has not."""


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """See `wire.lane.NativeCall`. `model`: as the client names it."""

    endpoint: MediaEndpoint
    content: Content
    model: str
    delivery: Delivery

    @property
    def demand(self) -> Demand:
        return Demand(
            inputs=self.content.items("input"),
            generates=self.endpoint.generates,
            images=self.content.count("n") if self.endpoint.mode == "image" else 0,
            characters=self.content.length("input") if self.endpoint.audio else 0,
        )

    def refusal(self, deployment: Deployment) -> GatewayError | None:
        """Why this deployment cannot serve the request; None when it may."""
        path, title, profile = self.endpoint.path, self.endpoint.title, deployment.profile
        if _DIALECT not in deployment.dialects:
            why = (
                f"/v1/{path} is not offered for the model {self.model!r}, which is served by {deployment.provider}: "
                f"{title} are served by OpenAI-dialect providers only."
            )
        elif profile.known and profile.mode != self.endpoint.mode:
            why = (
                f"/v1/{path} is not offered for the model {self.model!r}: its mode is {profile.mode!r}, and {title} need "
                f"{self.endpoint.mode!r}. Where that is wrong, `model_info.mode` of the configuration says what it is."
            )
        else:
            return None
        return invalid(why, "model", "unsupported_endpoint")

    def lane(self, deployment: Deployment, target: Target, context: AnswerContext) -> tuple[Lane, UpstreamDialect]:
        return MediaLane(self.endpoint, self.content, self.delivery, target), _DIALECT


def json_request(endpoint: MediaEndpoint, body: JsonObject) -> MediaRequest:
    """Raises GatewayError(400) naming the field, for what the gateway itself must know."""
    return _request(endpoint, JsonContent(body))


def form_request(endpoint: MediaEndpoint, body: bytes, content_type: str) -> MediaRequest:
    """`content_type`: the header as the client sent it. Raises GatewayError(400) for a body that is not one whole form."""
    return _request(endpoint, Form(body, content_type))


def _request(endpoint: MediaEndpoint, content: Content) -> MediaRequest:
    return MediaRequest(endpoint, content, content.model(), _delivery(endpoint, content))


def _delivery(endpoint: MediaEndpoint, content: Content) -> Delivery:
    if endpoint.audio:
        return "events" if content.says("stream_format", "sse") else "bytes"
    return "events" if endpoint.whole and content.flag("stream") else "whole"
