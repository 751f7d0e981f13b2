"""Circles in fallback lists."""

from collections.abc import Mapping


def find_cycles(fallbacks: Mapping[str, tuple[str, ...]], aliases: Mapping[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Each circle once, as the names on it, beginning with the one that is named first in `fallbacks`.

    An alias leads to its models: falling back from a model to an alias that holds it is a circle too.
    """
    order = {name: number for number, name in enumerate(fallbacks)}
    graph = {name: (*fallbacks.get(name, ()), *aliases.get(name, ())) for name in (*fallbacks, *aliases)}
    found: dict[frozenset[str], tuple[str, ...]] = {}
    done: set[str] = set()
    for start in fallbacks:
        _walk(start, graph, done, found)
    return [_from_first(cycle, order) for cycle in found.values()]


def _walk(
    start: str, graph: Mapping[str, tuple[str, ...]], done: set[str], found: dict[frozenset[str], tuple[str, ...]]
) -> None:
    """Depth first, without recursion: a chain may be as long as the file."""
    trail = [start]
    pending = [iter(graph.get(start, ()))]
    on_trail = {start}
    while pending:
        step = next(pending[-1], None)
        if step is None:
            pending.pop()
            left = trail.pop()
            on_trail.discard(left)
            done.add(left)
        elif step in on_trail:
            cycle = tuple(trail[trail.index(step) :])
            found.setdefault(frozenset(cycle), cycle)
        elif step not in done:
            trail.append(step)
            on_trail.add(step)
            pending.append(iter(graph.get(step, ())))


def _from_first(cycle: tuple[str, ...], order: Mapping[str, int]) -> tuple[str, ...]:
    first = min(cycle, key=lambda name: order.get(name, len(order)))
    at = cycle.index(first)
    return (*cycle[at:], *cycle[:at])
