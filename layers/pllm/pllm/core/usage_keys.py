"""Where usage stands in the table: partitions and sort keys by minute, hour and day (UTC), and back again.

    minute  U#m#<yyyymmdd>#<shard>  <hhmm>#...     kept 48 h, written by the data plane
    hour    U#h#<yyyymm>            <ddhh>#...     kept 90 days, made of minutes
    day     U#d#<yyyy>              <mmdd>#...     kept, made of hours

The rest of a sort key is <key>#<model>#<deployment>#<team>#<price version>, each with `#` and `%` escaped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal, get_args
from urllib.parse import unquote

from pllm.core.usage_rows import Account

Period = Literal["minute", "hour", "day"]
PERIODS: tuple[Period, ...] = get_args(Period)
SHARDS = 8
LENGTH_S: dict[Period, int] = {"minute": 60, "hour": 3600, "day": 86_400}
KEPT_S: dict[Period, int | None] = {"minute": 48 * 3600, "hour": 90 * 86_400, "day": None}
"""From the beginning of a row's period. The table deletes some time after that, never before."""

# With four separators and a label, within the 1024 bytes of a sort key.
_LONGEST = {"key": 250, "model": 250, "deployment": 250, "team": 160, "prices": 80}

_PARTITION: dict[Period, str] = {"minute": "U#m#%Y%m%d", "hour": "U#h#%Y%m", "day": "U#d#%Y"}
_LABEL: dict[Period, str] = {"minute": "%H%M", "hour": "%d%H", "day": "%m%d"}


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of one period that lie together: in `partitions`, from sort key `since` to `until`."""

    period: Period
    start_s: int
    end_s: int
    partitions: tuple[str, ...]
    since: str
    until: str


def floor_s(period: Period, time_s: float) -> int:
    """When the period that holds a time begins, epoch seconds."""
    return int(time_s) // LENGTH_S[period] * LENGTH_S[period]


def ceil_s(period: Period, time_s: float) -> int:
    return -floor_s(period, -int(-(-time_s // 1)))


def shard_of(environment: str) -> int:
    """An environment always writes to the same shard: its rows of a minute are one item."""
    return int.from_bytes(sha256(environment.encode()).digest()[:4], "big") % SHARDS


def row_key(period: Period, start_s: int, account: Account, shard: int = 0) -> tuple[str, str]:
    """(PK, SK). `shard` is for minutes only."""
    names = (_escaped(getattr(account, name), longest) for name, longest in _LONGEST.items())
    return _partitions(period, start_s)[shard if period == "minute" else 0], "#".join((_label(period, start_s), *names))


def read_key(period: Period, pk: str, sk: str) -> tuple[int, Account]:
    """(start in epoch seconds, account) of a row. Raises ValueError for what is none."""
    label, *names = sk.split("#")
    if len(names) != len(_LONGEST):
        raise ValueError(f"{sk!r} is no sort key of a usage row")
    partition = pk.rpartition("#")[0] if period == "minute" else pk
    start = datetime.strptime(partition + label, _PARTITION[period] + _LABEL[period]).replace(tzinfo=UTC)
    return int(start.timestamp()), Account(*map(unquote, names))


def spans(period: Period, start_s: int, end_s: int, *, wide: bool = False) -> Iterator[Span]:
    """What to read for [start_s, end_s), in order and cut into pieces: minutes by the hour (`wide`: by the day), hours by the
    day, days by the month. No piece crosses a partition."""
    while start_s < end_s:
        until_s = min(_next_cut(period, start_s, wide=wide), end_s)
        last_s = until_s - LENGTH_S[period]
        # "$" is the character after "#": everything that begins with the last label comes before it.
        until = f"{_label(period, last_s)}$"
        yield Span(period, start_s, until_s, _partitions(period, start_s), _label(period, start_s), until)
        start_s = until_s


def _next_cut(period: Period, start_s: int, *, wide: bool) -> int:
    if period == "minute" and not wide:
        return floor_s("hour", start_s) + LENGTH_S["hour"]
    if period in ("minute", "hour"):
        return floor_s("day", start_s) + LENGTH_S["day"]
    month = _utc(start_s).replace(day=1, hour=0, minute=0, second=0)
    following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    return int(following.timestamp())


def _partitions(period: Period, start_s: int) -> tuple[str, ...]:
    name = _utc(start_s).strftime(_PARTITION[period])
    return tuple(f"{name}#{shard}" for shard in range(SHARDS)) if period == "minute" else (name,)


def _label(period: Period, start_s: int) -> str:
    return _utc(start_s).strftime(_LABEL[period])


def _utc(time_s: int) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)


def _escaped(name: str, longest: int) -> str:
    """Different names stay different: one that is too long keeps its beginning and gets a digest."""
    text = name.encode("utf-8", "backslashreplace").decode().replace("%", "%25").replace("#", "%23")
    data = text.encode()
    if len(data) <= longest:
        return text
    digest = sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return _whole_escapes(data[: longest - 33].decode(errors="ignore")) + "~" + digest


def _whole_escapes(text: str) -> str:
    """Less an escape that was cut in two."""
    return text.rpartition("%")[0] if "%" in text[-2:] else text
