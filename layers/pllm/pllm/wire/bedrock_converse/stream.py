"""ConverseStream: event-stream frames in, neutral events out."""

from collections.abc import Iterable

from pllm.core.errors import GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.bedrock_converse.answer import Answer
from pllm.wire.bedrock_converse.errors import read_exception
from pllm.wire.eventstream import EventStreamDecoder, EventStreamError, Frame
from pllm.wire.neutral import Event, Failure


class ConverseDecoder:
    """The Decoder of one stream. Never raises; deaf after a Failure and after the end (case 18)."""

    def __init__(self, model: str, hidden_tool: str | None = None) -> None:
        self._frames = EventStreamDecoder()
        self._answer = Answer(model, hidden_tool)
        self._failed = False

    def feed(self, data: bytes) -> list[Event]:
        if self._is_deaf():
            return []
        events: list[Event] = []
        try:
            while frames := self._frames.feed(data):
                data = b""
                self._read(frames, events)
                if self._is_deaf():
                    break
        except EventStreamError as error:
            return [*events, self._fail(broken_stream(str(error)))]
        except GatewayError as error:
            return [*events, self._fail(error)]
        return events

    def close(self) -> list[Event]:
        if self._is_deaf():
            return []
        where = "in the middle of a frame" if self._frames.pending else "before its messageStop and metadata"
        return [self._fail(broken_stream(f"it ended {where}"))]

    def _is_deaf(self) -> bool:
        return self._failed or self._answer.whole

    def _fail(self, error: GatewayError) -> Failure:
        self._failed = True
        return Failure(error)

    def _read(self, frames: Iterable[Frame], events: list[Event]) -> None:
        """Appends to `events` as it goes, so that what came before an error in the same bytes is not lost."""
        for frame in frames:
            match frame.text(":message-type"):
                case "event":
                    events += self._answer.on(frame.text(":event-type"), _payload(frame))
                case "exception":
                    raise read_exception(frame.text(":exception-type"), frame.payload)
                case "error":
                    raise _unmodelled(frame)
                case kind:
                    raise malformed_upstream(f"a frame has the message type {kind!r}")


def _payload(frame: Frame) -> JsonObject:
    name = frame.text(":event-type")
    try:
        value = loads(frame.payload)
    except JsonError as error:
        raise malformed_upstream(f"the payload of {name} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise malformed_upstream(f"the payload of {name} is not an object")
    return value


def _unmodelled(frame: Frame) -> GatewayError:
    message = frame.text(":error-message")
    return read_exception(frame.text(":error-code"), dumps({"message": message}) if message else b"")
