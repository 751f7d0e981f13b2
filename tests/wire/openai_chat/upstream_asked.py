"""What the tests of Chat requests to a provider share: a target and what is asked of it."""

import json
from typing import Any

import pytest
from tests.wire.openai_chat.judges import expect_valid_request

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Quirks, Target
from pllm.wire.neutral import Message, Part, Request, Text, Tool
from pllm.wire.openai_chat import upstream
from pllm.wire.translator import Encoded

TARGET = Target("up", "public", "openai")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "Tells the weather.", SCHEMA)


def user(*parts: Part, path: str = "messages[0]") -> Message:
    return Message("user", parts or (Text("Hi"),), path)


def target(profile: ModelProfile | None = None, quirks: Quirks | None = None, **fields: Any) -> Target:
    return Target("up", "public", "p", profile=profile or ModelProfile(), quirks=quirks or Quirks(), **fields)


def encode(*messages: Message, to: Target = TARGET, **fields: Any) -> Encoded:
    return upstream.encode(Request("public", messages or (user(),), **fields), to)


def body(encoded: Encoded, *, valid: bool = True, beyond: tuple[str, ...] = ()) -> JsonObject:
    written: JsonObject = json.loads(encoded.request.body)
    if valid:
        expect_valid_request(written, beyond)
    return written


def refused(*messages: Message, to: Target = TARGET, **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        encode(*messages, to=to, **fields)
    assert caught.value.status == 400
    return caught.value
