"""A Chat stream on its way through, event by event as received, scanned for usage, finish reasons and errors."""

from collections.abc import Iterator

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.openai_chat.errors import error_body
from pllm.wire.openai_chat.framing import DONE, Frame, FrameReader
from pllm.wire.produced import Produced
from pllm.wire.sse import encode
from pllm.wire.usage import Usage

_NULL_USAGE = b',"usage":null'


class ChatRelay:
    """See `wire.lane.Relay`. `usage_asked`: the client wants one last chunk with usage; `usage_forced`: it did not, but we
    asked the provider, so that chunk and the `usage` fields it brings are taken out again (case 16).

    Comments are passed on, also before `opened`; the caller holds back what comes before it commits to a status.
    """

    __slots__ = ("_asked", "_forced", "_frames", "_sent_usage", "error", "finished", "produced")

    def __init__(self, *, usage_asked: bool, usage_forced: bool, done_marker: bool = True) -> None:
        self._frames = FrameReader(done_marker)
        self._asked, self._forced = usage_asked, usage_forced
        self._sent_usage = False
        self.produced = Produced()
        self.finished = False
        self.error: GatewayError | None = None

    @property
    def opened(self) -> bool:
        return self._frames.opened

    @property
    def usage(self) -> Usage | None:
        return self._frames.usage

    @property
    def finish(self) -> str | None:
        """The first choice's finish_reason, as the provider said it."""
        finishes = self._frames.finishes
        return finishes[min(finishes)] if finishes else None

    def feed(self, data: bytes) -> bytes:
        return b"" if self.finished or self.error is not None else self._pass_on(self._frames.feed(data))

    def close(self) -> bytes:
        return b"" if self.finished or self.error is not None else self._pass_on(self._frames.close())

    def fail(self, error: GatewayError) -> bytes:
        return encode(error_body(error))

    def _pass_on(self, frames: Iterator[Frame]) -> bytes:
        out: list[bytes] = []
        try:
            for raw, chunk, done in frames:
                if chunk is not None:
                    self.produced.choices(chunk.get("choices") or ())
                    out.append(self._show(raw, chunk) if "usage" in chunk else raw)
                else:
                    out.append(self._end() if done else raw)
        except GatewayError as error:
            self.error = error
        return b"".join(out)

    def _show(self, raw: bytes, chunk: JsonObject) -> bytes:
        """The usage chunk is for those who asked, and for them no other chunk has usage; the rest see none that we caused."""
        found = chunk["usage"]
        if found is not None and self._frames.usage is not None:
            self.produced.told(self._frames.usage.output)
        if not (self._asked or self._forced):
            return raw
        if found is not None and not chunk.get("choices"):
            self._sent_usage = True
            return raw if self._asked else b""
        if self._asked:
            return raw if found is None else encode(dumps({**chunk, "usage": None}))
        if found is None and raw.count(_NULL_USAGE) == 1:
            # A quote inside a JSON string is escaped, so this can only be the field itself.
            return raw.replace(_NULL_USAGE, b"")
        return encode(dumps({name: value for name, value in chunk.items() if name != "usage"}))

    def _end(self) -> bytes:
        self.finished = True
        frames = self._frames
        if self._asked and not self._sent_usage and frames.usage_json is not None:
            return encode(dumps({**frames.usage_chunk, "choices": [], "usage": frames.usage_json})) + DONE
        return DONE
