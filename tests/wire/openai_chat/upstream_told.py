"""What the tests of a provider's Chat answers share."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.folding import fold
from pllm.wire.lane import WireRequest
from pllm.wire.neutral import Event, Response
from pllm.wire.openai_chat import upstream
from pllm.wire.translator import Encoded

ENCODED = Encoded(WireRequest("chat/completions", b"{}", "m", True))
DONE = b"data: [DONE]\n\n"


def event(delta: JsonObject | None = None, finish: str | None = None, number: int = 0, **fields: Any) -> bytes:
    choice = {"index": number, "delta": delta or {}, "finish_reason": finish}
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [choice], **fields}
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


def events(stream: bytes, encoded: Encoded = ENCODED, cuts: Sequence[int] = ()) -> list[Event]:
    decoder = upstream.decoder(encoded)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [e for start, end in pairwise(edges) for e in decoder.feed(stream[start:end])] + decoder.close()


def folded(*stream: bytes, encoded: Encoded = ENCODED) -> Response:
    return fold(events(b"".join(stream), encoded))


def buffered(message: JsonObject, finish: str = "stop", encoded: Encoded = ENCODED, **fields: Any) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **fields}
    return upstream.decode(json.dumps({"id": "c1", "created": 5, "model": "m", "choices": [choice]}).encode(), encoded)


def parts(response: Response) -> tuple[Any, ...]:
    return response.choices[0].parts


def call(index: int | None = None, call_id: str | None = None, name: str | None = None, arguments: Any = None) -> JsonObject:
    entry: JsonObject = {"function": {"name": name, "arguments": arguments}, "index": index, "id": call_id}
    return {"tool_calls": [{key: value for key, value in entry.items() if value is not None}]}
