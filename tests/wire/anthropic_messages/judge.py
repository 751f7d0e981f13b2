"""Judges that are not ours: the anthropic SDK's request types, its strict models and its stream accumulator."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import httpx2
from anthropic import Anthropic
from anthropic.types import Message as SdkMessage
from anthropic.types import RawMessageStreamEvent, message_count_tokens_params, message_create_params
from pydantic import BaseModel, TypeAdapter

from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.anthropic_messages import upstream
from pllm.wire.lane import AnswerContext, Quirks, Target, WireRequest
from pllm.wire.neutral import End, Event, Failure, Message, Part, Request, Text
from pllm.wire.translator import Encoded

CONTEXT = AnswerContext("claude", 1_800_000_000, "0123456789abcdef")
ENCODED = Encoded(WireRequest("messages", b"", "claude", True))

BUDGET = ModelProfile(thinking="budget", max_output_tokens=64_000, structured_output="tool", known=True)
ADAPTIVE = ModelProfile(thinking="adaptive", max_output_tokens=128_000, structured_output="native", known=True)

# The API takes these of the models that have them; the newest SDK no longer types them.
_SAMPLING = {"temperature": 1, "top_p": 1, "top_k": 10_000}


def user(*parts: Part | str, path: str = "messages[0]") -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts), path)


def assistant(*parts: Part | str, path: str = "messages[1]") -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts), path)


def ask(*messages: Message, **fields: Any) -> Request:
    return Request("claude", messages or (user("hello"),), **fields)


def target(profile: ModelProfile | None = None, **fields: Any) -> Target:
    return Target("claude-upstream", "claude", "anthropic", profile or ModelProfile(), **fields)


def vertex() -> Target:
    return target(quirks=Quirks(model_in_body=False, body={"anthropic_version": "vertex-2023-10-16"}))


def encoded(request: Request, to: Target | None = None) -> Encoded:
    return upstream.encode(request, to or target())


def sent(request: Request, to: Target | None = None) -> JsonObject:
    """The body that goes upstream, after the SDK's request types have judged it."""
    body = json.loads(encoded(request, to).request.body)
    check_request(body)
    assert isinstance(body, dict)
    return body


@cache
def _params(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def check_request(body: JsonObject) -> None:
    """Unknown keys vanish and iterables are lazy in the SDK's types: what comes out must equal what went in, to the bottom."""
    streaming = body.get("stream") is True
    kind = (
        message_create_params.MessageCreateParamsStreaming
        if streaming
        else message_create_params.MessageCreateParamsNonStreaming
    )
    for name, top in _SAMPLING.items():
        assert 0 <= body.get(name, 0) <= top
    known = {name: value for name, value in body.items() if name not in _SAMPLING}
    assert _plain(_params(kind).validate_python(known)) == known


def check_count_request(body: JsonObject) -> None:
    assert _plain(_params(message_count_tokens_params.MessageCountTokensParams).validate_python(body)) == body


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [_plain(inner) for inner in value]


def check_answer(body: bytes) -> SdkMessage:
    """Strict, and with no field that the SDK's models do not know."""
    message = SdkMessage.model_validate_json(body, strict=True)
    _no_extras(message)
    return message


def check_event(data: JsonObject) -> None:
    if data["type"] == "ping":
        assert data == {"type": "ping"}
    else:
        _no_extras(_params(RawMessageStreamEvent).validate_json(json.dumps(data), strict=True))


def _no_extras(value: Any) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{type(value).__name__} does not know {value.model_extra}"
        for name in type(value).model_fields:
            _no_extras(getattr(value, name))
    elif isinstance(value, list):
        for inner in value:
            _no_extras(inner)


def accumulate(stream: bytes) -> SdkMessage:
    """What `client.messages.stream` makes of our bytes."""

    def serve(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    with (
        httpx2.Client(transport=httpx2.MockTransport(serve)) as http,
        Anthropic(api_key="k", http_client=http, max_retries=0) as sdk,
        sdk.messages.stream(model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as answer,
    ):
        return answer.get_final_message()


def events_of(stream: bytes) -> list[JsonObject]:
    """The events of our own stream, each under the name that its type says, in the exact grammar."""
    found: list[JsonObject] = []
    for block in stream.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def check_grammar(events: list[JsonObject]) -> None:
    """One message_start; blocks numbered from 0, each opened, filled and closed in turn; message_delta; message_stop."""
    said = [event for event in events if event["type"] != "ping"]
    assert [said[0]["type"], said[-2]["type"], said[-1]["type"]] == ["message_start", "message_delta", "message_stop"]
    number, is_open = -1, False
    for event in said[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                number, is_open = number + 1, True
            case "content_block_delta":
                assert is_open
            case "content_block_stop":
                assert is_open
                is_open = False
            case other:
                raise AssertionError(f"{other} in the middle of a message")
        assert event["index"] == number
    assert not is_open
    for event in events:
        check_event(event)


def decode_stream(stream: bytes, size: int = 1 << 20, hidden_tool: str | None = None) -> list[Event]:
    decoder = upstream.decoder(Encoded(ENCODED.request, hidden_tool=hidden_tool))
    events = [event for at in range(0, len(stream), size) for event in decoder.feed(stream[at : at + size])]
    events += decoder.close()
    assert isinstance(events[-1], End | Failure)
    return events


def sse(*events: JsonObject) -> bytes:
    """An upstream's stream."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)
