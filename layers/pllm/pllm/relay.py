"""A stream between an upstream and a client, from the upstream's head to the client's last byte.

The promise: what the client gets either ends with its dialect's end marker, because the upstream's was seen, or with an
explicit error event, or, where its bytes have no words for one, by being cut. There is no other way out of `pieces`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream
from pllm.core.pricing import cost_micro_usd
from pllm.core.record import RequestRecord
from pllm.providers.base import UpstreamResponse
from pllm.telemetry.log import crash_site
from pllm.wire.lane import Relay
from pllm.wire.produced import Produced
from pllm.wire.usage import Usage

_log = logging.getLogger(__name__)

_JSON = (b"{", b"[")
_MOST_JUDGED_BYTES = 256 * 1024
_DRAIN_S = 0.25

Judge = Callable[[bytes], GatewayError]
"""A JSON body that came in place of a stream -> what is wrong with that: often an error under a good status."""


class LiveStream:
    """One upstream answer being relayed. `open`, then `pieces`, then `close`, each once. `judge`: None where any byte may begin
    a stream. `failure`: what broke it, if it was not its client that left; `first_event_s`: monotonic, None as long as there
    was none. `last_words`: asked when everything is known, for whole events or comments to be put before the last piece."""

    def __init__(
        self, response: UpstreamResponse, relay: Relay, record: RequestRecord, clock: Clock, judge: Judge | None = None
    ) -> None:
        self._response = response
        self._relay = relay
        self._record = record
        self._clock = clock
        self._judge = judge
        self._chunks = response.chunks()
        self._opening: asyncio.Task[bytes] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._late: GatewayError | None = None
        self.failure: GatewayError | None = None
        self.first_event_s: float | None = None
        self.last_words: Callable[[], bytes] = bytes

    @property
    def whole(self) -> bool:
        """Whether the upstream's end marker was seen."""
        return self._relay.finished and self._relay.error is None and self.failure is None

    @property
    def usage(self) -> Usage | None:
        """What the upstream has told of it so far."""
        return self._relay.usage

    @property
    def produced(self) -> Produced | None:
        """What it has shown since."""
        return self._relay.produced

    async def open(self, patience_s: float | None) -> None:
        """Returns when the first event was seen, or after `patience_s` of silence (None: it waits): then the status is to be
        committed and what comes out of the wait is for `pieces` to tell. Raises GatewayError when the stream failed before."""
        content_type = self._response.headers.get("content-type", "").lower()
        if content_type.startswith("text/html") or (self._judge is None and content_type.startswith("application/json")):
            raise malformed_upstream(f"a stream was asked for and {content_type.split(';')[0]} came")
        self._opening = asyncio.create_task(self._first())
        await asyncio.wait({self._opening}, timeout=patience_s)
        if self._opening.done():
            self._opening.result()

    def end_at(self, deadline_s: float, error: GatewayError) -> None:
        """From now on the stream ends with `error` once the monotonic `deadline_s` has passed."""
        self._deadline = asyncio.get_running_loop().call_later(
            max(deadline_s - self._clock.monotonic_s(), 0.0), self._too_late, error
        )

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The client's bytes, in whole events. Never raises, whatever the upstream does, but for a stream that has no words
        for its error (audio): that raises the GatewayError, for the response to be seen to be cut."""
        try:
            first = await self._opening if self._opening is not None else await self._first()
            if first := self._with_last_words(first):
                yield first
            while not self._relay.finished:
                if out := self._with_last_words(self._translated(await self._next())):
                    yield out
                if self._relay.error is not None:
                    raise self._relay.error
        except GatewayError as error:
            if said := self._broken(self._late or error):
                yield said
        except Exception as error:  # noqa: BLE001 - a bug of ours must not look like a finished stream
            _log.error("relaying a stream failed: %s", crash_site(error))
            yield self._broken(GatewayError(ErrorKind.INTERNAL, "The gateway failed while relaying this stream."))
        finally:
            self._note()

    def final(self) -> Mapping[str, Any] | None:
        """The object that the whole stream amounts to, where the client's dialect ends with one (Responses)."""
        final: Mapping[str, Any] | None = getattr(self._relay, "response", None) if self._relay.finished else None
        return final

    async def close(self) -> None:
        """Gives the connection back. Runs after the client's last byte, so a short wait for the upstream's is free."""
        if self._deadline is not None:
            self._deadline.cancel()
        try:
            await self._come_to_rest()
        finally:
            self._note()
            await self._chunks.aclose()  # it has a timer of its own
            await self._response.close()

    async def _come_to_rest(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            # Also of what nobody waited for: asyncio would log its error, and providers quote prompts in theirs.
            await asyncio.gather(self._opening, return_exceptions=True)
        if self.whole:
            await self._drain()

    def _with_last_words(self, out: bytes) -> bytes:
        if not self.whole:
            return out
        self._note()
        return self.last_words() + out

    async def _first(self) -> bytes:
        data = await self._next()
        if self._judge is not None and data is not None and data.lstrip()[:1] in _JSON:
            raise self._judge(data + await self._rest())
        held = self._translated(data)
        while not (self._relay.error or self._relay.opened or self._relay.finished):
            held += self._translated(await self._next())
        if self._relay.error is not None:
            raise self._relay.error
        self.first_event_s = self._clock.monotonic_s()
        if self._record.first_event_s is None:
            self._record.first_event_s = self.first_event_s
        return held

    async def _rest(self) -> bytes:
        pieces, size = [b""], 0
        with suppress(GatewayError):
            while size < _MOST_JUDGED_BYTES and (data := await self._next()) is not None:
                pieces.append(data)
                size += len(data)
        return b"".join(pieces)

    def _translated(self, data: bytes | None) -> bytes:
        began_s = self._clock.monotonic_s()
        out = self._relay.feed(data) if data is not None else self._relay.close()
        self._record.translate_s += self._clock.monotonic_s() - began_s
        return out

    async def _next(self) -> bytes | None:
        asked_s = self._clock.monotonic_s()
        try:
            data = await anext(self._chunks, None)
        finally:
            self._record.upstream_s += self._clock.monotonic_s() - asked_s
        if data is None and self._late is not None:
            raise self._late  # we ended it ourselves
        return data

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                while await anext(self._chunks, None) is not None:
                    pass
        except (TimeoutError, GatewayError):
            pass  # the connection is dropped instead of reused; the answer is already complete

    def _too_late(self, error: GatewayError) -> None:
        self._late = error
        asyncio.ensure_future(self._response.close())  # noqa: RUF006 - closes synchronously, there is nothing to wait for

    def _broken(self, error: GatewayError) -> bytes:
        self.failure = error
        self._record.broken = True
        self._record.error = error.kind.value
        said = self._relay.fail(error)
        if said is None:
            raise error
        self._note()
        return self.last_words() + said

    def _note(self) -> None:
        note_usage(self._record, self._relay.usage, self._relay.finish)


def note_usage(record: RequestRecord, usage: Usage | None, finish: str | None) -> None:
    """What an answer used and cost, as far as it is known."""
    if usage is not None:
        record.used = usage
        record.prompt_tokens, record.completion_tokens = usage.prompt, usage.output
        record.cached_tokens, record.reasoning_tokens = usage.cache_read, usage.reasoning
        record.images, record.audio_seconds, record.characters = usage.images, usage.audio_seconds, usage.characters
        record.cost_micro_usd = cost_micro_usd(usage, record.prices)
    record.finish = finish or ""
