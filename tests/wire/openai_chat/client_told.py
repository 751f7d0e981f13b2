"""What the tests of answers to Chat clients share."""

import json
from typing import Any

from hypothesis import strategies as st
from tests.wire.openai_chat.judges import chunks, completion

from pllm.core.jsontext import JsonObject
from pllm.wire.lane import AnswerContext, WireRequest
from pllm.wire.neutral import Choice, Citation, Event, FinishReason, Message, Part, Request, Response, Text, Usage
from pllm.wire.openai_chat import client
from pllm.wire.translator import Encoded

ASKED = Request("public", (Message("user", (Text("Hi"),)),))
CONTEXT = AnswerContext("public", 1_800_000_000, "5eed")
ENCODED = Encoded(WireRequest("chat/completions", b"{}", "m", True))


def answer(*parts: Part, finish: FinishReason = "stop", usage: Usage | None = None, **fields: Any) -> Response:
    return Response("id1", "m", (Choice(parts, finish, **fields),), usage, 5)


def told(response: Response, asked: Request = ASKED) -> JsonObject:
    body = client.encode(response, asked, CONTEXT)
    completion(body)
    return dict(json.loads(body))


def message(response: Response, asked: Request = ASKED) -> JsonObject:
    return dict(told(response, asked)["choices"][0]["message"])


def streamed(events: list[Event], asked: Request = ASKED) -> bytes:
    encoder = client.encoder(asked, CONTEXT)
    return b"".join(encoder.feed([event]) for event in events)


def deltas(stream: bytes) -> list[JsonObject]:
    chunks(stream)
    blocks = [json.loads(block[6:]) for block in stream.split(b"\n\n") if block.startswith(b"data: {")]
    return [choice["delta"] for block in blocks for choice in block["choices"]]


web = st.builds(Citation, st.just("https://a.org"), st.just("t"), st.none(), st.just(0), st.integers(1, 9), st.just("chat"))
