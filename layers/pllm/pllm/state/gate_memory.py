"""What one environment remembers of gates: the last image, how fast the gate moves, and what it may refuse without asking.

Not safe for threads: the owner (`Gates`) holds its lock around every call.
"""

from collections import OrderedDict
from dataclasses import dataclass

from pllm.core.limit_image import GateImage
from pllm.core.limits import LimitKind, Reservation

_SCOPES = 4096
_TOO_SHORT_S = 0.1

# How long a refusal is believed. Requests come back seldom within a minute, but an administrator may raise or lift the limit.
_BELIEVED_S = {
    LimitKind.REQUESTS: 1.0,
    LimitKind.TOKENS: 1.0,
    LimitKind.BUDGET: 1.0,
    LimitKind.REVOKED: 1.0,
    LimitKind.PARALLEL: 0.2,
}


@dataclass(slots=True)
class _Memory:
    """`own`: permits this environment took in all. `mark_*`: where the gate stood when its pace was last measured."""

    image: GateImage
    at_s: float
    own: int = 0
    mark_window: int = 0
    mark_s: float = 0.0
    mark_used: int = 0
    mark_own: int = 0
    item_per_s: float = 0.0
    own_per_s: float = 0.0
    fleet: float | None = None


class GateMemory:
    """The last 4,096 gates that this environment saw."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Memory] = OrderedDict()

    def image(self, scope: str) -> GateImage | None:
        known = self._known.get(scope)
        return known.image if known else None

    def remember(
        self, scope: str, image: GateImage, now_s: float, *, taken: int = 0, typical: Reservation | None = None
    ) -> None:
        """`taken`: permits that this write of ours took; `typical`: one request, to count tokens in requests."""
        known = self._known.setdefault(scope, _Memory(image, now_s))
        self._known.move_to_end(scope)
        if len(self._known) > _SCOPES:
            self._known.popitem(last=False)
        known.own += taken
        if _older(image, known.image):
            return  # answers of two threads may overtake each other
        known.image, known.at_s = image, now_s
        _measure(known, _used(image, typical), now_s)

    def forget(self, scope: str) -> None:
        self._known.pop(scope, None)

    def doubt(self, scope: str) -> None:
        """Somebody gave back what nobody saw: what the gate refused before is to be asked again."""
        if known := self._known.get(scope):
            known.at_s = float("-inf")

    def believes(self, scope: str, kind: LimitKind, now_s: float) -> bool:
        """Whether a refusal by the last image needs no confirmation by the table."""
        known = self._known.get(scope)
        return known is not None and abs(now_s - known.at_s) <= _BELIEVED_S.get(kind, 0.0)

    def pace(self, scope: str) -> tuple[float, float]:
        """Requests a second that the gate admits to the fleet, and to this environment. 0 where it is not known."""
        known = self._known.get(scope)
        return (known.item_per_s, known.own_per_s) if known else (0.0, 0.0)

    def fleet(self, scope: str) -> float | None:
        """How many environments as busy as this one share the gate; None where that was never seen."""
        known = self._known.get(scope)
        return known.fleet if known else None


def _older(image: GateImage, than: GateImage) -> bool:
    return image.window < than.window or image.generation < than.generation or image.period < than.period


def _used(image: GateImage, typical: Reservation | None) -> int | None:
    """Requests admitted in this window, by whatever counts them; None where nothing does."""
    if image.requests_limit is not None:
        return image.requests_limit - image.requests_left
    if image.tokens_limit is not None and typical is not None and typical.tokens > 0:
        return (image.tokens_limit - image.tokens_left) // typical.tokens
    return None


def _measure(known: _Memory, used: int | None, now_s: float) -> None:
    if used is None:
        return
    elapsed_s = now_s - known.mark_s
    moved, own = used - known.mark_used, known.own - known.mark_own
    same = known.image.window == known.mark_window and elapsed_s >= 0 and moved >= 0
    if same and elapsed_s < _TOO_SHORT_S:
        return
    if same:
        known.item_per_s, known.own_per_s = moved / elapsed_s, own / elapsed_s
        if own > 0:
            known.fleet = max(moved / own, 1.0)
    known.mark_window, known.mark_s, known.mark_used, known.mark_own = known.image.window, now_s, used, known.own
