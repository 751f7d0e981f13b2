"""Judges that are not ours: the official SDK's request types, response models and stream accumulator."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import httpx2
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ParsedChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from pllm.core.jsontext import JsonObject, loads

_PLAIN = TypeAdapter(CompletionCreateParamsNonStreaming)
_STREAMED = TypeAdapter(CompletionCreateParamsStreaming)


def expect_valid_request(body: JsonObject, beyond: Iterable[str] = ()) -> None:
    """`body` is one that the SDK's types admit, to the bottom, without a key that they do not know.

    The types drop unknown keys in silence and check iterables lazily, so the walk over the result does both.
    `beyond` names keys that are known to go beyond OpenAI's own API.
    """
    adapter: TypeAdapter[Any] = _STREAMED if body.get("stream") else _PLAIN
    _compare(body, adapter.validate_python(body), "body", frozenset(beyond))


def _compare(given: Any, seen: Any, path: str, beyond: frozenset[str]) -> None:
    if isinstance(given, Mapping):
        for key, value in given.items():
            if key not in beyond:
                assert key in seen, f"{path}.{key} is unknown to the SDK"
                _compare(value, seen[key], f"{path}.{key}", beyond)
    elif isinstance(given, list):
        listed = list(seen)
        assert len(listed) == len(given), path
        for number, pair in enumerate(zip(given, listed, strict=True)):
            _compare(*pair, f"{path}[{number}]", beyond)
    else:
        assert given == seen, path


def completion(body: bytes) -> ChatCompletion:
    return ChatCompletion.model_validate(loads(body), strict=True)


def chunks(stream: bytes) -> list[ChatCompletionChunk]:
    """Every event but the end marker, read strictly."""
    blocks = [block for block in stream.split(b"\n\n") if block.startswith(b"data: ") and block != b"data: [DONE]"]
    return [ChatCompletionChunk.model_validate(loads(block[6:]), strict=True) for block in blocks]


class _Replay:
    """A transport that answers every request with the bytes it was given last, in pieces that respect nothing."""

    stream = b""

    def __call__(self, _: httpx2.Request) -> httpx2.Response:
        pieces = (self.stream[i : i + 37] for i in range(0, len(self.stream), 37))
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=pieces)


@cache
def _sdk() -> tuple[OpenAI, _Replay]:
    replay = _Replay()
    http = httpx2.Client(transport=httpx2.MockTransport(replay))
    return OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0), replay


def accumulated(stream: bytes, n: int = 1) -> ParsedChatCompletion[object]:
    """What `client.chat.completions.stream` makes of our bytes. Its snapshot, because asking it for the final completion
    raises for a finish_reason of length or content_filter."""
    sdk, replay = _sdk()
    replay.stream = stream
    with sdk.chat.completions.stream(model="m", messages=[{"role": "user", "content": "x"}], n=n) as events:
        for _ in events:
            pass
        return events.current_completion_snapshot
