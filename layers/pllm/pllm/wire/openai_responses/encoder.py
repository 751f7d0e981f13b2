"""Neutral events to the Responses event stream, and a finished answer to a Response object.

Both are one state machine, so the object in `response.completed` is the buffered answer. The stream has no `[DONE]`:
`response.completed`, `response.incomplete` or `response.failed` ends it.
"""

from collections.abc import Iterable

from pllm.core.errors import GatewayError, broken_stream
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.folding import unfold
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import End, Event, Failure, Finish, Ping, Request, Response, Start, Usage, UsageUpdate
from pllm.wire.openai_responses.envelope import Envelope, incomplete_details
from pllm.wire.openai_responses.errors import error_event, failed_error
from pllm.wire.openai_responses.output import Output
from pllm.wire.sse import KEEP_ALIVE, encode


class Assembly:
    """An answer coming together: the output, and all that its Response object says around it."""

    def __init__(self, request: Request, context: AnswerContext) -> None:
        self.envelope = Envelope(request, context)
        self.output = Output(context.id_seed)
        self.usage: Usage | None = None
        self.finish: Finish | None = None

    def take(self, event: Event) -> list[JsonObject]:
        match event:
            case Start():
                self.envelope.begin(event)
                self.usage = event.usage or self.usage
            case UsageUpdate(usage):
                self.usage = usage
            case Finish(choice=0):
                self.finish = event
            case _:
                return self.output.take(event)
        return []

    def end(self) -> tuple[list[JsonObject], str, JsonObject | None]:
        """The last payloads, the status ("completed" or "incomplete") and why it is incomplete."""
        if self.finish is None:
            raise broken_stream("it ended without a finish reason")
        incomplete = incomplete_details(self.finish.reason, refused_in_words=self.output.has_refusal)
        status = "completed" if incomplete is None else "incomplete"
        return self.output.finish(status), status, incomplete

    @property
    def items(self) -> list[JsonObject]:
        return [item.json for item in self.output.items]


def write_response(response: Response, request: Request, context: AnswerContext) -> bytes:
    """The Response object of a finished answer. Raises GatewayError(UPSTREAM_PROTOCOL) for what has no form here."""
    assembly = Assembly(request, context)
    for event in unfold(response):
        assembly.take(event)
    _, status, incomplete = assembly.end()
    return assembly.envelope.text(status, assembly.items, assembly.usage, incomplete)


class ResponsesEncoder:
    """See `wire.lane.Encoder`. `response` is the final Response object once the stream has ended whole, for storing."""

    def __init__(self, request: Request, context: AnswerContext) -> None:
        self._assembly = Assembly(request, context)
        self._sequence = 0
        self._started = False
        self._deaf = False
        self.response: JsonObject | None = None
        self.error: GatewayError | None = None

    def feed(self, events: Iterable[Event]) -> bytes:
        return b"".join(self._write(event) for event in events)

    def _write(self, event: Event) -> bytes:
        if self._deaf:
            return b""
        try:
            match event:
                case Failure(error):
                    return self._fail(error)
                case Ping():
                    return KEEP_ALIVE
                case End():
                    return self._end()
                case _:
                    payloads = self._assembly.take(event)
                    return self._begin() + b"".join([self._event(payload) for payload in payloads])
        except GatewayError as error:
            self.error = error
            return self._fail(error)

    def _begin(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        shown = self._assembly.envelope.text("in_progress", [])
        return self._lifecycle("response.created", shown) + self._lifecycle("response.in_progress", shown)

    def _end(self) -> bytes:
        payloads, status, incomplete = self._assembly.end()
        written = self._begin() + b"".join([self._event(payload) for payload in payloads])
        assembly = self._assembly
        self._deaf = True
        self.response = assembly.envelope.whole(status, assembly.items, assembly.usage, incomplete)
        shown = assembly.envelope.text(status, assembly.items, assembly.usage, incomplete)
        return written + self._lifecycle(f"response.{status}", shown)

    def _fail(self, error: GatewayError) -> bytes:
        """An `error` event, which the SDKs raise, and the Response object as failed with what had come so far."""
        self._deaf = True
        self._assembly.output.abandon()
        assembly = self._assembly
        shown = assembly.envelope.text("failed", assembly.items, assembly.usage, None, failed_error(error))
        return self._event(error_event(error)) + self._lifecycle("response.failed", shown)

    def _event(self, payload: JsonObject) -> bytes:
        name: str = payload["type"]
        written = encode(dumps({**payload, "sequence_number": self._sequence}), name)
        self._sequence += 1
        return written

    def _lifecycle(self, name: str, response: bytes) -> bytes:
        data = b'{"type":"%b","sequence_number":%d,"response":%b}' % (name.encode(), self._sequence, response)
        self._sequence += 1
        return encode(data, name)
