"""`pllm keys ...` and `pllm teams ...`: virtual keys and teams from the command line, through the control plane."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from pllm.cli_client import Client, CommandError, add_connection, connect
from pllm.cli_key_options import add_key_options, add_limit_options, fields_of
from pllm.core.config.units import parse_duration

Run = Callable[[Client, argparse.Namespace], None]

OK, REFUSED = 0, 1

_COLUMNS = ("id", "name", "team", "role", "status", "limits", "expires_at")
_TEAM_COLUMNS = ("id", "name", "keys", "limits")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `keys` and `teams`; each command sets `run`, a function of the parsed arguments that returns the exit code."""
    keys = subparsers.add_parser("keys", help="create, list and stop virtual keys").add_subparsers(
        dest="keys_command", required=True, metavar="COMMAND"
    )
    create = _command(keys, "create", "create a key and print it: this once, nobody can show it again", _create_key)
    create.add_argument("--name", required=True, help="what people call it")
    add_key_options(create)
    update = _command(keys, "update", "change a key: what is not given stays, `none` takes a limit away", _update_key)
    update.add_argument("id", metavar="ID")
    update.add_argument("--name", help="what people call it")
    add_key_options(update)
    listing = _command(keys, "list", "list keys, the newest first", _list_keys)
    listing.add_argument("--team", help="only those of a team")
    listing.add_argument("--status", choices=("active", "disabled", "revoked", "expired"), help="only those in this state")
    _with_id(keys, "show", "print a key's settings", _show_key)
    rotate = _with_id(keys, "rotate", "give a key a new secret and print it", _rotate_key)
    rotate.add_argument("--grace", default="24h", help="how much longer the present one works (default: 24h; 0: not at all)")
    for verb, about in (
        ("disable", "stop a key for now"),
        ("enable", "let a disabled key work again"),
        ("revoke", "stop a key for good"),
    ):
        _with_id(keys, verb, about, partial(_switch_key, verb=verb))
    _with_id(keys, "delete", "stop a key and forget it", partial(_delete, kind="keys"))
    _add_teams(subparsers)


def _add_teams(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    teams = subparsers.add_parser("teams", help="create, list and limit teams").add_subparsers(
        dest="teams_command", required=True, metavar="COMMAND"
    )
    for verb, about in (("create", "create a team"), ("update", "change a team: what is not given stays")):
        command = _with_id(teams, verb, about, partial(_save_team, verb=verb))
        command.add_argument("--name", help="what people call it")
        add_limit_options(command)
    _command(teams, "list", "list teams", _list_teams)
    _with_id(teams, "show", "print a team's settings", _show_team)
    _with_id(teams, "delete", "remove a team that has no keys", partial(_delete, kind="teams"))


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, about: str, run: Run
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about)
    add_connection(parser)
    parser.set_defaults(run=lambda arguments: _run(run, arguments))
    return parser


def _with_id(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, about: str, run: Run
) -> argparse.ArgumentParser:
    parser = _command(commands, name, about, run)
    parser.add_argument("id", metavar="ID")
    return parser


def _run(run: Run, arguments: argparse.Namespace) -> int:
    try:
        run(connect(arguments), arguments)
    except CommandError as error:
        sys.stderr.write(f"pllm: {error}\n")
        return REFUSED
    return OK


# --- Commands ------------------------------------------------------------------------------------------------------


def _create_key(client: Client, arguments: argparse.Namespace) -> None:
    made = client.ask("POST", "keys", fields_of(arguments, datetime.now(UTC)))
    _print_secret(made, arguments, f"Created {made['id']} ({made['name']}).")


def _rotate_key(client: Client, arguments: argparse.Namespace) -> None:
    try:
        grace_s = int(parse_duration(arguments.grace))
    except ValueError as error:
        raise CommandError(f"--grace: {error}") from None
    made = client.ask("POST", f"keys/{_segment(arguments.id)}/rotate", {"grace_seconds": grace_s})
    until = made["previous_valid_until"]
    _print_secret(made, arguments, f"Rotated {made['id']}. The former key works until {until}." if until else "Rotated.")


def _print_secret(made: Mapping[str, Any], arguments: argparse.Namespace, words: str) -> None:
    """The key alone on standard output, so that `KEY=$(pllm keys create ...)` works."""
    if arguments.json:
        _print_json(made)
        return
    sys.stderr.write(f"{words} The key is shown this once:\n")
    sys.stdout.write(f"{made['key']}\n")


def _update_key(client: Client, arguments: argparse.Namespace) -> None:
    path = f"keys/{_segment(arguments.id)}"
    _print_one(client.ask("PATCH", path, fields_of(arguments, datetime.now(UTC))), arguments)


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
    _print_many(found, _COLUMNS, arguments)


def _show_key(client: Client, arguments: argparse.Namespace) -> None:
    _print_one(client.ask("GET", f"keys/{_segment(arguments.id)}"), arguments)


def _switch_key(client: Client, arguments: argparse.Namespace, verb: str) -> None:
    changed = client.ask("POST", f"keys/{_segment(arguments.id)}/{verb}")
    if arguments.json:
        _print_json(changed)
    else:
        sys.stdout.write(f"{changed['id']} ({changed['name']}) is {changed['status']}.\n")


def _save_team(client: Client, arguments: argparse.Namespace, verb: str) -> None:
    fields = fields_of(arguments, datetime.now(UTC))
    if verb == "create":
        saved = client.ask("POST", "teams", {"id": arguments.id, **fields})
    else:
        saved = client.ask("PATCH", f"teams/{_segment(arguments.id)}", fields)
    _print_one(saved, arguments)


def _list_teams(client: Client, arguments: argparse.Namespace) -> None:
    _print_many(client.ask("GET", "teams")["data"], _TEAM_COLUMNS, arguments)


def _show_team(client: Client, arguments: argparse.Namespace) -> None:
    _print_one(client.ask("GET", f"teams/{_segment(arguments.id)}"), arguments)


def _delete(client: Client, arguments: argparse.Namespace, kind: str) -> None:
    gone = client.ask("DELETE", f"{kind}/{_segment(arguments.id)}")
    _print_json(gone) if arguments.json else sys.stdout.write(f"{gone['id']} is deleted.\n")


def _segment(text: str) -> str:
    return quote(text, safe="")


# --- Printing ------------------------------------------------------------------------------------------------------


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _print_one(row: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json:
        _print_json(row)
        return
    shown = [(name, value) for name, value in row.items() if value not in (None, [], {}, False)]
    width = max(len(name) for name, _ in shown)
    sys.stdout.writelines(f"{name:<{width}}  {_text(value)}\n" for name, value in shown)


def _print_many(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], arguments: argparse.Namespace) -> None:
    if arguments.json:
        _print_json(rows)
        return
    table = [list(columns), *([_cell(row, column) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(columns))]
    for line in table:
        sys.stdout.write("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _cell(row: Mapping[str, Any], column: str) -> str:
    if column == "limits":
        return ", ".join(_limits(row)) or "-"
    value = row.get(column)
    return "-" if value is None else str(value)


def _limits(row: Mapping[str, Any]) -> Iterable[str]:
    for name in ("rpm", "tpm", "max_parallel"):
        if row[name] is not None:
            yield f"{name} {row[name]}"
    if row["budget"] is not None:
        yield _text(row["budget"])


def _text(value: Any) -> str:
    if isinstance(value, dict) and "amount_usd" in value:
        zone = "" if value["timezone"] == "UTC" else f" ({value['timezone']})"
        when = "in total" if value["period"] == "total" else f"a {value['period']}"
        return f"${value['amount_usd']:g} {when}{zone}"
    if isinstance(value, dict):
        return ", ".join(f"{name}={inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
