"""Gemini's generateContent as an upstream wire."""

from collections.abc import Callable, Mapping

from pllm.core.errors import ErrorKind, GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import JsonError, loads
from pllm.wire.folding import fold
from pllm.wire.gemini.answer import AnswerReader
from pllm.wire.gemini.count_tokens import decode_count, encode_count
from pllm.wire.gemini.errors import read_error
from pllm.wire.gemini.media import takes_url
from pllm.wire.gemini.request import GeminiEncoded, encode
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Event, Failure, Request, Response, UpstreamDialect
from pllm.wire.sse import SseDecoder, SseError, SseEvent
from pllm.wire.translator import Decoder, Encoded


class GeminiWire:
    """Stateless; one for all requests. It counts tokens, too."""

    dialect: UpstreamDialect = "gemini"
    needs_bytes: frozenset[str] = frozenset({"image", "audio", "document"})

    def takes_url(self, url: str) -> bool:
        return takes_url(url)

    def encode(self, request: Request, target: Target) -> Encoded:
        return encode(request, target)

    def decode(self, body: bytes, encoded: Encoded) -> Response:
        try:
            answer = loads(body)
        except JsonError as error:
            raise malformed_upstream(str(error)) from None
        reader = _reader(encoded)
        try:
            events: list[Event] = []
            reader.feed(answer, events)
            return fold([*events, *reader.close()])
        except GatewayError as error:
            if error.kind is ErrorKind.STREAM_BROKEN:
                raise malformed_upstream("it has no finishReason for every candidate") from None
            raise

    def decoder(self, encoded: Encoded) -> Decoder:
        return _StreamDecoder(_reader(encoded))

    def encode_count(self, request: Request, target: Target) -> WireRequest:
        return encode_count(request, target)

    def decode_count(self, body: bytes) -> int:
        return decode_count(body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def _reader(encoded: Encoded) -> AnswerReader:
    candidates = encoded.candidates if isinstance(encoded, GeminiEncoded) else 1
    return AnswerReader(candidates, encoded.hidden_tool)


class _StreamDecoder:
    """Bytes of an SSE stream to events; after a Failure, or its end, it is deaf."""

    def __init__(self, reader: AnswerReader) -> None:
        self._sse = SseDecoder()
        self._reader = reader
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        return self._guarded(lambda events: self._read(self._sse.feed(data), events))

    def close(self) -> list[Event]:
        def finish(events: list[Event]) -> None:
            try:
                self._read(self._sse.close(), events)
            except JsonError:
                raise broken_stream("it ended in the middle of an event") from None
            events += self._reader.close()

        events = self._guarded(finish)
        self._over = True
        return events

    def _read(self, blocks: list[SseEvent], events: list[Event]) -> None:
        for block in blocks:
            if block.data is not None:
                self._reader.feed(loads(block.data), events)

    def _guarded(self, step: Callable[[list[Event]], None]) -> list[Event]:
        """What was read before a failure still counts: it is given before the Failure."""
        events: list[Event] = []
        if self._over:
            return events
        try:
            step(events)
        except GatewayError as error:
            self._over = True
            events.append(Failure(error))
        except (JsonError, SseError) as error:
            self._over = True
            events.append(Failure(malformed_upstream(str(error))))
        return events
