"""A provider of every upstream dialect, as short as can be: who it is, one answer whole, and the same answer streamed.

The answer: a thought where the dialect has them, "Hello" in two pieces, and a call of get_weather(city="Paris").
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.gateway import deployment
from tests.support.upstream import STREAM_HEAD, Step, Upstream, chunk, event

from pllm.core.deployment import Deployment
from pllm.core.profile import ModelProfile
from pllm.core.secret import Secret
from pllm.wire import eventstream

Json = dict[str, Any]
END = b"0\r\n\r\n"

ARGUMENTS = {"city": "Paris"}
_TEXT = json.dumps(ARGUMENTS)


@dataclass(frozen=True)
class Dialect:
    """`events`: the stream, cut where the provider cuts it. `reports`: ways in which it says inside a stream that it failed.
    `error`: the body of a 429."""

    name: str
    where: Mapping[str, Any]
    whole: Json
    events: Sequence[bytes]
    reports: Mapping[str, bytes]
    malformed: Mapping[str, bytes]
    base: str = "{}"
    head: bytes = STREAM_HEAD
    error: Json = field(default_factory=dict)

    def deployment(self, up: Upstream, **changes: Any) -> Deployment:
        own: Json = {"api_base": self.base.format(up.base_url), "dialects": (self.name,), **self.where}
        return deployment(up.base_url, **(own | changes))

    def stream(self, events: Sequence[bytes] | None = None, end: Sequence[Step] = (END,)) -> Sequence[Step]:
        """The script of a streamed answer; `end` is what follows the events (by default the body's proper end)."""
        return self.head, *map(chunk, self.events if events is None else events), *end


def _sse(*objects: Json) -> list[bytes]:
    return [event(one) for one in objects]


def _typed(*objects: Json) -> list[bytes]:
    return [f"event: {one['type']}\n".encode() + event(one) for one in objects]


def _frame(name: str, **payload: Any) -> bytes:
    return eventstream.event(name, json.dumps({**payload, "p": "abc"}).encode())


# --- OpenAI Chat --------------------------------------------------------------------------------------------------


def _chat_chunk(delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [choice]}


_CHAT_USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
_CHAT_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": _TEXT}}

CHAT = Dialect(
    "chat",
    {"provider": "openai", "model": "gpt-x"},
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "tool_calls": [_CHAT_CALL]},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": _CHAT_USAGE,
    },
    [
        *_sse(
            _chat_chunk({"role": "assistant", "content": "Hel"}),
            _chat_chunk({"content": "lo"}),
            _chat_chunk({"tool_calls": [{"index": 0, **_CHAT_CALL, "function": {"name": "get_weather", "arguments": ""}}]}),
            _chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": _TEXT}}]}),
            _chat_chunk({}, "tool_calls"),
            {**_chat_chunk({}), "choices": [], "usage": _CHAT_USAGE},
        ),
        event("[DONE]"),
    ],
    {"error object": event({"error": {"message": "boom", "type": "server_error", "code": None, "param": None}})},
    {"half a JSON": b'data: {"choices": [{"ind\n\n', "a page": b"data: <html>502</html>\n\n"},
    base="{}/v1",
    error={"error": {"message": "boom", "type": "requests", "code": "rate_limit_exceeded", "param": None}},
)

# --- Anthropic Messages -------------------------------------------------------------------------------------------

_MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 1},
}
_TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}

MESSAGES = Dialect(
    "messages",
    {"provider": "anthropic", "model": "claude-x"},
    {
        **_MESSAGE,
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "text", "text": "Hello"},
            {**_TOOL_USE, "input": ARGUMENTS},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 9, "output_tokens": 5},
    },
    _typed(
        {"type": "message_start", "message": _MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": _TOOL_USE},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": _TEXT}},
        {"type": "content_block_stop", "index": 2},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ),
    {"error event": b"event: error\n" + event({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}})},
    {"half a JSON": b'event: ping\ndata: {"type": "content_bl\n\n', "a page": b"data: <html>502</html>\n\n"},
    base="{}/v1",
    error={"type": "error", "error": {"type": "rate_limit_error", "message": "boom"}},
)

# --- Bedrock Converse ---------------------------------------------------------------------------------------------

CONVERSE = Dialect(
    "converse",
    {"provider": "bedrock", "model": "us.anthropic.claude-x-v1:0", "api_key": None},
    {
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                    {"text": "Hello"},
                    {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": ARGUMENTS}},
                ],
            }
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 9, "outputTokens": 5, "totalTokens": 14},
        "metrics": {"latencyMs": 1},
    },
    [
        _frame("messageStart", role="assistant"),
        _frame("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "hm"}}),
        _frame("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"signature": "c2ln"}}),
        _frame("contentBlockStop", contentBlockIndex=0),
        _frame("contentBlockDelta", contentBlockIndex=1, delta={"text": "Hel"}),
        _frame("contentBlockDelta", contentBlockIndex=1, delta={"text": "lo"}),
        _frame("contentBlockStop", contentBlockIndex=1),
        _frame("contentBlockStart", contentBlockIndex=2, start={"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather"}}),
        _frame("contentBlockDelta", contentBlockIndex=2, delta={"toolUse": {"input": _TEXT}}),
        _frame("contentBlockStop", contentBlockIndex=2),
        _frame("messageStop", stopReason="tool_use"),
        _frame("metadata", usage={"inputTokens": 9, "outputTokens": 5, "totalTokens": 14}, metrics={"latencyMs": 1}),
    ],
    {
        name: eventstream.exception(name, json.dumps({"message": "boom"}).encode())
        for name in ("throttlingException", "modelStreamErrorException", "internalServerException")
    },
    {"a wrong checksum": _frame("contentBlockStop", contentBlockIndex=0)[:-1] + b"\0", "a page": b"<html>502</html>" * 4},
    head=STREAM_HEAD.replace(b"text/event-stream", b"application/vnd.amazon.eventstream"),
    error={"message": "boom"},
)

# --- Gemini -------------------------------------------------------------------------------------------------------


def _candidate(*parts: Json, finish: str | None = None) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 14}
    whole: Json = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x", "responseId": "r1"}
    if finish:
        candidate["finishReason"] = finish
    return whole


_GEMINI_CALL = {"functionCall": {"name": "get_weather", "args": ARGUMENTS}, "thoughtSignature": "c2ln"}

GEMINI = Dialect(
    "gemini",
    {"provider": "gemini", "model": "gemini-x"},
    _candidate({"text": "hm", "thought": True}, {"text": "Hello"}, _GEMINI_CALL, finish="STOP"),
    _sse(
        _candidate({"text": "hm", "thought": True}),
        _candidate({"text": "Hel"}),
        _candidate({"text": "lo"}),
        _candidate(_GEMINI_CALL),
        _candidate(finish="STOP"),
    ),
    {"error object": event({"error": {"code": 503, "message": "boom", "status": "UNAVAILABLE"}})},
    {"half a JSON": b'data: {"candidates": [{"con\n\n', "a page": b"data: <html>502</html>\n\n"},
    base="{}/v1beta",
    error={"error": {"code": 429, "message": "boom", "status": "RESOURCE_EXHAUSTED"}},
)

# --- Claude on Vertex AI ------------------------------------------------------------------------------------------

VERTEX_CLAUDE = {
    "provider": "vertex",
    "model": "claude-x@20260101",
    "project": "p",
    "location": "us-east5",
    "api_key": Secret("ya29.token"),
}

CLAUDE = ModelProfile(thinking="budget", max_output_tokens=64_000, known=True)

DIALECTS = (CHAT, MESSAGES, CONVERSE, GEMINI)
