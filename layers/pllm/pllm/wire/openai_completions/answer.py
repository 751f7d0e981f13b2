"""Answers in the shape of legacy Completions. Thinking has no place in it; its tokens are counted in the usage."""

from collections.abc import Iterable, Mapping
from typing import Any

from pllm.core.errors import GatewayError, malformed_upstream
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import (
    Choice,
    End,
    Event,
    Failure,
    Finish,
    FinishReason,
    LogprobsDelta,
    OpaqueBlock,
    Ping,
    Refusal,
    RefusalDelta,
    Request,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCallStart,
    Usage,
    UsageUpdate,
)
from pllm.wire.openai_chat.errors import error_body
from pllm.wire.openai_chat.usage import usage_json
from pllm.wire.openai_completions.request import ECHO
from pllm.wire.sse import KEEP_ALIVE, encode

_FINISH: dict[FinishReason, str] = {"length": "length", "content_filter": "content_filter", "refusal": "content_filter"}

_DONE = b"data: [DONE]\n\n"


class _Frame:
    """What every object of one answer has in common."""

    def __init__(self, request: Request, context: AnswerContext) -> None:
        self._id = f"cmpl-{context.id_seed}"
        self._model = context.model
        self._created_s = context.created_s
        self._fingerprint: str | None = None
        self.prompt = str(request.echo.get(ECHO, ""))

    def begin(self, created_s: int | None, fingerprint: str | None) -> None:
        self._created_s = created_s or self._created_s
        self._fingerprint = fingerprint

    def whole(self, choices: list[JsonObject]) -> JsonObject:
        frame = {
            "id": self._id,
            "object": "text_completion",
            "created": self._created_s,
            "model": self._model,
            "choices": choices,
        }
        return frame if self._fingerprint is None else {**frame, "system_fingerprint": self._fingerprint}


def write_response(response: Response, request: Request, context: AnswerContext) -> bytes:
    """Raises GatewayError(UPSTREAM_PROTOCOL) for blocks that a completion cannot hold."""
    frame = _Frame(request, context)
    frame.begin(response.created_s, response.system_fingerprint)
    answer = frame.whole([_choice(number, choice, frame.prompt) for number, choice in enumerate(response.choices)])
    return dumps(answer if response.usage is None else {**answer, "usage": usage_json(response.usage)})


def _choice(number: int, choice: Choice, prompt: str) -> JsonObject:
    text = prompt
    for part in choice.parts:
        match part:
            case Text() | Refusal():
                text += part.text
            case Thinking():
                pass
            case _:
                raise _no_place(type(part).__name__)
    logprobs = None if choice.logprobs is None else legacy_logprobs(choice.logprobs, len(prompt))
    return _written(number, text, logprobs, _FINISH.get(choice.finish, "stop"))


def _written(number: int, text: str, logprobs: JsonObject | None = None, finish: str | None = None) -> JsonObject:
    return {"text": text, "index": number, "logprobs": logprobs, "finish_reason": finish}


def _no_place(what: str) -> GatewayError:
    return malformed_upstream(f"a {what} block has no place in a text completion")


def legacy_logprobs(logprobs: Mapping[str, Any], offset: int) -> JsonObject:
    """Chat's `logprobs` as parallel lists. `offset` is where the first token begins, in characters."""
    found: JsonObject = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for token in logprobs.get("content") or ():
        text = str(token.get("token", ""))
        found["tokens"].append(text)
        found["token_logprobs"].append(token.get("logprob"))
        found["top_logprobs"].append({str(other["token"]): other["logprob"] for other in token.get("top_logprobs") or ()})
        found["text_offset"].append(offset)
        offset += len(text)
    return found


class CompletionsEncoder:
    """See `wire.lane.Encoder`. With `include_usage`, one last chunk has the usage and the others have `usage: null`."""

    def __init__(self, request: Request, context: AnswerContext) -> None:
        self._frame = _Frame(request, context)
        self._asked = request.include_usage
        self._usage: Usage | None = None
        self._offsets: dict[int, int] = {}
        self._deaf = False
        self.error: GatewayError | None = None

    def feed(self, events: Iterable[Event]) -> bytes:
        return b"".join([self._write(event) for event in events])

    def _write(self, event: Event) -> bytes:
        if self._deaf:
            return b""
        match event:
            case TextDelta() | RefusalDelta():
                return self._begin(event.choice) + (self._chunk(_written(event.choice, event.text)) if event.text else b"")
            case LogprobsDelta(logprobs, choice):
                return self._begin(choice) + self._logprobs(logprobs, choice)
            case Finish(reason, _, choice):
                return self._begin(choice) + self._chunk(_written(choice, "", None, _FINISH.get(reason, "stop")))
            case ToolCallStart() | OpaqueBlock():
                self.error = _no_place("tool call" if isinstance(event, ToolCallStart) else event.block.type)
                return self._fail(self.error)
            case Start():
                self._frame.begin(event.created_s, event.system_fingerprint)
                self._usage = event.usage or self._usage
            case UsageUpdate(usage):
                self._usage = usage
            case Ping():
                return KEEP_ALIVE
            case End():
                return self._end()
            case Failure(error):
                return self._fail(error)
            case _:
                pass
        return b""

    def _begin(self, choice: int) -> bytes:
        """The echoed prompt, before anything else of a choice."""
        if choice in self._offsets:
            return b""
        prompt = self._frame.prompt
        self._offsets[choice] = len(prompt)
        return self._chunk(_written(choice, prompt)) if prompt else b""

    def _logprobs(self, logprobs: Mapping[str, Any], choice: int) -> bytes:
        found = legacy_logprobs(logprobs, self._offsets[choice])
        if not found["tokens"]:
            return b""
        self._offsets[choice] += sum(len(token) for token in found["tokens"])
        return self._chunk(_written(choice, "", found))

    def _chunk(self, choice: JsonObject) -> bytes:
        chunk = self._frame.whole([choice])
        return encode(dumps({**chunk, "usage": None} if self._asked else chunk))

    def _end(self) -> bytes:
        self._deaf = True
        if not self._asked or self._usage is None:
            return _DONE
        return encode(dumps({**self._frame.whole([]), "usage": usage_json(self._usage)})) + _DONE

    def _fail(self, error: GatewayError) -> bytes:
        self._deaf = True
        return encode(error_body(error))
