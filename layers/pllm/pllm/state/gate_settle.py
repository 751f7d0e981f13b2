"""Settling: what was held is given back, what was used is charged, in whichever generation the hold has come to by then.

    hold is current     (g = taken)        b += held - used   hc -= held   h -= held
    hold is previous    (g = taken + 1)    b += held - used   hp -= held   h -= held
    hold was released   (g > taken + 1)    b -= used          (strict: it was charged, so b += held - used in its period)

Requests and tokens go back only into the window they were taken from; tokens used beyond the reservation are charged to the
present one. A parallel slot is given back unless its generation has done so already. Every row leaves
`b + h + everything settled` as it was.

A request that was refused because the answer to its admission did not come is taken back if the gate says that it was in, and
that nobody was admitted after it: the mark that it wrote still stands there. Else its hold expires.

What may not have been booked (an answer that did not come) is otherwise only ever charged: `b -= used` is right if the hold
was never written or settled, and counts twice at worst; giving back what somebody else holds is impossible.
"""

from dataclasses import dataclass, replace

from pllm.core.limit_image import GateImage
from pllm.core.limits import Spent
from pllm.state.gate_ticket import Hold
from pllm.state.gate_writes import SORT_KEY, partition_key
from pllm.state.store import AllOf, Compare, Condition, Exists, Update


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction of which nobody knows whether it happened. `since_s`: when it was first sent (epoch seconds). Only the
    very same update under the same token asks the same thing."""

    update: Update
    token: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one hold comes to. `undo`: the request was not made, so its place in the minute is given back, too. `doubts`: how
    often it was sent without an answer. `sent`: the transaction to be sent again before anything else is. `mark`: of an
    admission whose answer was lost, to be undone only while the gate bears it."""

    hold: Hold
    spent: Spent
    undo: bool = False
    doubts: int = 0
    sent: Sent | None = None
    mark: int | None = None

    @property
    def charges(self) -> bool:
        """Whether losing it would forget money or tokens that were used. A mere refund may be lost: holds expire."""
        over = self.hold.tokens is not None and self.spent.tokens > self.hold.tokens
        return over or (self.hold.micro_usd is not None and self.spent.micro_usd > 0)

    def after_lost_answer(self) -> "Settlement | None":
        """What is still to be written when nobody knows whether it was: the charge, once more. None where there is none, or
        where that went without an answer, too."""
        if not self.charges or self.doubts:
            return None
        return replace(self, hold=replace(self.hold, certain=False), doubts=1)


def settle_update(job: Settlement, image: GateImage | None, *, strict: bool) -> Update | None:
    """The write that settles, judged by the last image; None when nothing is left to write."""
    hold = job.hold
    if job.mark is not None or image is None:
        image = GateImage(hold.at.window, hold.at.generation, hold.at.period)
    add, conditions = _minute(job, image)
    if hold.micro_usd is not None or hold.slot:
        held, held_conditions = _held(job, image, strict) if hold.certain else (_charge(job), [])
        add |= held
        conditions += held_conditions
    add = {name: amount for name, amount in add.items() if amount}
    if not add:
        return None
    if job.mark is None:
        return Update(partition_key(hold.scope), SORT_KEY, add=add, condition=AllOf((Exists("w"), *conditions)))
    marked = Compare("m", "=", job.mark)
    return Update(partition_key(hold.scope), SORT_KEY, add=add, remove=("m",), condition=AllOf((marked, *conditions)))


def _minute(job: Settlement, image: GateImage) -> tuple[dict[str, int], list[Condition]]:
    """Requests and tokens. `certain` or not, an overshoot is charged; a refund needs certainty and the same window."""
    hold, same = job.hold, job.hold.certain and image.window == job.hold.at.window
    unused = hold.tokens - job.spent.tokens if hold.tokens is not None else 0
    add: dict[str, int] = {"t": unused} if unused < 0 or same else {}
    if job.undo and same and hold.requests is not None:
        add["r"] = hold.requests
    refund = any(amount > 0 for amount in add.values())
    return add, [Compare("w", "=", hold.at.window)] if refund else []


def _held(job: Settlement, image: GateImage, strict: bool) -> tuple[dict[str, int], list[Condition]]:
    hold, taken = job.hold, job.hold.at.generation
    if image.generation > taken + 1:
        return _released(job, image, strict)
    age = "c" if image.generation <= taken else "p"
    add: dict[str, int] = {}
    if hold.micro_usd is not None:
        add |= {"b": hold.micro_usd - job.spent.micro_usd, f"h{age}": -hold.micro_usd, "h": -hold.micro_usd}
    if hold.slot:
        add |= {f"k{age}": -1, "k": -1}
    return add, [Compare("g", "=", taken if age == "c" else taken + 1)]


def _released(job: Settlement, image: GateImage, strict: bool) -> tuple[dict[str, int], list[Condition]]:
    """The generation has given the hold back (strict: has charged it) before the request came to settle."""
    gone: list[Condition] = [Compare("g", ">=", job.hold.at.generation + 2)]
    if not strict or job.hold.micro_usd is None:
        return _charge(job), gone
    unused = job.hold.micro_usd - job.spent.micro_usd
    if unused > 0 and image.period != job.hold.at.period:
        return {}, gone  # it was charged to a period that is over: that of today gets no refund for it
    return {"b": unused}, [*gone, Compare("p", "=", job.hold.at.period)] if unused > 0 else gone


def _charge(job: Settlement) -> dict[str, int]:
    return {"b": -job.spent.micro_usd} if job.hold.micro_usd is not None else {}
