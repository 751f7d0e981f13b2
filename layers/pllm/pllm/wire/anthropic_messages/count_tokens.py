"""Counting the tokens of a request before it is made: the small answer's both ends."""

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.anthropic_messages.decode_request import decode_request
from pllm.wire.neutral import Request


def decode_count_request(body: JsonObject) -> Request:
    """A client's count_tokens request: a Messages request without max_tokens. Raises GatewayError(400)."""
    return decode_request(body, counting=True)


def decode_token_count(body: bytes) -> int:
    """The provider's count. Raises GatewayError(UPSTREAM_PROTOCOL) when the body holds none."""
    try:
        parsed = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"not JSON: {error}") from None
    count = parsed.get("input_tokens") if isinstance(parsed, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise malformed_upstream("no input_tokens in the answer of count_tokens")
    return count


def encode_token_count(input_tokens: int) -> bytes:
    """The answer in the client's shape."""
    return dumps({"input_tokens": input_tokens})
