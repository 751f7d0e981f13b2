"""A neutral request as the body of generateContent."""

from dataclasses import MISSING, dataclass, fields, replace
from typing import Any
from urllib.parse import quote

from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.defaults import with_defaults
from pllm.wire.gemini.config import generation_config
from pllm.wire.gemini.contents import contents, system_instruction
from pllm.wire.gemini.extras import add_extras
from pllm.wire.gemini.losses import Losses
from pllm.wire.gemini.structured import with_hidden_tool
from pllm.wire.gemini.tools import tools_and_config
from pllm.wire.history import limit_cache_marks
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Request
from pllm.wire.translator import Encoded

_NEUTRAL_NAMES = {"reasoning_effort": "reasoning", "max_completion_tokens": "max_tokens"}
_VERTEX_TIER_HEADER = "x-vertex-ai-llm-shared-request-type"


@dataclass(frozen=True, slots=True)
class GeminiEncoded(Encoded):
    """`candidates`: how many answers were asked for, so that a stream is known to be whole."""

    candidates: int = 1


def encode(request: Request, target: Target) -> GeminiEncoded:
    """Raises GatewayError(400) naming field and model for what cannot be carried, unless target.drop_unsupported."""
    losses = Losses(target)
    request = _without_unsupported(with_defaults(request, target.defaults), target, losses)
    request, hidden_tool = with_hidden_tool(request, target.profile, losses)
    body: JsonObject = {}
    if instruction := system_instruction(request.system):
        body["systemInstruction"] = instruction
    body["contents"] = contents(request, target, losses)
    body.update(tools_and_config(request, losses))
    if config := generation_config(request, target.profile, losses):
        body["generationConfig"] = config
    headers = _service_tier(body, request.service_tier, target.quirks.variant, losses)
    add_extras(body, request.extras, target.quirks.variant, losses)
    method = "streamGenerateContent" if request.stream else "generateContent"
    call = WireRequest(
        path=f"{resource(target.model)}:{method}",
        body=dumps(body),
        model=target.model,
        stream=request.stream,
        query="alt=sse" if request.stream else "",
        headers=headers,
    )
    return GeminiEncoded(call, dropped=losses.dropped, emulated=losses.emulated, hidden_tool=hidden_tool, candidates=request.n)


def resource(model: str) -> str:
    """The model's path below the API's version: "gemini-x" is "models/gemini-x", whereas tuned models and endpoints
    ("tunedModels/x", "endpoints/123", "publishers/google/models/x") are named whole."""
    return quote(model, safe="/@") if "/" in model else f"models/{quote(model, safe='@')}"


def _without_unsupported(request: Request, target: Target, losses: Losses) -> Request:
    for name in sorted(target.profile.refused_params | target.quirks.refused):
        request = _without(request, _NEUTRAL_NAMES.get(name, name), name, losses)
    request = _without(request, "logit_bias", "logit_bias", losses)
    if request.verbosity != "medium":
        request = _without(request, "verbosity", "verbosity", losses)
    if request.logprobs is None and request.top_logprobs is not None:
        request = _without(request, "top_logprobs", "top_logprobs", losses)
    # Who asked has no place in Gemini's body and changes nothing in its answer.
    losses.drop(*(name for name in ("user", "metadata") if getattr(request, name)))
    request, unmarked = limit_cache_marks(request, 0)  # Gemini caches prefixes by itself
    losses.drop(*unmarked)
    return request


def _without(request: Request, attribute: str, name: str, losses: Losses) -> Request:
    """`request` with a field at its default, after refusing what the client had said there."""
    silent = next((_default(field) for field in fields(Request) if field.name == attribute), None)
    if getattr(request, attribute, None) == silent:
        return request
    losses.refuse(name)
    changed: dict[str, Any] = {attribute: silent}
    return replace(request, **changed)


def _default(field: object) -> object:
    value = getattr(field, "default", None)
    return None if value is MISSING else value


def _service_tier(body: JsonObject, tier: str | None, variant: str, losses: Losses) -> dict[str, str]:
    """The Gemini API has the tier in the body, Vertex in a header (returned)."""
    if tier in (None, "auto", "default"):
        return {}
    if tier not in ("flex", "priority") or not variant:
        losses.refuse("service_tier")
        return {}
    if variant == "vertex":
        return {_VERTEX_TIER_HEADER: tier}
    body["serviceTier"] = tier
    return {}
