"""The circuit breaker of one deployment, as a table.

A breaker is a small value that every environment of the fleet shares. Nobody owns it: whoever has something to say *moves*
it, and a move is accepted only from the states, and under the guards, that its rows below name. A move that is refused
changes nothing, and its author has lost a race: that is not an error, it is how thousands of environments act as one.

    closed --TRIP--> open --CLAIM--> half open --SUCCEED--> closed
      |  ^             ^               |    ^ |
      +--+ COOL        +---FAIL--------+    +-+ CLAIM, once the lease has run out
                       +---ABANDON-----+

Three ideas carry the proof:

* **Generations.** Every trip and every verdict begins a new one. A trip names the generation in which its author saw the
  failures, so a failure seen before a recovery cannot open what has recovered, and of many trips one is applied.
* **A lease, not a lock.** One request wins the CLAIM and is the probe. Its lease outlives the longest it can run
  (`lease_ms`), so when the next CLAIM is accepted the last probe is certainly dead. Nobody has to clean up after a crash.
* **Fencing.** A verdict names its own probe. One that comes too late finds another's name, or none, and is refused.

An administrator's word goes before all of it: what was forced stays as it is, until it is released or its time is over. Open,
it has no probe before then; closed, nothing trips or cools it.

`RULES` is the machine. This module interprets it over a value (`moved`); `state.breakers` compiles the same rows to
conditional updates of the shared table. Neither knows a transition that is not in the table. `breaker_policy` judges when a
breaker should be moved, `breaker_moves` writes what is then asked.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto

FORCED = "forced"
"""`why` of a breaker that an administrator moved."""

UNTIL_RELEASED_MS = 253_402_214_400_000
"""`forced_until_ms` of a breaker that is forced until somebody releases it: the end of the year 9999."""

_VERDICT_SOON_MS = 2_000


class Circuit(StrEnum):
    """The states. A closed breaker whose `until_ms` lies ahead is cooling down after a 429: no probe is needed after that."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Move(Enum):
    """What can be asked of a breaker."""

    TRIP = auto()
    COOL = auto()
    CLAIM = auto()
    SUCCEED = auto()
    FAIL = auto()
    ABANDON = auto()
    FORCE_OPEN = auto()
    FORCE_CLOSE = auto()


class Guard(Enum):
    """What must hold of the breaker for a row to apply."""

    SAME_GENERATION = auto()  # generation = asked generation
    DUE = auto()  # until_ms <= now
    LEASE_OVER = auto()  # probe_until_ms <= now
    HOLDER = auto()  # probe = asked probe
    RECLAIM = auto()  # probe = asked former probe, which is known never to have run
    LONGER = auto()  # until_ms < asked until_ms
    NOT_FORCED = auto()  # forced_until_ms <= now


class Field(Enum):
    """What a row writes besides the state. NEXT_GENERATION counts from the asked one, ANOTHER from the breaker's own."""

    UNTIL = auto()
    COOLDOWN = auto()
    WHY = auto()
    PROBE = auto()
    NO_PROBE = auto()
    GENERATION = auto()
    NEXT_GENERATION = auto()
    ANOTHER_GENERATION = auto()
    FORCE = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: from a state, under guards, to a state."""

    source: Circuit
    guards: tuple[Guard, ...]
    target: Circuit


@dataclass(frozen=True, slots=True)
class Effect:
    """What a move does wherever it is accepted, and the rows that accept it."""

    rules: tuple[Rule, ...]
    writes: tuple[Field, ...]


_VERDICT = (Field.UNTIL, Field.COOLDOWN, Field.WHY, Field.NO_PROBE, Field.ANOTHER_GENERATION)
_TO_PROBE = (Field.PROBE,)


def _from_anywhere(target: Circuit) -> tuple[Rule, ...]:
    """From what its author has seen: the audit log says what it was before."""
    return tuple(Rule(source, (Guard.SAME_GENERATION,), target) for source in Circuit)


RULES: dict[Move, Effect] = {
    Move.TRIP: Effect(
        (Rule(Circuit.CLOSED, (Guard.SAME_GENERATION, Guard.NOT_FORCED), Circuit.OPEN),),
        (Field.UNTIL, Field.COOLDOWN, Field.WHY, Field.NEXT_GENERATION),
    ),
    Move.COOL: Effect(
        (Rule(Circuit.CLOSED, (Guard.SAME_GENERATION, Guard.LONGER, Guard.NOT_FORCED), Circuit.CLOSED),),
        (Field.UNTIL, Field.WHY, Field.GENERATION),
    ),
    Move.CLAIM: Effect(
        (
            Rule(Circuit.OPEN, (Guard.DUE,), Circuit.HALF_OPEN),
            Rule(Circuit.HALF_OPEN, (Guard.LEASE_OVER,), Circuit.HALF_OPEN),
            Rule(Circuit.HALF_OPEN, (Guard.RECLAIM,), Circuit.HALF_OPEN),
        ),
        _TO_PROBE,
    ),
    Move.SUCCEED: Effect((Rule(Circuit.HALF_OPEN, (Guard.HOLDER,), Circuit.CLOSED),), _VERDICT),
    Move.FAIL: Effect((Rule(Circuit.HALF_OPEN, (Guard.HOLDER,), Circuit.OPEN),), _VERDICT),
    Move.ABANDON: Effect(
        (Rule(Circuit.HALF_OPEN, (Guard.HOLDER,), Circuit.OPEN),), (Field.UNTIL, Field.NO_PROBE, Field.ANOTHER_GENERATION)
    ),
    Move.FORCE_OPEN: Effect(_from_anywhere(Circuit.OPEN), (*_VERDICT, Field.FORCE)),
    Move.FORCE_CLOSE: Effect(_from_anywhere(Circuit.CLOSED), (*_VERDICT, Field.FORCE)),
}


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker's value; the default is one that was never heard of. Times are epoch milliseconds.

    until_ms: nothing is sent before it (open, cooling). cooldown_ms: how long it was opened for, what the next backoff
    doubles. probe, probe_until_ms: whose lease it is and when that ends (half open). since_ms: when it was last moved.
    forced_until_ms: until when it stays as an administrator put it; note: what the administrator said of it.
    """

    state: Circuit = Circuit.CLOSED
    until_ms: int = 0
    generation: int = 0
    cooldown_ms: int = 0
    probe: str = ""
    probe_until_ms: int = 0
    why: str = ""
    since_ms: int = 0
    forced_until_ms: int = 0
    note: str = ""

    def forced(self, now_ms: int) -> bool:
        """Whether only an administrator may move it now."""
        return self.forced_until_ms > now_ms

    def admits(self, now_ms: int) -> "Admission":
        """Whether a request may be sent now."""
        if self.state is Circuit.CLOSED:
            return Admission.ALL if self.until_ms <= now_ms else Admission.NONE
        due_ms = self.until_ms if self.state is Circuit.OPEN else self.probe_until_ms
        return Admission.PROBE if due_ms <= now_ms else Admission.NONE

    def opens_in_ms(self, now_ms: int) -> int:
        """How long until a request may be sent, as far as one can tell. A verdict on a running probe may come any time."""
        if self.state is Circuit.HALF_OPEN:
            return min(max(self.probe_until_ms - now_ms, 0), _VERDICT_SOON_MS)
        return max(self.until_ms - now_ms, 0)


class Admission(Enum):
    """ALL: send. PROBE: whoever wins the CLAIM may send, once. NONE: send nothing."""

    ALL = auto()
    PROBE = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Asked:
    """A move with its particulars. Each move reads those that its row names."""

    move: Move
    now_ms: int
    generation: int = 0
    until_ms: int = 0
    cooldown_ms: int = 0
    why: str = ""
    probe: str = ""
    probe_until_ms: int = 0
    former_probe: str = ""
    forced_until_ms: int = 0
    note: str = ""


def moved(known: Breaker | None, asked: Asked) -> Breaker | None:
    """The breaker after a move, None when the move is refused. One that was never heard of (None) is closed, and every guard
    of a closed one holds."""
    effect = RULES[asked.move]
    breaker = known or Breaker()
    for rule in effect.rules:
        if breaker.state is rule.source and (known is None or all(_holds(guard, breaker, asked) for guard in rule.guards)):
            return _written(replace(breaker, state=rule.target), effect, asked)
    return None


def _holds(guard: Guard, breaker: Breaker, asked: Asked) -> bool:
    match guard:
        case Guard.SAME_GENERATION:
            return breaker.generation == asked.generation
        case Guard.DUE:
            return breaker.until_ms <= asked.now_ms
        case Guard.LEASE_OVER:
            return breaker.probe_until_ms <= asked.now_ms
        case Guard.HOLDER:
            return breaker.probe == asked.probe
        case Guard.RECLAIM:
            return bool(asked.former_probe) and breaker.probe == asked.former_probe
        case Guard.LONGER:
            return breaker.until_ms < asked.until_ms
        case Guard.NOT_FORCED:
            return not breaker.forced(asked.now_ms)


def _written(breaker: Breaker, effect: Effect, asked: Asked) -> Breaker:
    changes: dict[Field, dict[str, int | str]] = {
        Field.UNTIL: {"until_ms": asked.until_ms},
        Field.COOLDOWN: {"cooldown_ms": asked.cooldown_ms},
        Field.WHY: {"why": asked.why},
        Field.PROBE: {"probe": asked.probe, "probe_until_ms": asked.probe_until_ms},
        Field.NO_PROBE: {"probe": "", "probe_until_ms": 0},
        Field.GENERATION: {"generation": asked.generation},
        Field.NEXT_GENERATION: {"generation": asked.generation + 1},
        Field.ANOTHER_GENERATION: {"generation": breaker.generation + 1},
        Field.FORCE: {"forced_until_ms": asked.forced_until_ms, "note": asked.note},
    }
    merged: dict[str, int | str] = {"since_ms": asked.now_ms}
    for item in effect.writes:
        merged |= changes[item]
    return replace(breaker, **merged)  # type: ignore[arg-type]  # each name above has its own field's type
