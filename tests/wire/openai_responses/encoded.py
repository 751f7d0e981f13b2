"""What the tests of the Responses encoder share: an answer, told whole and as a stream."""

from collections.abc import Callable
from typing import Any

from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import Choice, Event, FinishReason, Part, Request, Response, Usage
from pllm.wire.openai_responses import client

Events = Callable[[bytes], list[dict[str, Any]]]
CONTEXT = AnswerContext(model="public-model", created_s=1_700_000_000, id_seed="5eed")
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}


def asked(**fields: Any) -> Request:
    return client.decode({"model": "public-model", "input": "Hi", **fields})


def answer(*parts: Part, finish: FinishReason = "stop", usage: Usage | None = None) -> Response:
    return Response("up_1", "upstream-model", (Choice(parts, finish),), usage, 1_700_000_001)


def stream(events: list[Event], **fields: Any) -> bytes:
    return client.encoder(asked(**fields), CONTEXT).feed(events)


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]
