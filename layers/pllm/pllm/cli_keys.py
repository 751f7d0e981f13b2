"""`pllm keys ...` and `pllm teams ...`: virtual keys and teams from the command line, through the control plane."""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from pllm.cli_arguments import identifier
from pllm.cli_client import Client, UsageError
from pllm.cli_control import command, print_json, print_many, print_one, segment, with_id
from pllm.cli_key_options import add_key_options, add_limit_options, fields_of
from pllm.core.config.units import parse_duration

_COLUMNS = ("id", "name", "team", "role", "status", "limits", "expires_at")
_TEAM_COLUMNS = ("id", "name", "keys", "limits")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `keys` and `teams`; each command sets `run`, a function of the parsed arguments that returns the exit code."""
    keys = subparsers.add_parser("keys", help="create, list and stop virtual keys").add_subparsers(
        dest="keys_command", required=True, metavar="COMMAND"
    )
    create = command(keys, "create", "create a key and print it: this once, nobody can show it again", _create_key)
    create.add_argument("--name", required=True, help="what people call it")
    add_key_options(create)
    update = command(keys, "update", "change a key: what is not given stays, `none` takes a limit away", _update_key)
    update.add_argument("id", metavar="ID", type=identifier)
    update.add_argument("--name", help="what people call it")
    add_key_options(update)
    listing = command(keys, "list", "list keys, the newest first", _list_keys)
    listing.add_argument("--team", help="only those of a team")
    listing.add_argument("--status", choices=("active", "disabled", "revoked", "expired"), help="only those in this state")
    with_id(keys, "show", "print a key's settings", _show_key)
    rotate = with_id(keys, "rotate", "give a key a new secret and print it", _rotate_key)
    rotate.add_argument("--grace", default="24h", help="how much longer the present one works (default: 24h; 0: not at all)")
    for verb, about in (
        ("disable", "stop a key for now"),
        ("enable", "let a disabled key work again"),
        ("revoke", "stop a key for good"),
    ):
        with_id(keys, verb, about, partial(_switch_key, verb=verb))
    with_id(keys, "delete", "stop a key and forget it", partial(_delete, kind="keys"))
    _add_teams(subparsers)


def _add_teams(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    teams = subparsers.add_parser("teams", help="create, list and limit teams").add_subparsers(
        dest="teams_command", required=True, metavar="COMMAND"
    )
    for verb, about in (("create", "create a team"), ("update", "change a team: what is not given stays")):
        saving = with_id(teams, verb, about, partial(_save_team, verb=verb))
        saving.add_argument("--name", help="what people call it")
        add_limit_options(saving)
    command(teams, "list", "list teams", _list_teams)
    with_id(teams, "show", "print a team's settings", _show_team)
    with_id(teams, "delete", "remove a team that has no keys", partial(_delete, kind="teams"))


# --- Commands ------------------------------------------------------------------------------------------------------


def _create_key(client: Client, arguments: argparse.Namespace) -> None:
    made = client.ask("POST", "keys", fields_of(arguments, datetime.now(UTC)))
    _print_secret(made, arguments, f"Created {made['id']} ({made['name']}).")


def _rotate_key(client: Client, arguments: argparse.Namespace) -> None:
    try:
        grace_s = int(parse_duration(arguments.grace))
    except ValueError as error:
        raise UsageError(f"--grace: {error}") from None
    made = client.ask("POST", f"keys/{segment(arguments.id)}/rotate", {"grace_seconds": grace_s})
    until = made["previous_valid_until"]
    _print_secret(made, arguments, f"Rotated {made['id']}. The former key works until {until}." if until else "Rotated.")


def _print_secret(made: Mapping[str, Any], arguments: argparse.Namespace, words: str) -> None:
    """The key alone on standard output, so that `KEY=$(pllm keys create ...)` works."""
    if arguments.json:
        print_json(made)
        return
    sys.stderr.write(f"{words} The key is shown this once:\n")
    sys.stdout.write(f"{made['key']}\n")


def _update_key(client: Client, arguments: argparse.Namespace) -> None:
    path = f"keys/{segment(arguments.id)}"
    print_one(client.ask("PATCH", path, fields_of(arguments, datetime.now(UTC))), arguments)


def _list_keys(client: Client, arguments: argparse.Namespace) -> None:
    query = {"limit": "1000", "team": arguments.team, "status": arguments.status}
    found: list[Any] = []
    after = ""
    while True:
        asked = {name: value for name, value in {**query, "after": after}.items() if value}
        page = client.ask("GET", f"keys?{urlencode(asked)}")
        found += page["data"]
        after = page["next"]
        if not after:
            break
    print_many(found, _COLUMNS, arguments)


def _show_key(client: Client, arguments: argparse.Namespace) -> None:
    print_one(client.ask("GET", f"keys/{segment(arguments.id)}"), arguments)


def _switch_key(client: Client, arguments: argparse.Namespace, verb: str) -> None:
    changed = client.ask("POST", f"keys/{segment(arguments.id)}/{verb}")
    if arguments.json:
        print_json(changed)
    else:
        sys.stdout.write(f"{changed['id']} ({changed['name']}) is {changed['status']}.\n")


def _save_team(client: Client, arguments: argparse.Namespace, verb: str) -> None:
    fields = fields_of(arguments, datetime.now(UTC))
    if verb == "create":
        saved = client.ask("POST", "teams", {"id": arguments.id, **fields})
    else:
        saved = client.ask("PATCH", f"teams/{segment(arguments.id)}", fields)
    print_one(saved, arguments)


def _list_teams(client: Client, arguments: argparse.Namespace) -> None:
    print_many(client.ask("GET", "teams")["data"], _TEAM_COLUMNS, arguments)


def _show_team(client: Client, arguments: argparse.Namespace) -> None:
    print_one(client.ask("GET", f"teams/{segment(arguments.id)}"), arguments)


def _delete(client: Client, arguments: argparse.Namespace, kind: str) -> None:
    gone = client.ask("DELETE", f"{kind}/{segment(arguments.id)}")
    print_json(gone) if arguments.json else sys.stdout.write(f"{gone['id']} is deleted.\n")
