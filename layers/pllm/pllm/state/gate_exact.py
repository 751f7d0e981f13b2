"""Exact settlements: what was used is charged once, even if an answer of the table is lost.

Each is a transaction of one write, which costs twice as much as the write. Its token lets the table know it again for ten
minutes: after an answer that did not come the very same write is sent under the very same token, now and, if need be, at the
end of later invocations, until the table says that it is done or that it was rejected. Conditions of settlements name labels
that only move forward, so what was rejected once cannot happen any more, and is settled anew by what the gate has become.

After nine minutes without an answer the table is about to forget: then it counts as never settled, at worst once too often.
"""

from dataclasses import replace
from random import Random

from pllm.core.clock import Clock
from pllm.state.gate_keeper import Gatekeeper
from pllm.state.gate_outage import Backoff
from pllm.state.gate_settle import Sent, Settlement
from pllm.state.store import StateError

# A request that is cut off leaves its function 1.5 s, and the last answer may take 0.4 s.
_SENDS = 8
_WHILE_S = 0.8
_KNOWN_S = 540.0
"""Less than the table's ten minutes by what clocks and a thaw in the middle of a send may take."""
_TOKEN_BITS = 128


class ExactSettler:
    """`random` names the transactions: the machine's own, since what is restored from one snapshot must not share names."""

    def __init__(self, keeper: Gatekeeper, clock: Clock, random: Random, backoff: Backoff) -> None:
        self._keeper = keeper
        self._clock = clock
        self._random = random
        self._backoff = backoff

    async def settle(self, job: Settlement) -> tuple[Settlement | None, str]:
        """What is left of it, and why (empty: nothing is). Never raises StateError."""
        began_s = self._clock.monotonic_s()
        due, reason = job, ""
        for sends in range(_SENDS):
            if reason:
                if self._keeper.resting() or self._clock.monotonic_s() - began_s >= _WHILE_S:
                    break
                await self._backoff.wait(sends)
            known = self._known(due)
            if known is None:
                return None, "forgotten"
            left, reason = await self._send(known)
            if left is None:
                return None, ""
            due = left
        return due, reason or "contention"

    async def _send(self, due: Settlement) -> tuple[Settlement | None, str]:
        """What is left after one more send. No reason: another write is due, because the gate has moved on."""
        sent = due.sent or self._first(due)
        if sent is None:
            return None, ""
        try:
            rejected = await self._keeper.transact(sent.update, due.hold.scope, sent.token)
        except StateError as error:
            return replace(due, sent=sent) if error.sent else due, error.reason
        if rejected is None or rejected.item is None:  # no item: the gate was deleted, and with it what it held
            return None, ""
        return replace(due, sent=None), ""

    def _first(self, due: Settlement) -> Sent | None:
        update = self._keeper.settlement(due)
        token = f"{self._random.getrandbits(_TOKEN_BITS):032x}"
        return Sent(update, token, self._clock.wall_s()) if update is not None else None

    def _known(self, due: Settlement) -> Settlement | None:
        """The settlement as it is to be sent now. What the table may have forgotten by now is charged once more, and gives
        nothing back: None for a mere refund."""
        if due.sent is None or self._clock.wall_s() - due.sent.since_s < _KNOWN_S:
            return due
        return replace(due, hold=replace(due.hold, certain=False), sent=None) if due.charges else None
