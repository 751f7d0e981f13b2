"""What the tests of requests to Anthropic share."""

from typing import Any

import pytest
from tests.wire.anthropic_messages.judge import assistant, encoded, target, user

from pllm.core.errors import GatewayError
from pllm.wire.neutral import Request, Text, Tool, ToolCall, ToolResult

WEATHER = Tool("weather", "Says the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = Tool("clock")
LOOP = (
    user("Weather in Oslo?"),
    assistant("Looking.", ToolCall("c1", "weather", '{"city":"Oslo"}'), ToolCall("c2", "clock", "")),
    user(ToolResult("c1", (Text("rain"),)), ToolResult("c2", (Text("broken"),), is_error=True), path="messages[2]"),
)


def refusal(request: Request, **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        encoded(request, target(**fields))
    assert caught.value.status == 400
    return caught.value
