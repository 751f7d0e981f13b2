"""Counting tokens before the call: countTokens, which Vertex AI and the Gemini API ask for differently."""

from dataclasses import replace

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.gemini.request import encode, resource
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Request

_VERTEX_FIELDS = ("contents", "systemInstruction", "tools", "generationConfig")


def encode_count(request: Request, target: Target) -> WireRequest:
    """Raises GatewayError(400) for what generateContent itself could not carry."""
    asked = loads(encode(replace(request, stream=False), target).request.body)
    assert isinstance(asked, dict)
    body: JsonObject
    if target.quirks.variant == "vertex":
        body = {name: asked[name] for name in _VERTEX_FIELDS if name in asked}
    else:
        body = {"generateContentRequest": {"model": resource(target.model), **asked}}
    return WireRequest(f"{resource(target.model)}:countTokens", dumps(body), target.model, False)


def decode_count(body: bytes) -> int:
    """Raises GatewayError(UPSTREAM_PROTOCOL) when the body holds no count."""
    try:
        answer = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"not JSON: {error}") from None
    count = answer.get("totalTokens") if isinstance(answer, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise malformed_upstream("no totalTokens in the answer of countTokens")
    return count
