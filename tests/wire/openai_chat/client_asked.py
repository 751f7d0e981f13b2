"""What the tests of a client's Chat requests share."""

from typing import Any

import pytest

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import Request
from pllm.wire.openai_chat import client

USER: JsonObject = {"role": "user", "content": "Hi"}
WEATHER: JsonObject = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def decode(*messages: JsonObject, **fields: Any) -> Request:
    return client.decode({"model": "m", "messages": list(messages or (USER,)), **fields})


def refused(*messages: JsonObject, **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        decode(*messages, **fields)
    assert caught.value.status == 400
    return caught.value
