"""The options that describe a key or a team, and the JSON they stand for."""

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pllm.cli_client import UsageError
from pllm.core.config.units import parse_duration, parse_usd
from pllm.core.principal import SCOPES

_PERIODS = ("day", "week", "month", "total")


def add_key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--team", help="id of its team")
    parser.add_argument("--scope", action="append", metavar="SCOPE", help=f"what it may call: {', '.join(SCOPES)} (repeatable)")
    parser.add_argument("--role", choices=("user", "viewer", "admin"), help="what it may do (default: user)")
    parser.add_argument("--expires", metavar="WHEN", help="30d, 12h, or a date such as 2027-12-31T00:00:00Z")
    add_limit_options(parser)


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", action="append", metavar="GLOB", help="model names it may use (repeatable; default: all)")
    parser.add_argument("--rpm", help="requests a minute")
    parser.add_argument("--tpm", help="tokens a minute")
    parser.add_argument("--max-parallel", help="calls in flight")
    parser.add_argument("--budget", metavar="USD", help="money it may spend in a period")
    parser.add_argument("--period", choices=_PERIODS, help="when the budget starts anew (default: month)")
    parser.add_argument("--timezone", help="zone in which the period begins (default: UTC)")
    parser.add_argument("--tag", action="append", help="a tag (repeatable)")
    parser.add_argument("--metadata", action="append", metavar="NAME=VALUE", help="a note (repeatable)")


def fields_of(arguments: argparse.Namespace, now: datetime) -> dict[str, Any]:
    """The JSON of what was given. Raises UsageError for what cannot be read."""
    given: dict[str, Any] = {
        "name": arguments.name,
        "team": getattr(arguments, "team", None),
        "role": getattr(arguments, "role", None),
        "scopes": getattr(arguments, "scope", None),
        "models": arguments.model,
        "tags": arguments.tag,
        "metadata": _pairs(arguments.metadata),
    }
    fields = {name: value for name, value in given.items() if value is not None}
    for name in ("rpm", "tpm", "max_parallel"):
        if (text := getattr(arguments, name)) is not None:
            fields[name] = None if text == "none" else _number(text, name)
    if (text := getattr(arguments, "expires", None)) is not None:
        fields["expires_at"] = None if text == "none" else _moment(text, now)
    return fields | _budget(arguments)


def _budget(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.budget is None:
        if arguments.period or arguments.timezone:
            raise UsageError("--period and --timezone belong to --budget: give the amount too")
        return {}
    if arguments.budget == "none":
        return {"budget": None}
    try:
        budget: dict[str, Any] = {"amount_usd": parse_usd(arguments.budget) / 1_000_000}
    except ValueError as error:
        raise UsageError(f"--budget: {error}") from None
    more = {"period": arguments.period, "timezone": arguments.timezone}
    return {"budget": budget | {name: value for name, value in more.items() if value}}


def _number(text: str, name: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--{name.replace('_', '-')}: expected a whole number, or none; got {text!r}")
    return int(text)


def _moment(text: str, now: datetime) -> str:
    """RFC 3339 from a duration from now, or as it was given: the control plane looks at it."""
    try:
        return (now + timedelta(seconds=parse_duration(text))).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return text


def _pairs(texts: Sequence[str] | None) -> dict[str, str] | None:
    if texts is None:
        return None
    pairs = [text.partition("=") for text in texts]
    for name, sign, _ in pairs:
        if not sign or not name:
            raise UsageError(f"--metadata: expected NAME=VALUE; got {name!r}")
    return {name: value for name, _, value in pairs}
