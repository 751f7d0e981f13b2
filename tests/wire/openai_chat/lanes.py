"""What the tests of the same-dialect lane share: a lane and a stream through it."""

import json
from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.lane import Lane, Relay, Target
from pllm.wire.openai_chat import ChatLane

HELLO: JsonObject = {"model": "public", "messages": [{"role": "user", "content": "Hi"}]}
TARGET = Target("upstream-model", "public", "openai")


def lane(body: JsonObject | None = None, target: Target = TARGET, **fields: Any) -> ChatLane:
    return ChatLane({**HELLO, **(body or {}), **fields}, target)


def sent(made: Lane) -> JsonObject:
    return dict(json.loads(made.request.body))


DONE = b"data: [DONE]\n\n"


def play(relay: Relay, data: bytes, size: int = 0) -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)] if size else [data]
    return b"".join(relay.feed(piece) for piece in pieces) + relay.close()


def events(stream: bytes) -> list[Any]:
    return [json.loads(block[6:]) for block in stream.split(b"\n\n") if block.startswith(b"data: {")]
