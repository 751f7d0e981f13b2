"""Counting tokens before the call: Bedrock's CountTokens, asked in Converse's words."""

import re
from dataclasses import replace
from urllib.parse import quote

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.bedrock_converse.request import encode
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Request

_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")

# A cross-region inference profile is the model's own id behind a geography, alone or at the end of an ARN.
_PROFILE = re.compile(r"(?:arn:[^/]*:inference-profile/)?(?:us-gov|us|eu|apac|jp|au|ca|global)\.(?P<model>[a-z0-9-]+\..+)")


def encode_count(request: Request, target: Target) -> WireRequest:
    """Raises GatewayError(400) for what Converse itself could not carry."""
    body = loads(encode(replace(request, stream=False), target).request.body)
    assert isinstance(body, dict)
    counted: JsonObject = {name: body[name] for name in _COUNTED if name in body}
    path = f"model/{quote(foundation_model(target.model), safe='')}/count-tokens"
    return WireRequest(path, dumps({"input": {"converse": counted}}), target.model, False)


def foundation_model(model: str) -> str:
    """CountTokens knows foundation models only, not the inference profiles that most calls go through."""
    found = _PROFILE.fullmatch(model)
    return found["model"] if found else model


def decode_count(body: bytes) -> int:
    """Raises GatewayError(UPSTREAM_PROTOCOL) when the body holds no count."""
    try:
        answer = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"not JSON: {error}") from None
    count = answer.get("inputTokens") if isinstance(answer, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise malformed_upstream("no inputTokens in the answer of CountTokens")
    return count
