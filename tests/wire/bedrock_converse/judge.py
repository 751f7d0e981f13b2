"""botocore's own model of Converse, as the judge of what we send and of the streams that the tests make up."""

import base64
import io
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from pllm.core.profile import ModelProfile
from pllm.wire.bedrock_converse import upstream
from pllm.wire.lane import Target
from pllm.wire.neutral import Message, Part, Request, Text
from pllm.wire.translator import Encoded

CLAUDE_45 = ModelProfile(thinking="budget", max_output_tokens=64_000, known=True)
CLAUDE_46 = ModelProfile(thinking="adaptive", max_output_tokens=64_000, supports_prefill=False, known=True)
GPT_OSS = ModelProfile(thinking="effort", can_disable_thinking=False, structured_output="tool", known=True)
NOVA_2 = ModelProfile(thinking="level", structured_output="tool", known=True)
LLAMA = ModelProfile(
    thinking="none",
    structured_output="none",
    supports_tool_choice_any=False,
    supports_cache_marks=False,
    modalities=frozenset({"text"}),
    known=True,
)


def target(
    profile: ModelProfile | None = None,
    model: str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    *,
    drop: bool = False,
    repair: bool = False,
    defaults: dict[str, Any] | None = None,
) -> Target:
    return Target(
        model,
        "public-name",
        "bedrock",
        profile or ModelProfile(),
        defaults=defaults or {},
        drop_unsupported=drop,
        repair_history=repair,
    )


def user(*parts: Part | str, path: str = "messages[0]") -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts), path)


def assistant(*parts: Part | str, path: str = "messages[1]") -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts), path)


HELLO = (user("hello"),)


@cache
def service_model() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def operation(name: str) -> Any:
    return service_model().operation_model(name)


def sent(request: Request, to: Target) -> dict[str, Any]:
    """The body that is sent for `request`, once botocore has judged it."""
    return judge(upstream.encode(request, to))


def judge(encoded: Encoded) -> dict[str, Any]:
    """The body, once botocore has found it valid and would have sent the same to the same path."""
    wire = encoded.request
    model = operation("ConverseStream" if wire.stream else "Converse")
    body: dict[str, Any] = json.loads(wire.body)
    params = {**_as_params(body, model.input_shape), "modelId": wire.model}
    report = ParamValidator().validate(params, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    serialized = create_serializer(service_model().metadata["protocol"]).serialize_to_request(params, model)
    assert (serialized["method"], serialized["url_path"]) == ("POST", f"/{wire.path}")
    assert json.loads(serialized["body"]) == body
    return body


def _as_params(value: Any, shape: Any) -> Any:
    """A JSON body as the parameters boto3 would be called with: blobs as bytes."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and isinstance(value, dict) and not shape.is_document_type:
        return {name: _as_params(item, shape.members[name]) if name in shape.members else item for name, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_as_params(item, shape.member) for item in value]
    return value


class _Raw(io.BytesIO):
    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.getvalue()


def read_by_botocore(frames: bytes) -> list[dict[str, Any]]:
    """A ConverseStream body as boto3 hands it to its callers; raises what boto3 would raise."""
    shape = operation("ConverseStream").output_shape.members["stream"]
    return list(EventStream(_Raw(frames), shape, EventStreamJSONParser(), "ConverseStream"))


def answer_by_botocore(body: bytes) -> dict[str, Any]:
    """A Converse body as boto3 hands it to its callers."""
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed: dict[str, Any] = create_parser("rest-json").parse(response, operation("Converse").output_shape)
    return parsed
