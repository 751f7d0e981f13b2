"""The lane through the neutral form: client wire to neutral to upstream wire, and back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pllm.core.errors import GatewayError, broken_stream
from pllm.wire.fan_out import FannedDecoder, check_copies, merge
from pllm.wire.frames import bodies
from pllm.wire.lane import Answer, AnswerContext, Lane, Relay, Target, WireRequest
from pllm.wire.neutral import (
    End,
    Event,
    Failure,
    Finish,
    OpaqueBlock,
    Ping,
    RefusalDelta,
    Request,
    Start,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UpstreamDialect,
    Usage,
    UsageUpdate,
)
from pllm.wire.produced import Produced
from pllm.wire.translator import ClientWire, Decoder, Encoder, UpstreamWire

_SHOWS_THAT_IT_THINKS = frozenset({"messages", "converse"})
"""Dialects whose streams say that a model thinks, if not all of what it thinks."""

_WITHOUT_N = frozenset({"messages", "converse"})


def translated_lane(
    client: ClientWire, upstream: UpstreamWire, request: Request, target: Target, context: AnswerContext
) -> Lane:
    """Raises GatewayError(400) for what the upstream cannot carry."""
    n = request.n
    if request.dialect == "chat" and n == 1:
        n = target.defaults.get("n") or 1
    if n > 1 and (upstream.dialect in _WITHOUT_N or "n" in target.quirks.refused | target.profile.refused_params):
        return FannedLane(client, upstream, request, target, context, n)
    return TranslatedLane(client, upstream, request, target, context)


class TranslatedLane:
    """Client wire -> neutral -> upstream wire, and back, event by event."""

    def __init__(
        self, client: ClientWire, upstream: UpstreamWire, request: Request, target: Target, context: AnswerContext
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._asked = request
        self._context = context
        self._encoded = upstream.encode(request, target)

    @property
    def request(self) -> WireRequest:
        return self._encoded.request

    @property
    def dropped(self) -> tuple[str, ...]:
        return self._encoded.dropped

    @property
    def emulated(self) -> tuple[str, ...]:
        return self._encoded.emulated

    def answer(self, body: bytes, content_type: str) -> Answer:
        response = self._upstream.decode(body, self._encoded)
        finish = response.choices[0].finish if response.choices else None
        return Answer(self._client.encode(response, self._asked, self._context), response.usage, finish)

    def relay(self) -> Relay:
        encoder = self._client.encoder(self._asked, self._context)
        return _TranslatedRelay(self._upstream.decoder(self._encoded), encoder, self._upstream.dialect)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return self._upstream.error(status, headers, body)


class FannedLane(TranslatedLane):
    """`n` answers from an upstream that gives one: the request without its n, sent n times (case 23)."""

    def __init__(
        self, client: ClientWire, upstream: UpstreamWire, request: Request, target: Target, context: AnswerContext, n: int
    ) -> None:
        check_copies(n, target.public_name)
        defaults = {name: value for name, value in target.defaults.items() if name != "n"}
        super().__init__(client, upstream, replace(request, n=1), replace(target, defaults=defaults), context)
        self._n = n

    @property
    def request(self) -> WireRequest:
        return replace(self._encoded.request, copies=self._n)

    @property
    def emulated(self) -> tuple[str, ...]:
        return (*self._encoded.emulated, "n")

    def answer(self, body: bytes, content_type: str) -> Answer:
        response = merge([self._upstream.decode(one, self._encoded) for one in bodies(body)])
        return Answer(self._client.encode(response, self._asked, self._context), response.usage, response.choices[0].finish)

    def relay(self) -> Relay:
        decoder = FannedDecoder([self._upstream.decoder(self._encoded) for _ in range(self._n)])
        return _FannedRelay(decoder, self._client.encoder(self._asked, self._context), self._upstream.dialect)


class _TranslatedRelay:
    """Decoder and encoder back to back. A Failure is kept as `error` and not encoded: who sends it is for the pipeline to
    say, since before the first byte the request may still go elsewhere."""

    def __init__(self, decoder: Decoder, encoder: Encoder, dialect: UpstreamDialect) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._dialect = dialect
        self.produced = Produced(False if dialect in _SHOWS_THAT_IT_THINKS else None)
        self.opened = False
        self.finished = False
        self.error: GatewayError | None = None
        self.usage: Usage | None = None
        self.finish: str | None = None

    @property
    def response(self) -> Mapping[str, Any] | None:
        """The final object of dialects whose streams end with one (Responses), once the stream is whole."""
        final: Mapping[str, Any] | None = getattr(self._encoder, "response", None)
        return final

    def feed(self, data: bytes) -> bytes:
        if self.error or self.finished:
            return b""
        return self._pass_on(self._decoder.feed(data))

    def close(self) -> bytes:
        if self.error or self.finished:
            return b""
        written = self._pass_on(self._decoder.close())
        if not self.finished and self.error is None:
            self.error = broken_stream("it ended without its end marker")
        return written

    def fail(self, error: GatewayError) -> bytes:
        return self._encoder.feed((Failure(error),))

    def _pass_on(self, events: list[Event]) -> bytes:
        good: list[Event] = []
        for event in events:
            if isinstance(event, Failure):
                self.error = event.error
                break
            self._note(event)
            good.append(event)
        if not good:
            return b""
        written = self._encoder.feed(good)
        if self._encoder.error is not None:
            self.error, self.finished = self._encoder.error, False
        return written

    def _note(self, event: Event) -> None:
        match event:
            case Start(usage=Usage() as usage) | UsageUpdate(usage):
                self.usage = usage
                self.produced.told(usage.output)
            case TextDelta(text=text) | RefusalDelta(text=text) | ToolCallDelta(fragment=text):
                self.produced.text(text)
            case ToolCallStart():
                self.produced.text(event.name)
            case ThinkingDelta():
                self._note_thinking(event)
            case OpaqueBlock():
                self.produced.hidden = True
            case Finish(reason):
                self.finish = reason
            case End():
                self.finished = True
            case _:
                pass
        if not isinstance(event, Ping):
            self.opened = True

    def _note_thinking(self, delta: ThinkingDelta) -> None:
        """Only servers of the Chat dialect show what they bill for; the others show summaries."""
        if self._dialect == "chat" and not (delta.signature or delta.redacted):
            self.produced.text(delta.text)
            self.produced.hidden = bool(self.produced.hidden)
        else:
            self.produced.hidden = True


class _FannedRelay(_TranslatedRelay):
    """Several streams in one: usage is of those that have told theirs, and says nothing of the rest."""

    def _note(self, event: Event) -> None:
        super()._note(event)
        self.produced.hidden = True
        self.produced.tokens = max(self.produced.tokens, 1)
