"""Breakers and minute telemetry as items of the table: `core.breaker.RULES` compiled to conditional updates.

One partition for each group of deployments: `T#<minute>#<deployment>` sorts before `Z#<deployment>`, so a single range query
returns the last minutes of every deployment and all breakers. Times are epoch milliseconds, `exp` is in seconds (TTL).
"""

from collections.abc import Mapping

from pllm.core.breaker import RULES, Asked, Breaker, Circuit, Field, Guard
from pllm.core.health import Sums
from pllm.state.store import Absent, AllOf, AnyOf, Compare, Condition, Expression, Item, Update

_BREAKER = "Z#"
_MINUTE = "T#"
_KEPT_S = 24 * 3600
_MINUTE_KEPT_S = 15 * 60

# Sums' fields as the table calls them.
SUM_NAMES: Mapping[str, str] = {
    "ok": "ok",
    "failed": "er",
    "latency_ms": "ls",
    "latencies": "ln",
    "first_ms": "fs",
    "firsts": "fn",
    "tokens": "tk",
}


def partition(group: str) -> str:
    return f"H#{group}"


def since(minute: int) -> str:
    """The first sort key of a query that returns this minute, all later ones, and every breaker."""
    return f"{_MINUTE}{minute:09d}#"


ONLY_BREAKERS = _BREAKER
"""The first sort key of a query that returns the breakers alone."""


def breaker_key(deployment: str) -> str:
    return _BREAKER + deployment


def minute_key(minute: int, deployment: str) -> str:
    return since(minute) + deployment


def deployment_of(sort_key: str) -> tuple[str, int | None]:
    """(deployment, minute), the minute None for a breaker. Raises ValueError for a key that is neither."""
    if sort_key.startswith(_BREAKER):
        return sort_key[len(_BREAKER) :], None
    prefix, minute, deployment = sort_key.split("#", 2)
    if prefix != _MINUTE[0]:
        raise ValueError(f"{sort_key!r} is no health item")
    return deployment, int(minute)


def read_breaker(item: Item) -> Breaker:
    return Breaker(
        state=Circuit(_text(item, "st") or Circuit.CLOSED),
        until_ms=_number(item, "un"),
        generation=_number(item, "gn"),
        cooldown_ms=_number(item, "cd"),
        probe=_text(item, "pb"),
        probe_until_ms=_number(item, "pe"),
        why=_text(item, "why"),
        since_ms=_number(item, "si"),
        forced_until_ms=_number(item, "fu"),
        note=_text(item, "nt"),
    )


def read_minute(item: Item) -> Sums:
    return Sums(**{name: _number(item, short) for name, short in SUM_NAMES.items()})


def add_minute(group: str, minute: int, deployment: str, sums: Sums) -> Update:
    """Adds one environment's numbers to the fleet's."""
    amounts = {short: getattr(sums, name) for name, short in SUM_NAMES.items()}
    return Update(
        partition(group),
        minute_key(minute, deployment),
        set={"exp": minute * 60 + _MINUTE_KEPT_S},
        add={name: amount for name, amount in amounts.items() if amount},
    )


def move_breaker(group: str, deployment: str, asked: Asked) -> Update:
    """A move as a conditional update: applied where a row of the table accepts it, refused elsewhere."""
    effect = RULES[asked.move]
    sets: dict[str, Expression] = {"st": effect.rules[0].target.value, "si": asked.now_ms, "exp": _expires_s(asked)}
    adds: dict[str, int] = {}
    removes: tuple[str, ...] = ()
    for item in effect.writes:
        match item:
            case Field.UNTIL:
                sets["un"] = asked.until_ms
            case Field.COOLDOWN:
                sets["cd"] = asked.cooldown_ms
            case Field.WHY:
                sets["why"] = asked.why
            case Field.PROBE:
                sets |= {"pb": asked.probe, "pe": asked.probe_until_ms}
            case Field.NO_PROBE:
                removes = ("pb", "pe")
            case Field.GENERATION:
                sets["gn"] = asked.generation
            case Field.NEXT_GENERATION:
                sets["gn"] = asked.generation + 1
            case Field.ANOTHER_GENERATION:
                adds["gn"] = 1
            case Field.FORCE:
                sets |= {"fu": asked.forced_until_ms, "nt": asked.note}
    return Update(partition(group), breaker_key(deployment), sets, adds, removes, _condition(asked))


def _condition(asked: Asked) -> Condition:
    rules = RULES[asked.move].rules
    rows: list[Condition] = [
        AllOf((Compare("st", "=", rule.source.value), *(_guard(guard, asked) for guard in rule.guards)))
        for rule in rules
        if Guard.RECLAIM not in rule.guards or asked.former_probe
    ]
    if any(rule.source is Circuit.CLOSED for rule in rules):
        rows.insert(0, Absent("PK"))  # a breaker that was never heard of is closed
    return rows[0] if len(rows) == 1 else AnyOf(tuple(rows))


def _guard(guard: Guard, asked: Asked) -> Condition:
    match guard:
        case Guard.SAME_GENERATION:
            return Compare("gn", "=", asked.generation)
        case Guard.DUE:
            return Compare("un", "<=", asked.now_ms)
        case Guard.LEASE_OVER:
            return Compare("pe", "<=", asked.now_ms)
        case Guard.HOLDER:
            return Compare("pb", "=", asked.probe)
        case Guard.RECLAIM:
            return Compare("pb", "=", asked.former_probe)
        case Guard.LONGER:
            return Compare("un", "<", asked.until_ms)
        case Guard.NOT_FORCED:
            return AnyOf((Absent("fu"), Compare("fu", "<=", asked.now_ms)))


def _expires_s(asked: Asked) -> int:
    return max(asked.now_ms, asked.until_ms, asked.probe_until_ms, asked.forced_until_ms) // 1000 + _KEPT_S


def _number(item: Item, name: str) -> int:
    value = item.get(name, 0)
    return value if isinstance(value, int) else 0


def _text(item: Item, name: str) -> str:
    value = item.get(name, "")
    return value if isinstance(value, str) else ""
