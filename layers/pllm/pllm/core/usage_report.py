"""Usage as it is asked for and told: what a query may say, and pages of sums as JSON and CSV."""

import base64
import binascii
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pllm.core.clock import rfc3339
from pllm.core.errors import invalid
from pllm.core.usage_keys import KEPT_S, LENGTH_S, PERIODS, Period, ceil_s, floor_s
from pllm.core.usage_rows import Account, Amounts

GROUPS = ("key", "team", "model", "deployment", "prices")
FILTERS = ("key", "team", "model", "deployment")
_PARAMETERS = frozenset({"period", "from", "to", "group_by", "format", "limit", "page", *FILTERS})
_USUAL_S: Mapping[Period, int] = {"minute": 3600, "hour": 86_400, "day": 30 * 86_400}
# Minutes and hours: twice what is kept of them, with room for a 'to' in the future.
_MOST_DAYS: Mapping[Period, int] = {"minute": 4, "hour": 180, "day": 3 * 366}
_USUAL_LINES, MOST_LINES = 1_000, 10_000
# What a spreadsheet would take for a formula when it stands at the beginning of a cell.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """[from_s, to_s) in whole periods. `group_by`: names of GROUPS, in the order of the answer. `only`: FILTERS and the
    value that rows must have. `after`: the last line of the page before."""

    period: Period
    from_s: int
    to_s: int
    group_by: tuple[str, ...] = ()
    only: Mapping[str, str] = field(default_factory=dict)
    limit: int = _USUAL_LINES
    after: "tuple[int, Group] | None" = None

    def holds(self, account: Account) -> bool:
        return all(getattr(account, name) == value for name, value in self.only.items())

    def group(self, account: Account) -> Group:
        return tuple(getattr(account, name) for name in self.group_by)

    def narrowed(self, **only: str) -> "UsageQuery":
        return replace(self, only={**self.only, **only})


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One sum: of a period, beginning at `start_s`, and a group."""

    start_s: int
    group: Group
    amounts: Amounts = field(compare=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums of a whole query at once. `periods`: one line for each that had a request, in the order of time; `groups`: one
    for each group, over all periods, the names in order."""

    query: UsageQuery
    whole: Amounts
    periods: Sequence[Line]
    groups: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in the order of time. `more`: there are others after the last of them."""

    query: UsageQuery
    lines: Sequence[Line]
    more: bool

    @property
    def next(self) -> str | None:
        """What `page` is to be for the next one."""
        return _token(self.lines[-1]) if self.more else None


# --- What is asked ---------------------------------------------------------------------------------------------------


def parse_query(given: Mapping[str, Sequence[str]], now_s: float) -> UsageQuery:
    """`given`: parameters of a query string, each with all its values. Raises a 400 that names what is wrong."""
    if unknown := sorted(set(given) - _PARAMETERS):
        raise invalid(f"Unknown parameter {unknown[0]!r}: expected {', '.join(sorted(_PARAMETERS))}.", unknown[0])
    group_by = tuple(name for value in given.get("group_by", ()) for name in value.split(",") if name)
    one = {name: _single(name, values) for name, values in given.items() if name != "group_by"}
    period = one.get("period", "hour")
    if period not in PERIODS:
        raise invalid(f"'period' must be one of {', '.join(PERIODS)}.", "period")
    if (wrong := next((name for name in group_by if name not in GROUPS), None)) is not None:
        raise invalid(f"'group_by' must be of {', '.join(GROUPS)}, separated by commas; {wrong!r} is none of them.", "group_by")
    if len(set(group_by)) != len(group_by):
        raise invalid("'group_by' names something twice.", "group_by")
    from_s, to_s = _range(period, one, now_s)
    after = _after(one["page"], len(group_by)) if "page" in one else None
    only = {name: one[name] for name in FILTERS if name in one}
    return UsageQuery(period, from_s, to_s, group_by, only, _limit(one.get("limit")), after)


def wants_csv(given: Mapping[str, Sequence[str]], accept: str) -> bool:
    """`format=csv` or `json` decides, else whether the Accept header names text/csv before it names JSON."""
    asked = given.get("format", [])
    if len(set(asked)) > 1 or (asked and asked[0] not in ("csv", "json")):
        raise invalid("'format' must be json or csv.", "format")
    if asked:
        return asked[0] == "csv"
    kinds = [kind.split(";")[0].strip().lower() for kind in accept.split(",")]
    return "text/csv" in kinds and "application/json" not in kinds[: kinds.index("text/csv")]


def _single(name: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise invalid(f"{name!r} is given more than once.", name)
    return values[0]


def _range(period: Period, given: Mapping[str, str], now_s: float) -> tuple[int, int]:
    to_s = ceil_s(period, _time(given, "to", floor_s(period, now_s) + LENGTH_S[period]))
    from_s = floor_s(period, _time(given, "from", to_s - _USUAL_S[period]))
    if from_s >= to_s:
        raise invalid("'from' must be before 'to'.", "from")
    kept_s = KEPT_S[period]
    if kept_s is not None and from_s < now_s - kept_s - LENGTH_S[period]:
        coarser = PERIODS[PERIODS.index(period) + 1]
        raise invalid(
            f"Usage by the {period} is kept for {kept_s // 3600} hours: ask for a later 'from', or for period={coarser}.",
            "from",
        )
    if to_s - from_s > _MOST_DAYS[period] * 86_400:
        raise invalid(f"At most {_MOST_DAYS[period]} days can be asked for at once by the {period}.", "from")
    return from_s, to_s


def _time(given: Mapping[str, str], name: str, default: float) -> float:
    """Epoch seconds, a date, or a date and time; UTC where no offset is said."""
    text = given.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) <= 11:
        return int(text)
    try:
        # A "+" of a query string that was not escaped has become a space.
        time = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise invalid(f"{name!r} must be a time such as 2026-11-22T14:00:00Z, 2026-11-22 or epoch seconds.", name) from None


def _limit(text: str | None) -> int:
    if text is None:
        return _USUAL_LINES
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_LINES):
        raise invalid(f"'limit' must be a number from 1 to {MOST_LINES}.", "limit")
    return int(text)


def _token(line: Line) -> str:
    return base64.urlsafe_b64encode(json.dumps([line.start_s, *line.group]).encode()).decode().rstrip("=")


def _after(token: str, groups: int) -> tuple[int, Group]:
    try:
        start_s, *group = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if isinstance(start_s, int) and len(group) == groups and all(isinstance(name, str) for name in group):
            return start_s, tuple(group)
    except (ValueError, TypeError, binascii.Error):
        pass
    raise invalid("'page' must be what 'next_page' was, with the same 'group_by'.", "page")


# --- What is answered ------------------------------------------------------------------------------------------------


def page_object(page: Page) -> dict[str, Any]:
    """The JSON of a page."""
    query = page.query
    return {
        "object": "list",
        "period": query.period,
        "from": rfc3339(query.from_s),
        "to": rfc3339(query.to_s),
        "group_by": list(query.group_by),
        "only": dict(query.only),
        "data": [_told(query, line) for line in page.lines],
        "has_more": page.more,
        "next_page": page.next,
    }


def page_csv(page: Page) -> str:
    """One header, then a line for each sum. Names that a spreadsheet would take for formulas get an apostrophe in front."""
    query = page.query
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_told(query, Line(0, ("",) * len(query.group_by), Amounts())))
    for line in page.lines:
        writer.writerow(_cell(value) for value in _told(query, line).values())
    return text.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _told(query: UsageQuery, line: Line) -> dict[str, Any]:
    amounts = line.amounts
    average_ms = round(amounts.latency_ms / amounts.requests, 1) if amounts.requests else 0
    latency, first = amounts.latencies.percentiles(), amounts.firsts.percentiles()
    return {
        "start": rfc3339(line.start_s),
        **dict(zip(query.group_by, line.group, strict=True)),
        "requests": amounts.requests,
        "errors": amounts.errors,
        "prompt_tokens": amounts.prompt_tokens,
        "completion_tokens": amounts.completion_tokens,
        "cached_tokens": amounts.cached_tokens,
        "cache_write_tokens": amounts.cache_write_5m_tokens + amounts.cache_write_1h_tokens,
        "reasoning_tokens": amounts.reasoning_tokens,
        "audio_input_tokens": amounts.audio_input_tokens,
        "audio_output_tokens": amounts.audio_output_tokens,
        "image_input_tokens": amounts.image_input_tokens,
        "images": amounts.images,
        "audio_seconds": amounts.audio_ms / 1000,
        "characters": amounts.characters,
        "search_units": amounts.search_units,
        "cost_usd": amounts.cost_micro_usd / 1_000_000,
        "cost_micro_usd": amounts.cost_micro_usd,
        "unpriced_requests": amounts.unpriced,
        "estimated_requests": amounts.estimated,
        "average_latency_ms": average_ms,
        "answers": amounts.latencies.number,
        "p50_latency_ms": latency.p50,
        "p95_latency_ms": latency.p95,
        "p99_latency_ms": latency.p99,
        "p50_ttft_ms": first.p50,
        "p95_ttft_ms": first.p95,
        "p99_ttft_ms": first.p99,
    }
