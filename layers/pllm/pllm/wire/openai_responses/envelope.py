"""The Response object around the output: status, usage, and the request's settings repeated."""

from typing import Any

from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import FinishReason, Request, Start, Usage
from pllm.wire.openai_responses.history import RESOLVED
from pllm.wire.openai_responses.usage import write_usage

_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})

_INCOMPLETE: dict[FinishReason, str | None] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    # Anthropic paused its own tools' loop: not an end, and no reason this dialect has a word for.
    "pause": None,
}


def incomplete_details(reason: FinishReason, *, refused_in_words: bool) -> JsonObject | None:
    """Why an answer is incomplete; None for a completed one. A refusal in words is a complete answer (case 13)."""
    if reason not in _INCOMPLETE or (reason == "refusal" and refused_in_words):
        return None
    return {"reason": _INCOMPLETE[reason]}


class Envelope:
    """The Response object of one answer, without its output. The repeated settings are serialised once."""

    def __init__(self, request: Request, context: AnswerContext) -> None:
        self.id = f"resp_{context.id_seed}"
        self._model = context.model
        self._created_s = context.created_s
        self._tier: str | None = None
        self._settings = _settings(request)
        self._settings_json = dumps(self._settings)[1:]

    def begin(self, start: Start) -> None:
        """What the provider's first event adds."""
        self._created_s = start.created_s or self._created_s
        tier = "default" if start.service_tier == "standard" else start.service_tier
        self._tier = tier if tier in _TIERS else None

    def whole(
        self,
        status: str,
        output: list[JsonObject],
        usage: Usage | None = None,
        incomplete: JsonObject | None = None,
        error: JsonObject | None = None,
    ) -> JsonObject:
        """The Response object as JSON values."""
        return {**self._head(status, output, usage, incomplete, error), **self._settings}

    def text(
        self,
        status: str,
        output: list[JsonObject],
        usage: Usage | None = None,
        incomplete: JsonObject | None = None,
        error: JsonObject | None = None,
    ) -> bytes:
        """The Response object as JSON text: `dumps(whole(...))`, for less."""
        return dumps(self._head(status, output, usage, incomplete, error))[:-1] + b"," + self._settings_json

    def _head(
        self,
        status: str,
        output: list[JsonObject],
        usage: Usage | None,
        incomplete: JsonObject | None,
        error: JsonObject | None,
    ) -> JsonObject:
        head: JsonObject = {
            "id": self.id,
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": incomplete,
            "model": self._model,
            "output": output,
            "usage": None if usage is None else write_usage(usage),
        }
        if self._tier is not None or "service_tier" not in self._settings:
            head["service_tier"] = self._tier
        return head


def _settings(request: Request) -> dict[str, Any]:
    """The settings an answer repeats, with OpenAI's defaults where the client was silent."""
    echo = dict(request.echo)
    previous = echo.pop(RESOLVED, None)
    return {
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "safety_identifier": None,
        "store": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": None,
        "truncation": "disabled",
        "user": None,
        **echo,
        "previous_response_id": previous,
        "reasoning": {"effort": None, "summary": None, **(echo.get("reasoning") or {})},
        "text": {"format": {"type": "text"}, **(echo.get("text") or {})},
    }
