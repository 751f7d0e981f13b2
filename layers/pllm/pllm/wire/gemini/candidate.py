"""One candidate of an answer: its parts as blocks, and why it ended (translation cases 1, 2, 4, 10, 12, 13, 19)."""

from collections.abc import Mapping
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream
from pllm.core.jsontext import Json, JsonObject, dumps
from pllm.wire.gemini.contents import ORIGIN, made_up_id
from pllm.wire.gemini.grounding import citations, logprobs
from pllm.wire.neutral import (
    BlockStop,
    Citation,
    CitationDelta,
    Event,
    Finish,
    FinishReason,
    LogprobsDelta,
    Opaque,
    OpaqueBlock,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)

_FINISH: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}

# What a part may say beside its content.
_ABOUT = frozenset({"thought", "thoughtSignature", "partMetadata", "mediaResolution", "videoMetadata"})


class CandidateReader:
    """Consecutive texts are one block, consecutive thoughts are one block, every call is its own."""

    def __init__(self, number: int, response_id: str, hidden_tool: str | None) -> None:
        self.finished = False
        self._number = number
        self._response_id = response_id
        self._hidden_tool = hidden_tool
        self._next = 0
        self._open: str | None = None
        self._calls = 0
        self._said: list[str] = []
        self._held: list[str] = []
        self._imitated = False
        self._reason: FinishReason = "stop"
        self._filter_message = ""
        self._citations: list[Citation] = []

    def feed(self, candidate: JsonObject, events: list[Event]) -> None:
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        if parts is not None and not isinstance(parts, list):
            raise malformed_upstream("a candidate's parts are not a list")
        for part in parts or ():
            events += self._part(part)
        if (probabilities := logprobs(candidate.get("logprobsResult"))) is not None:
            events.append(LogprobsDelta(probabilities, self._number))
        if "groundingMetadata" in candidate or "citationMetadata" in candidate:
            found = citations(candidate, "".join(self._said))
            self._citations += [citation for citation in found if citation not in self._citations]
        self._finish_reason(candidate)

    def close(self) -> list[Event]:
        events = [] if self._imitated else self._text("".join(self._held))
        if self._citations:
            events += self._block("text")
            events += [CitationDelta(self._index, citation, self._number) for citation in self._citations]
        events += self._stop()
        if self._filter_message and self._reason == "content_filter":
            events += [*self._block("refusal"), RefusalDelta(self._index, self._filter_message, self._number), *self._stop()]
        reason: FinishReason = "tool_calls" if self._calls and self._reason == "stop" else self._reason
        return [*events, Finish(reason, None, self._number)]

    # --- parts ---

    def _part(self, part: Json) -> list[Event]:
        if not isinstance(part, dict):
            raise malformed_upstream("a part is not an object")
        if "functionCall" in part:
            return self._call(part)
        if set(part) - _ABOUT - {"text"}:
            return self._opaque(part)
        text, signature = part.get("text", ""), _signature(part)
        if not isinstance(text, str):
            raise malformed_upstream("a part's text is not a string")
        if part.get("thought"):
            return self._thought(text, signature)
        events = self._hold(text) if self._hidden_tool else self._text(text)
        return events if signature is None else [*events, *self._thought("", signature)]

    def _text(self, text: str) -> list[Event]:
        if not text:
            return []
        self._said.append(text)
        return [*self._block("text"), TextDelta(self._index, text, self._number)]

    def _hold(self, text: str) -> list[Event]:
        """With a hidden function the answer is that function's input; text is the answer only if it was not called."""
        self._held.append(text)
        return []

    def _thought(self, text: str, signature: str | None) -> list[Event]:
        """A signature closes its block. One that came with ordinary text becomes a block of its own behind that text."""
        if not text and signature is None:
            return []
        events = self._block("thinking")
        events.append(ThinkingDelta(self._index, text, signature, None, ORIGIN, None, self._number))
        return [*events, *self._stop()] if signature is not None else events

    def _call(self, part: JsonObject) -> list[Event]:
        call = part["functionCall"]
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(name, str) or not name:
            raise malformed_upstream("a functionCall has no name")
        arguments = call.get("args")
        if call.get("willContinue") or not isinstance(arguments, dict | None):
            raise malformed_upstream("a functionCall's arguments are not whole")
        text = dumps(arguments or {}).decode()
        if name == self._hidden_tool:
            if self._imitated:
                return []  # one answer was asked for
            self._imitated = True
            return self._text(text)
        given = call.get("id")
        call_id = given if isinstance(given, str) and given else made_up_id(self._response_id, self._number, self._calls)
        self._calls += 1
        return [
            *self._block("call"),
            ToolCallStart(self._index, call_id, name, _signature(part), ORIGIN, self._number),
            ToolCallDelta(self._index, text, self._number),
            *self._stop(),
        ]

    def _opaque(self, part: JsonObject) -> list[Event]:
        """Code execution, server tools, generated media: only Gemini understands them, signature included."""
        kind = next(key for key in part if key not in _ABOUT and key != "text")
        events = self._block(kind)
        return [*events, OpaqueBlock(self._index, Opaque(ORIGIN, kind, part), self._number), *self._stop()]

    # --- blocks ---

    @property
    def _index(self) -> int:
        return self._next - 1

    def _block(self, kind: str) -> list[Event]:
        """Makes sure that a block of `kind` is open."""
        if self._open == kind:
            return []
        events = self._stop()
        self._open = kind
        self._next += 1
        return events

    def _stop(self) -> list[Event]:
        if self._open is None:
            return []
        self._open = None
        return [BlockStop(self._index, self._number)]

    # --- the end ---

    def _finish_reason(self, candidate: Mapping[str, Any]) -> None:
        given = candidate.get("finishReason")
        if given is None or given == "FINISH_REASON_UNSPECIFIED":
            return
        self.finished = True
        message = candidate.get("finishMessage")
        message = message if isinstance(message, str) else ""
        reason = _FINISH.get(given) if isinstance(given, str) else None
        if reason is None and given == "UNEXPECTED_TOOL_CALL" and self._calls:
            reason = "stop"  # an undeclared function: the client is told of the call and can answer it with an error
        if reason is None:
            raise _abnormal(str(given), message)
        self._reason = reason
        if reason == "content_filter":
            self._filter_message = message


def _signature(part: Mapping[str, Any]) -> str | None:
    value = part.get("thoughtSignature")
    return value if isinstance(value, str) and value else None


def _abnormal(reason: str, message: str) -> GatewayError:
    tail = f": {message}" if message else "."
    what = f"The model ended its answer abnormally ({reason}){tail}"
    return GatewayError(ErrorKind.UPSTREAM_ERROR, what, upstream_type=reason)
