"""`pllm` as a shell runs it: how it ends where nobody reads on, or nothing can be written."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.processes import ROOT

from pllm.cli import main

CONFIG = str(ROOT / "layers" / "config" / "config.yaml")
HELP = {"help": ("--help",), "help of a command": ("keys", "create", "--help")}
PRINTING = {
    "what a configuration means": ("config", "check", CONFIG),
    "the reference": ("config", "reference"),
    "a compiled configuration": ("config", "compile", CONFIG),
    "a model": ("models", "show", "openai/gpt-4o"),
}


def pllm(*arguments: str, stdout: int, **environment: str) -> tuple[int, str]:
    """(exit code, what it said on stderr)."""
    clean: Mapping[str, str] = {name: value for name, value in os.environ.items() if not name.startswith("PLLM_")}
    done = subprocess.run(
        [sys.executable, "-m", "pllm.cli", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**clean, **environment},
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def unread(*arguments: str, **environment: str) -> tuple[int, str]:
    """The same, into a pipe whose reader has left: as `| head -1` leaves it, but always before the first byte."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return pllm(*arguments, stdout=writer, **environment)
    finally:
        os.close(writer)


def own_words(said: str) -> str:
    """Less the warnings about this environment's variables."""
    return "".join(line for line in said.splitlines() if "warning:" not in line)


@pytest.mark.parametrize("name", HELP | PRINTING)
def test_a_command_that_nobody_reads_ends_silently_as_other_commands_do(name: str) -> None:
    code, said = unread(*(HELP | PRINTING)[name], PYTHONUNBUFFERED="")
    assert (code, own_words(said)) == (141, "")


@pytest.mark.parametrize("name", PRINTING)
def test_so_does_one_that_finds_out_in_the_middle(name: str) -> None:
    code, said = unread(*PRINTING[name], PYTHONUNBUFFERED="1")
    assert (code, own_words(said)) == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at its end", "in the middle"])
@pytest.mark.parametrize("name", PRINTING)
def test_a_full_disk_is_said_in_a_sentence(name: str, unbuffered: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code, said = pllm(*PRINTING[name], stdout=full, PYTHONUNBUFFERED=unbuffered)
    finally:
        os.close(full)
    assert (code, own_words(said)) == (2, "pllm: error: the output: No space left on device")


def test_a_command_that_is_interrupted_has_the_usual_status_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pllm.cli_config.check", interrupted)
    assert main(["config", "check", CONFIG]) == 130
    assert capsys.readouterr().err == ""


WRONG = {
    "nothing": ([], "COMMAND"),
    "no such command": (["confg"], "'confg'"),
    "no command of config": (["config"], "COMMAND"),
    "no file to check": (["config", "check"], "FILE"),
    "a file without a name": (["config", "compile", ""], "argument FILE: expected the name of a file, got ''"),
    "no version": (["config", "rollback", "x"], "argument N: expected a whole number, at least 0, got 'x'"),
    "a version before all": (["config", "rollback", "-1"], "got '-1'"),
    "a comparison with nothing": (["config", "diff", "f", "--against", "x"], "argument --against: expected a whole number"),
    "no command of models": (["models"], "COMMAND"),
    "no provider to pay": (["probe", "f", "--paid", "nobody"], "argument --paid: expected one of openai,"),
    "no time to wait": (["probe", "f", "--timeout", "nan"], "argument --timeout: expected seconds"),
    "no key": (["keys", "show", ""], "argument ID: expected an id, got ''"),
    "no key to change": (["keys", "update", ""], "argument ID: expected an id, got ''"),
    "no name": (["keys", "create"], "--name"),
    "no breaker": (["breakers", "open", ""], "argument ID: expected an id, got ''"),
    "no port": (["local", "--port", "99999"], "argument --port: expected a whole number, 0 to 65535, got '99999'"),
    "no workers": (["local", "--workers", "0"], "argument --workers: expected a whole number, 1 to 1000, got '0'"),
    "no configuration": (["local", "--config", ""], "argument --config: expected the name of a file"),
    "no address": (["local", "--dynamodb-endpoint", "x"], "argument --dynamodb-endpoint: expected a URL"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_named_with_what_was_expected(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = WRONG[case]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("usage: pllm")
    assert words in said.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.yaml", None, "absent.yaml: No such file or directory"),
        ("binary.yaml", b"\xff", "binary.yaml: not UTF-8 text: byte 0xff at position 0"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_not_served_locally(
    tmp_path: Path, name: str, content: bytes | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["local", "--config", str(path), "--dynamodb-endpoint", "http://127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("pllm local: ")
    assert words in said


def test_an_upstream_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODEL", "banana")
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    assert main(["local", "--dynamodb-endpoint", "http://127.0.0.1:1"]) == 2
    assert "MODEL: expected one of auto, real, demo, got 'banana'" in capsys.readouterr().err


def test_a_table_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model_list: [{model_name: a, params: {model: ollama/x}}]\n")
    assert main(["local", "--config", str(path), "--dynamodb-endpoint", "http://127.0.0.1:1"]) == 2
    assert "pllm local: --dynamodb-endpoint http://127.0.0.1:1: Could not connect" in capsys.readouterr().err
