"""`pllm breakers` against a control plane over real HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.control_served import named_control

from pllm.cli import main

DEP = "gpt-4o@openai/gpt-4o"


@pytest.fixture(autouse=True)
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with named_control(monkeypatch):
        yield


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert main(["breakers", *arguments]) == code, capsys.readouterr()
        read = capsys.readouterr()
        return read.out, read.err

    return run


def test_a_breaker_is_opened_shown_closed_and_released(said: Any) -> None:
    out, _ = said("open", DEP, "--reason", "maintenance")
    assert "maintenance" in out
    head, line = said("list")[0].splitlines()
    assert head.split() == ["deployment", "state", "admits", "held_by", "why", "until"]
    assert line.split() == [DEP, "open", "none", "an", "administrator", "maintenance", "released"]
    closed = json.loads(said("close", DEP, "--for", "10m", "--json")[0])
    assert (closed["state"], closed["forced"], closed["until"] is None) == ("closed", True, False)
    released = json.loads(said("release", DEP, "--json")[0])
    assert (released["state"], released["forced"]) == ("closed", False)
    assert json.loads(said("list", "--json")[0]) == [released]


def test_what_cannot_be_meant_is_said_so(said: Any) -> None:
    assert "--for" in said("open", DEP, "--for", "soon", code=2)[1]
    assert DEP in said("open", "gpt-4o@openai/gpt-4", code=1)[1]
