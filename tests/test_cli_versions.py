"""`pllm config publish | versions | rollback | diff`, against a control plane whose answers are written down."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from pllm.cli import main
from pllm.cli_client import Client, CommandError

PAGE = {
    "current": 2,
    "data": [
        {"version": 2, "at": "2026-01-02T00:00:00Z", "by": "master", "note": "why", "etag": "e", "size": 1},
        {"version": 1, "at": "2026-01-01T00:00:00Z", "by": "key_1", "note": "", "etag": "e", "size": 1},
    ],
}
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "config/versions"): PAGE,
    ("POST", "config/versions"): {
        "version": 3,
        "etag": "e",
        "warnings": [
            {"line": 4, "column": 2, "message": "not yet at work"},
            {"line": 0, "column": 0, "message": "'model_list[0]' (a) is disabled: KEY is not set"},
        ],
    },
    ("POST", "config/rollback"): {"current": 1, "etag": "e"},
    ("POST", "config/diff"): {"against": 2, "diff": "-a\n+b\n"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """What the command line asked of the control plane."""
    seen: list[tuple[str, str, Any]] = []

    def ask(self: Client, method: str, path: str, body: Any = None) -> Any:
        seen.append((method, path, body))
        return ANSWERS[method, path]

    monkeypatch.setattr(Client, "ask", ask)
    return seen


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text("model_list: []\n")
    return str(path)


def test_publishing_replaces_the_version_in_use_and_shows_warnings(
    asked: list[Any], file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "publish", file, "--note", "why"]) == 0
    assert asked[-1] == ("POST", "config/versions", {"text": "model_list: []\n", "expected": 2, "note": "why"})
    said = capsys.readouterr()
    assert said.out == "version 3 is in use, everywhere within 5 seconds\n"
    assert said.err.splitlines() == [
        f"{file}:4:2: warning: not yet at work",
        f"{file}: warning: 'model_list[0]' (a) is disabled: KEY is not set",
    ]


def test_an_expected_version_is_taken_at_its_word(asked: list[Any], file: str) -> None:
    assert main(["config", "publish", file, "--expect", "7"]) == 0
    assert main(["config", "rollback", "1", "--expect", "0"]) == 0
    assert [(path, body["expected"]) for _, path, body in asked] == [("config/versions", 7), ("config/rollback", 0)]


def test_a_configuration_may_come_from_standard_input(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("model_list: [x]\n"))
    assert main(["config", "diff", "-", "--against", "1"]) == 0
    assert asked == [("POST", "config/diff", {"text": "model_list: [x]\n", "against": 1})]
    assert capsys.readouterr().out == "-a\n+b\n"


def test_versions_are_listed_with_the_one_in_use_marked(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "versions"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "* 2  2026-01-02T00:00:00Z  master  why",
        "  1  2026-01-01T00:00:00Z  key_1",
        "  0  as deployed",
    ]
    assert main(["config", "versions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == PAGE


def test_going_back_says_what_is_in_use(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "rollback", "1"]) == 0
    assert asked[-1] == ("POST", "config/rollback", {"version": 1, "expected": 2})
    assert capsys.readouterr().out == "version 1 is in use, everywhere within 5 seconds\n"


def test_what_cannot_be_read_is_not_sent(asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "publish", str(tmp_path / "absent.yaml")]) == 2
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff")
    assert main(["config", "diff", str(binary)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "No such file" in said[0]
    assert "not UTF-8 text: byte 0xff" in said[1]
    assert asked == []


def test_a_refusal_is_said_and_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Client, method: str, path: str, body: Any = None) -> Any:
        raise CommandError("config.yaml:1:1: error: unknown key (HTTP 400)")

    monkeypatch.setattr(Client, "ask", refuse)
    assert main(["config", "publish", file, "--expect", "0"]) == 1
    assert capsys.readouterr().err == "pllm: config.yaml:1:1: error: unknown key (HTTP 400)\n"
