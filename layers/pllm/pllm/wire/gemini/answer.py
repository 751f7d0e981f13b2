"""GenerateContentResponse objects as events: one whole answer or the chunks of a stream, which are the same kind of object.

The buffered answer is read as a stream of one chunk, so that the two cannot drift apart. Neither is over before `close`:
Gemini has no end marker, and a candidate may repeat its finishReason or go on after it. What proves a stream whole is a
finishReason for every candidate that was asked for (case 18).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pllm.core.errors import broken_stream, malformed_upstream
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.gemini.candidate import CandidateReader
from pllm.wire.gemini.errors import error_object, from_status
from pllm.wire.gemini.usage import service_tier, usage
from pllm.wire.neutral import BlockStop, End, Event, Finish, RefusalDelta, Start, UsageUpdate


class AnswerReader:
    """Feed it each object in turn, then `close` it. Raises GatewayError for what is an error or no answer of Gemini's."""

    def __init__(self, candidates: int = 1, hidden_tool: str | None = None) -> None:
        self._expected = candidates
        self._hidden_tool = hidden_tool
        self._candidates: dict[int, CandidateReader] = {}
        self._started = False
        self._response_id = ""
        self._usage: dict[str, Any] = {}
        self._blocked = False
        self._refused = False

    def feed(self, chunk: Json, events: list[Event]) -> None:
        """Appends what `chunk` says to `events`, where it stays even if the chunk then turns out to be an error."""
        if (error := error_object(chunk)) is not None:
            raise from_status(error, _http_status(error))
        if not isinstance(chunk, dict):
            raise malformed_upstream("a chunk is not an object")
        metadata = _object(chunk, "usageMetadata")
        events += self._start(chunk, metadata)
        events += self._count(metadata)
        events += self._prompt_feedback(_object(chunk, "promptFeedback"))
        for candidate in _list(chunk, "candidates"):
            self._candidate(candidate, events)

    def close(self) -> list[Event]:
        """The last events, End included. Raises STREAM_BROKEN when a candidate has not finished."""
        if self._blocked:
            return [*([BlockStop(0)] if self._refused else []), Finish("content_filter"), End()]
        finished = [reader for reader in self._candidates.values() if reader.finished]
        if len(finished) < max(self._expected, len(self._candidates)):
            raise broken_stream("it ended without a finishReason for every candidate")
        events = [event for _, reader in sorted(self._candidates.items()) for event in reader.close()]
        return [*events, End()]

    def _start(self, chunk: JsonObject, metadata: JsonObject) -> list[Event]:
        if self._started:
            return []
        self._started = True
        self._response_id = _text(chunk, "responseId")
        created_s = _epoch_s(chunk.get("createTime"))
        return [Start(self._response_id, _text(chunk, "modelVersion"), None, created_s, service_tier(metadata))]

    def _prompt_feedback(self, feedback: JsonObject) -> list[Event]:
        """A blocked prompt has no candidates at all."""
        if not feedback.get("blockReason") or self._blocked:
            return []
        self._blocked = True
        said = feedback.get("blockReasonMessage")
        self._refused = isinstance(said, str) and said != ""
        return [RefusalDelta(0, str(said))] if self._refused else []

    def _candidate(self, candidate: Json, events: list[Event]) -> None:
        if not isinstance(candidate, dict):
            raise malformed_upstream("a candidate is not an object")
        number = candidate.get("index", 0)
        if not isinstance(number, int) or not 0 <= number < 1000:
            raise malformed_upstream("a candidate's index is not a small number")
        if number not in self._candidates:
            self._candidates[number] = CandidateReader(number, self._response_id, self._hidden_tool)
        self._candidates[number].feed(candidate, events)

    def _count(self, metadata: JsonObject) -> list[Event]:
        """Counts are cumulative, but a later chunk may leave one out that an earlier one had: it still holds."""
        self._usage = {**self._usage, **metadata}
        counted = usage(self._usage) if metadata else None
        return [UsageUpdate(counted)] if counted else []


def _http_status(error: Mapping[str, Any]) -> int:
    code = error.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _object(holder: JsonObject, name: str) -> JsonObject:
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed_upstream(f"{name} is not an object")
    return value


def _list(holder: JsonObject, name: str) -> list[Any]:
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed_upstream(f"{name} is not a list")
    return value


def _text(holder: JsonObject, name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def _epoch_s(created: Json) -> int | None:
    if not isinstance(created, str):
        return None
    try:
        return int(datetime.fromisoformat(created).timestamp())
    except ValueError:
        return None
