"""Several answers to one request (`n`, translation case 23) from upstreams whose dialect knows only one: as many calls, merged.

The calls' bytes travel together (see `wire.frames`), so that a lane sees one body or one stream as ever. Merged are the
neutral answers and events: choices are numbered by call, usage is summed (every call read the prompt), and whatever breaks
one of the streams breaks the whole.
"""

from collections.abc import Sequence
from dataclasses import fields, replace

from pllm.core.errors import broken_stream, invalid
from pllm.wire.frames import frames
from pllm.wire.neutral import End, Event, Failure, Ping, Response, Start, Usage, UsageUpdate
from pllm.wire.translator import Decoder

MOST_COPIES = 8
"""Each costs a connection and reads the whole prompt again."""


def check_copies(n: int, public_name: str) -> None:
    """Raises GatewayError(400) for more answers than one request may cause calls."""
    if n > MOST_COPIES:
        raise invalid(
            f"n is {n}: model {public_name!r} gives one answer a call, and at most {MOST_COPIES} calls are made for a request.",
            "n",
        )


# --- Answers ------------------------------------------------------------------------------------------------------


def merge(responses: Sequence[Response]) -> Response:
    """One answer with every choice, numbered in the order of the calls."""
    usages = [response.usage for response in responses if response.usage is not None]
    choices = tuple(choice for response in responses for choice in response.choices)
    return replace(responses[0], choices=choices, usage=total(usages) if usages else None)


def total(usages: Sequence[Usage]) -> Usage:
    """What several calls used together."""
    names = [field.name for field in fields(Usage) if field.name != "raw"]
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in names})


class FannedDecoder:
    """Frames in, the events of one stream with several choices out. See `wire.lane.Decoder`."""

    def __init__(self, decoders: Sequence[Decoder]) -> None:
        self._decoders = decoders
        self._usages: dict[int, Usage] = {}
        self._started = False
        self._ended: set[int] = set()
        self._broken = False

    def feed(self, data: bytes) -> list[Event]:
        out: list[Event] = []
        for branch, piece in frames(data):
            if branch in self._ended or self._broken:
                continue
            decoder = self._decoders[branch]
            self._take(branch, decoder.feed(piece) if piece else decoder.close(), out)
        return out

    def close(self) -> list[Event]:
        if self._broken or len(self._ended) == len(self._decoders):
            return []
        self._broken = True
        return [Failure(broken_stream("one of its answers ended early"))]

    def _take(self, branch: int, events: Sequence[Event], out: list[Event]) -> None:
        for event in events:
            match event:
                case Start():
                    self._start(branch, event, out)
                case UsageUpdate(usage):
                    self._note(branch, usage, out)
                case End():
                    self._ended.add(branch)
                    if len(self._ended) == len(self._decoders):
                        out.append(event)
                case Failure():
                    self._broken = True
                    out.append(event)
                    return
                case Ping():
                    out.append(event)
                case _:
                    out.append(replace(event, choice=branch))

    def _start(self, branch: int, event: Start, out: list[Event]) -> None:
        if not self._started:
            self._started = True
            out.append(replace(event, usage=None))
        if event.usage is not None:
            self._note(branch, event.usage, out)

    def _note(self, branch: int, usage: Usage, out: list[Event]) -> None:
        self._usages[branch] = usage
        out.append(UsageUpdate(total(list(self._usages.values()))))
