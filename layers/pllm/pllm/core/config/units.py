"""Durations, money and sizes as people write them, as the numbers the gateway counts in."""

import math
import re
from decimal import Decimal

Seconds = float
MicroUsd = int
Bytes = int

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_MONEY = re.compile(r"\$?\s*(\d+(?:\.\d+)?)\s*(?:USD)?", re.ASCII | re.IGNORECASE)


def parse_duration(value: object) -> Seconds:
    """Seconds from `30`, `0.25`, "30s", "5m", "1h30m", "250ms", "1d". Raises ValueError in plain words."""
    if isinstance(value, str):
        return _duration_text(value.strip())
    return _number(value, "a duration in seconds, or 30s, 5m, 1h, 250ms")


def _duration_text(text: str) -> Seconds:
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"expected a duration in seconds, or 30s, 5m, 1h, 250ms; got {show(text)}")
    return math.fsum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_usd(value: object) -> MicroUsd:
    """Integer micro-dollars from USD: `25`, `0.5`, "$25", "25 USD". Finer than a micro-dollar is refused."""
    wanted = "an amount in USD such as 25 or 0.50"
    if isinstance(value, str):
        match = _MONEY.fullmatch(value.strip())
        if not match:
            raise ValueError(f"expected {wanted}; got {show(value)}")
        amount = Decimal(match[1])
    else:
        amount = Decimal(repr(_number(value, wanted)))
    micro = amount * 1_000_000
    if micro != micro.to_integral_value():
        raise ValueError(f"{amount} USD is finer than a micro-dollar (0.000001)")
    return int(micro)


def parse_size(value: object) -> Bytes:
    """Bytes from `6000000`, "6MB" (decimal) or "6MiB" (binary). Fractions of a byte are refused."""
    wanted = "a size in bytes, or 300KB, 6MB, 6MiB"
    if not isinstance(value, str):
        return _whole(_number(value, wanted), wanted, value)
    match = _SIZE.fullmatch(value.strip())
    unit = _SIZE_UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f"expected {wanted}; got {show(value)}")
    return _whole(float(Decimal(match[1]) * unit), wanted, value)


def micro_usd_per_million(usd_per_unit: float) -> int:
    """USD for one token as micro-dollars for a million of them, rounded half to even: 0.0000025 -> 2_500_000."""
    return round(Decimal(repr(usd_per_unit)).scaleb(12))


def show(value: object) -> str:
    """A value as an error message quotes it: short, and typed by its quotes."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _number(value: object, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected {wanted}; got {show(value)}")
    if value < 0:
        raise ValueError(f"expected {wanted}; got the negative {show(value)}")
    return float(value)


def _whole(number: float, wanted: str, value: object) -> int:
    if number != int(number):
        raise ValueError(f"expected {wanted}; got {show(value)}")
    return int(number)
