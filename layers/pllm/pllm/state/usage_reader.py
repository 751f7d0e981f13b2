"""Reading usage: rows that are rolled up as far as they are, and finer ones for the time since."""

from collections import defaultdict

from pllm.core.clock import Clock
from pllm.core.usage_keys import KEPT_S, LENGTH_S, Period, Span, floor_s, spans
from pllm.core.usage_report import Group, Line, Page, Summary, UsageQuery
from pllm.core.usage_rows import Running, total
from pllm.state.store import Store
from pllm.state.usage_table import read_mark, read_rows

Sums = defaultdict[tuple[int, Group], Running]


class UsageReader:
    """Reads as much of the table as a page needs, and keeps no more of it than the page and one span."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def report(self, query: UsageQuery) -> Page:
        """Raises StateError."""
        open_sums: Sums = defaultdict(Running)
        lines: list[Line] = []
        for span in await self._spans(query):
            for row in await read_rows(self._store, span):
                if query.holds(row.account):
                    open_sums[floor_s(query.period, row.start_s), query.group(row.account)].add(row.amounts)
            lines += _finished(query, open_sums, span.end_s)
            if len(lines) > query.limit:
                break
        else:
            lines += _finished(query, open_sums, query.to_s)
        return Page(query, lines[: query.limit], len(lines) > query.limit)

    async def summary(self, query: UsageQuery) -> Summary:
        """All of it at once, whatever its `limit` and `after`. Raises StateError."""
        periods: defaultdict[int, Running] = defaultdict(Running)
        groups: defaultdict[Group, Running] = defaultdict(Running)
        for span in await self._spans(query):
            for row in await read_rows(self._store, span):
                if query.holds(row.account):
                    periods[floor_s(query.period, row.start_s)].add(row.amounts)
                    groups[query.group(row.account)].add(row.amounts)
        by_period = [Line(start_s, (), periods[start_s].amounts()) for start_s in sorted(periods)]
        by_group = [Line(query.from_s, group, groups[group].amounts()) for group in sorted(groups)]
        return Summary(query, total(line.amounts for line in by_period), by_period, by_group)

    async def _spans(self, query: UsageQuery) -> list[Span]:
        """Days are made of days up to the mark, then of hours, then of minutes; hours and minutes accordingly."""
        from_s = query.from_s if query.after is None else max(query.from_s, query.after[0])
        found: list[Span] = []
        for period, until_s in await self._sources(query.period):
            end_s = min(until_s, query.to_s)
            if period == "minute":
                kept_s = KEPT_S["minute"] or 0
                from_s = max(from_s, floor_s("hour", self._clock.wall_s()) - kept_s)
            # Where hours are wanted there are two of minutes, or, before the first roll-up, few rows in two days.
            found += spans(period, from_s, end_s, wide=query.period != "minute")
            from_s = max(from_s, end_s)
        return found

    async def _sources(self, period: Period) -> list[tuple[Period, int]]:
        """(what to read, up to when), in the order of time."""
        now_s = floor_s("minute", self._clock.wall_s()) + 2 * LENGTH_S["minute"]  # clocks differ
        if period == "minute":
            return [("minute", now_s)]
        mark_s = await read_mark(self._store) or 0
        hours: list[tuple[Period, int]] = [("hour", mark_s), ("minute", now_s)]
        return hours if period == "hour" else [("day", floor_s("day", mark_s)), *hours]


def _finished(query: UsageQuery, sums: Sums, until_s: int) -> list[Line]:
    """Takes what is complete at a time out of the sums, less what the page before had."""
    done = sorted(place for place in sums if place[0] + LENGTH_S[query.period] <= until_s)
    lines = [Line(*place, sums.pop(place).amounts()) for place in done]
    return [line for line in lines if query.after is None or (line.start_s, line.group) > query.after]
