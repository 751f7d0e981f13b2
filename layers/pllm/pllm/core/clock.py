"""Time as a value that is handed in, so that tests own it, and as it is told."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Never call `time` outside an implementation of this."""

    def wall_s(self) -> float:
        """Seconds since the epoch. The only clock to trust across a Lambda freeze."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, for durations inside one request."""
        ...


@dataclass
class ManualClock:
    """A clock that moves only when told to. For tests and simulations."""

    now_s: float = 1_800_000_000.0

    def wall_s(self) -> float:
        return self.now_s

    def monotonic_s(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


def rfc3339(time_s: float) -> str:
    """A moment (seconds since the epoch) in UTC, to the whole second that it is in."""
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
