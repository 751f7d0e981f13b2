"""What the commands that talk to a control plane have in common: their options, how they end, and how they print."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pllm.cli_arguments import identifier
from pllm.cli_client import Client, CommandError, add_connection, connect

Run = Callable[[Client, argparse.Namespace], None]

OK, REFUSED = 0, 1
"""Exit codes; what could not work as it was typed ends with 2, as argparse does."""


def command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, about: str, run: Run
) -> argparse.ArgumentParser:
    """A sub-command that talks to a control plane: `run` is given whom to ask and the arguments."""
    parser = commands.add_parser(name, help=about, description=about)
    add_connection(parser)
    parser.set_defaults(run=lambda arguments: _run(run, arguments))
    return parser


def with_id(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, about: str, run: Run
) -> argparse.ArgumentParser:
    """One that is about a single thing, named by its id."""
    parser = command(commands, name, about, run)
    parser.add_argument("id", metavar="ID", type=identifier)
    return parser


def _run(run: Run, arguments: argparse.Namespace) -> int:
    try:
        client = connect(arguments)
        try:
            run(client, arguments)
        except (KeyError, TypeError, IndexError):  # JSON of somebody else's, or of another version's
            raise CommandError(f"{client.url} answered as no gateway of this version does: is it one?") from None
    except CommandError as error:
        sys.stderr.write(f"pllm: {error}\n")
        return error.code
    return OK


def segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


# --- Printing ------------------------------------------------------------------------------------------------------


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_one(row: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """One thing, a line for each field that says something."""
    if arguments.json:
        print_json(row)
        return
    shown = [(name, value) for name, value in row.items() if value not in (None, [], {}, False)]
    width = max(len(name) for name, _ in shown)
    sys.stdout.writelines(f"{name:<{width}}  {_text(value)}\n" for name, value in shown)


def print_many(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], arguments: argparse.Namespace) -> None:
    """Many things, a line for each; the column `limits` is made of what limits one."""
    if arguments.json:
        print_json(rows)
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
