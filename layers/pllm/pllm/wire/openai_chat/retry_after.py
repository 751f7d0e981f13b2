"""How long a provider asks to be left alone, from any of the places where providers say it. No clock is read."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SENTENCE = re.compile(
    r"(?:try again in|retry after|retry in|wait)\s+(?:(?P<compound>(?:\d+(?:\.\d+)?(?:ms|s|m|h))+)\b"
    r"|(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>milliseconds|ms|seconds?|s|minutes?|hours?)\b)",
    re.IGNORECASE,
)


def retry_after_s(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds to wait, or None where the provider does not say. `headers` has lower-case names.

    Order: retry-after-ms, retry-after (seconds, or a date counted from the answer's own Date), the reset of a rate-limit
    counter that stands at zero, then the sentence in the message ("Please try again in 1m2.5s").
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if (waited := headers.get("retry-after")) is not None:
        seconds = _number(waited)
        seconds = duration_s(waited) if seconds is None else seconds
        seconds = _until(waited, headers.get("date")) if seconds is None else seconds
        if seconds is not None:
            return seconds
    spent = [
        wait
        for what in ("requests", "tokens")
        if _number(headers.get(f"x-ratelimit-remaining-{what}")) == 0
        and (wait := duration_s(headers.get(f"x-ratelimit-reset-{what}") or "")) is not None
    ]
    return max(spent) if spent else _in_sentence(message)


def duration_s(text: str) -> float | None:
    """Seconds of "6m0s", "120ms", "1.5s" or a bare number of seconds; None for anything else."""
    text = text.strip()
    if (bare := _number(text)) is not None:
        return bare
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(date: str, now: str | None) -> float | None:
    try:
        then, since = _utc(date), _utc(now or "")
    except (TypeError, ValueError):
        return None
    return max((then - since).total_seconds(), 0.0)


def _utc(date: str) -> datetime:
    # Slow to import and hardly ever needed: a cold start does not pay for it.
    from email.utils import parsedate_to_datetime

    parsed = parsedate_to_datetime(date)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _in_sentence(message: str) -> float | None:
    found = _SENTENCE.search(message)
    if found is None:
        return None
    if found["compound"]:
        return duration_s(found["compound"].lower())
    unit = found["unit"].lower()
    return float(found["number"]) * _UNIT_S["ms" if unit.startswith("mil") or unit == "ms" else unit[0]]
