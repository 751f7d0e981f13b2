"""Errors in the words of the dialect the caller speaks."""

import math

from pllm.core.errors import GatewayError
from pllm.wire.openai_chat.errors import error_body


def body(error: GatewayError, path: str) -> bytes:
    """`{"error": {...}}`, or Anthropic's `{"type": "error", "error": {...}}` where Anthropic's SDK is calling."""
    if "/messages" in path:
        from pllm.wire.lanes import client_wire  # the Messages wire is loaded by those who speak it

        return client_wire("messages").error(error)
    return error_body(error)


def headers(error: GatewayError) -> dict[str, str]:
    """`retry-after` in whole seconds, rounded up: early is useless to the client and rude to the provider."""
    extra: dict[str, str] = dict(error.headers)
    if error.retry_after_s is not None:
        extra["retry-after"] = str(math.ceil(error.retry_after_s))
    if error.status == 401:
        extra["www-authenticate"] = "Bearer"
    return extra
