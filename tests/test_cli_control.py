"""What the commands that talk to a control plane have in common: how they print, and how they end."""

import argparse
import json
from typing import Any

import pytest

from pllm.cli_client import Client, CommandError
from pllm.cli_control import OK, REFUSED, command, print_many, print_one, segment

BUDGET = {"amount_usd": 25.0, "period": "week", "timezone": "Europe/Berlin"}
KEY = {"name": "ci", "rpm": 60, "tpm": None, "max_parallel": None, "budget": BUDGET, "tags": ["a", "b"], "team": None}
TEXT, JSON = argparse.Namespace(json=False), argparse.Namespace(json=True)


def test_one_thing_is_a_line_for_each_field_that_says_something(capsys: pytest.CaptureFixture[str]) -> None:
    print_one(KEY, TEXT)
    assert capsys.readouterr().out.splitlines() == [
        "name    ci",
        "rpm     60",
        "budget  $25 a week (Europe/Berlin)",
        "tags    a, b",
    ]


def test_many_things_are_a_table_in_which_limits_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    free = dict.fromkeys(KEY) | {"name": "a longer name"}
    print_many([KEY, free], ("name", "team", "limits"), TEXT)
    assert capsys.readouterr().out.splitlines() == [
        "name           team  limits",
        "ci             -     rpm 60, $25 a week (Europe/Berlin)",
        "a longer name  -     -",
    ]


def test_json_is_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    print_one(KEY, JSON)
    assert json.loads(capsys.readouterr().out) == KEY
    print_many([KEY], ("name",), JSON)
    assert json.loads(capsys.readouterr().out) == [KEY]


def test_an_id_is_one_part_of_a_path_whatever_is_in_it() -> None:
    assert segment("m@p/x?y#1") == "m%40p%2Fx%3Fy%231"


def test_a_command_ends_in_a_code_and_says_in_a_sentence_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    def run(client: Client, arguments: argparse.Namespace) -> None:
        if arguments.key == "wrong":
            raise CommandError("it is not known")

    parser = argparse.ArgumentParser()
    command(parser.add_subparsers(), "go", "does something", run)

    def ended(*options: str) -> Any:
        arguments = parser.parse_args(["go", *options])
        return arguments.run(arguments)

    assert (ended("--key", "right"), ended("--key", "wrong")) == (OK, REFUSED)
    assert capsys.readouterr().err == "pllm: it is not known\n"
