"""`pllm` as a shell runs it: how it ends where nobody reads on, or nothing can be written."""

import os
import subprocess
import sys
from collections.abc import Mapping

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
