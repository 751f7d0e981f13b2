"""Targets, deployments and answers for the embeddings wires, and botocore as their judge."""

import base64
import json
import struct
from functools import cache
from typing import Any

import botocore.session
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from pllm.core.catalogue import PACKAGED, parse
from pllm.core.deployment import Deployment
from pllm.core.profile import ModelProfile
from pllm.providers.registry import Registry
from pllm.wire.embeddings import EmbeddingsCall
from pllm.wire.lane import AnswerContext, GatheringLane, Part, Target, WireRequest
from pllm.wire.openai_media import ENDPOINTS, json_request

CONTEXT = AnswerContext("m", 1_700_000_000, "00")

TITAN_V1 = ("bedrock", "amazon.titan-embed-text-v1")
TITAN_V2 = ("bedrock", "amazon.titan-embed-text-v2:0")
TITAN_IMAGE = ("bedrock", "amazon.titan-embed-image-v1")
COHERE_V3 = ("bedrock", "cohere.embed-english-v3")
COHERE_V4 = ("bedrock", "us.cohere.embed-v4:0")
GEMINI = ("gemini", "gemini-embedding-001")
VERTEX = ("vertex", "gemini-embedding-001")
VERTEX_2 = ("vertex", "gemini-embedding-2")
OPENAI = ("openai", "text-embedding-3-small")


@cache
def profile(provider: str, model: str) -> ModelProfile:
    """What the packaged catalogue says of it."""
    from importlib.resources import files

    packaged = files("pllm.core.catalogue").joinpath(PACKAGED).read_bytes()
    return parse(packaged, PACKAGED).profile_of(provider, model, "2026-11-22")


def deployment(of: tuple[str, str], **changes: Any) -> Deployment:
    provider, model = of
    row = Registry().get(provider)
    assert row is not None
    fields: dict[str, Any] = {"dialects": row.dialects, "profile": profile(provider, model)}
    return Deployment(f"m@{provider}/{model}", "m", provider, model, **(fields | changes))


def target(of: tuple[str, str], **changes: Any) -> Target:
    provider, model = of
    row = Registry().get(provider)
    assert row is not None
    return Target(model, "m", provider, profile(provider, model), row.quirks, **changes)


def call(**body: Any) -> EmbeddingsCall:
    whole = {"model": "m", "input": "hello"} | body
    return EmbeddingsCall(json_request(ENDPOINTS["embeddings"], whole), whole)


def lane(of: tuple[str, str], target_changes: dict[str, Any] | None = None, **body: Any) -> GatheringLane:
    made, _ = call(**body).lane(deployment(of), target(of, **(target_changes or {})), CONTEXT)
    found: GatheringLane = made  # type: ignore[assignment]  # of these it is one
    return found


def sent(lane: GatheringLane) -> list[Any]:
    """The bodies; on Bedrock botocore has found each of them a valid InvokeModel request for the same path."""
    return [_judged(lane.request, body) for body in lane.request.bodies]


def _judged(wire: WireRequest, body: bytes) -> Any:
    if wire.path.endswith("/invoke"):
        model = _runtime().operation_model("InvokeModel")
        params = {"modelId": wire.model, "body": body, "contentType": "application/json", "accept": "application/json"}
        report = ParamValidator().validate(params, model.input_shape)
        assert not report.has_errors(), report.generate_report()
        request = create_serializer(_runtime().metadata["protocol"]).serialize_to_request(params, model)
        assert (request["method"], request["url_path"]) == ("POST", f"/{wire.path}")
    return json.loads(body)


@cache
def _runtime() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def part(answer: Any, **headers: str) -> Part:
    return Part(200, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(answer).encode())


def answered(lane: GatheringLane, *parts: Part) -> Any:
    return json.loads(lane.gathered(parts).body)


def unpacked(text: str) -> list[float]:
    data = base64.b64decode(text, validate=True)
    return list(struct.unpack(f"<{len(data) // 4}f", data))
