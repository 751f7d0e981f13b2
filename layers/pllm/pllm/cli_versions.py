"""`pllm config publish | versions | rollback | diff`: the configuration of a running gateway, through its control plane."""

import argparse
import sys
from pathlib import Path
from typing import Any

from pllm.cli_arguments import file_name, whole_number
from pllm.cli_client import Client, UsageError
from pllm.cli_control import command, print_json


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to those of `config`; each sets `run`, a function of the parsed arguments that returns the exit code."""
    publish = command(
        commands, "publish", "use a configuration from now on, in every environment within five seconds", _publish
    )
    _add_file(publish)
    publish.add_argument("--note", default="", help="why, for whoever looks later")
    _add_expect(publish)
    command(commands, "versions", "list the versions that were published, the newest first", _versions)
    back = command(
        commands, "rollback", "use an earlier version again; 0 is the one the functions were deployed with", _rollback
    )
    back.add_argument("version", metavar="N", type=whole_number(0))
    _add_expect(back)
    differ = command(commands, "diff", "print what publishing a configuration would change", _diff)
    _add_file(differ)
    differ.add_argument("--against", metavar="N", type=whole_number(0), help="another version than the one in use")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=file_name, help="YAML or JSON; - for standard input")


def _add_expect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--expect", metavar="N", type=whole_number(0), help="change nothing unless this version is in use")


def _publish(client: Client, arguments: argparse.Namespace) -> None:
    body = {"text": _text(arguments.file), "expected": _expected(client, arguments), "note": arguments.note}
    answer = client.ask("POST", "config/versions", body)
    for one in answer["warnings"]:
        place = f"{arguments.file}:{one['line']}:{one['column']}" if one["line"] else arguments.file
        sys.stderr.write(f"{place}: warning: {one['message']}\n")
    _print(arguments, answer, f"version {answer['version']} is in use, everywhere within 5 seconds\n")


def _versions(client: Client, arguments: argparse.Namespace) -> None:
    page = client.ask("GET", "config/versions")
    lines = [_line(one, page["current"]) for one in page["data"]]
    deployed = f"{'*' if page['current'] == 0 else ' '} 0  as deployed\n"
    _print(arguments, page, "".join([*lines, deployed]))


def _rollback(client: Client, arguments: argparse.Namespace) -> None:
    body = {"version": arguments.version, "expected": _expected(client, arguments)}
    answer = client.ask("POST", "config/rollback", body)
    _print(arguments, answer, f"version {answer['current']} is in use, everywhere within 5 seconds\n")


def _diff(client: Client, arguments: argparse.Namespace) -> None:
    answer = client.ask("POST", "config/diff", {"text": _text(arguments.file), "against": arguments.against})
    _print(arguments, answer, answer["diff"])


def _expected(client: Client, arguments: argparse.Namespace) -> int:
    """The version that is to be replaced: the one that was named, else the one in use now."""
    if arguments.expect is not None:
        return int(arguments.expect)
    return int(client.ask("GET", "config/versions")["current"])


def _line(one: dict[str, Any], current: int) -> str:
    mark = "*" if one["version"] == current else " "
    return f"{mark} {one['version']}  {one['at']}  {one['by']}{'  ' + one['note'] if one['note'] else ''}\n"


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 text: byte 0x{error.object[error.start]:02x}") from None


def _print(arguments: argparse.Namespace, answer: Any, words: str) -> None:
    print_json(answer) if arguments.json else sys.stdout.write(words)
