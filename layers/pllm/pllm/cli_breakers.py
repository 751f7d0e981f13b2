"""`pllm breakers ...`: which deployments are used and which are left alone, and an administrator's word on it."""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

from pllm.cli_client import Client, UsageError
from pllm.cli_control import command, print_many, print_one, segment, with_id
from pllm.core.config.units import parse_duration

_COLUMNS = ("deployment", "state", "admits", "held_by", "why", "until")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `breakers`; each command sets `run`, a function of the parsed arguments that returns the exit code."""
    commands = subparsers.add_parser("breakers", help="see which deployments are used, and decide it").add_subparsers(
        dest="breakers_command", required=True, metavar="COMMAND"
    )
    command(commands, "list", "list the breaker of every deployment", _list)
    for verb, about in (
        ("open", "send a deployment nothing, for a time or until it is released"),
        ("close", "use a deployment whatever comes of it, for a time or until it is released"),
    ):
        forced = with_id(commands, verb, about, partial(_force, verb=verb))
        forced.add_argument("--for", dest="duration", metavar="DURATION", help="90s, 5m, 1h (default: until it is released)")
        forced.add_argument("--reason", default="", help="shown beside the breaker, for whoever looks later")
    with_id(commands, "release", "let what happens decide about a deployment again", _release)


def _list(client: Client, arguments: argparse.Namespace) -> None:
    rows = client.ask("GET", "breakers")["data"]
    print_many(rows if arguments.json else [_told(row) for row in rows], _COLUMNS, arguments)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    held_by = "an administrator" if row["forced"] else None
    until = "released" if row["forced"] and row["until"] is None else row["until"]
    return {**row, "held_by": held_by, "why": row["reason"] or row["why"], "until": until}


def _force(client: Client, arguments: argparse.Namespace, verb: str) -> None:
    body: dict[str, Any] = {"reason": arguments.reason}
    if arguments.duration is not None:
        try:
            body["seconds"] = parse_duration(arguments.duration)
        except ValueError as error:
            raise UsageError(f"--for: {error}") from None
    print_one(client.ask("POST", f"breakers/{segment(arguments.id)}/{verb}", body), arguments)


def _release(client: Client, arguments: argparse.Namespace) -> None:
    print_one(client.ask("POST", f"breakers/{segment(arguments.id)}/release"), arguments)
