"""`pllm keys` and `pllm teams` against a control plane over real HTTP."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.control_served import named_control

from pllm.cli import main
from pllm.core.keys import is_key


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with named_control(monkeypatch):
        yield


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert main(list(arguments)) == code, capsys.readouterr()
        read = capsys.readouterr()
        return read.out, read.err

    return run


def test_a_key_has_its_life_on_the_command_line(plane: None, said: Any) -> None:
    said("teams", "create", "search", "--name", "Search team", "--tpm", "9000")
    options = ["--team", "search", "--model", "gpt-*", "--model", "o3", "--scope", "chat", "--rpm", "60", "--budget", "$25"]
    options += ["--period", "week", "--timezone", "Europe/Berlin", "--expires", "2028-01-01T00:00:00Z"]
    options += ["--tag", "ci", "--metadata", "owner=ana=x", "--max-parallel", "3"]
    out, err = said("keys", "create", "--name", "ci", *options)
    key = out.strip()
    assert is_key(key)
    assert "this once" in err
    assert key not in err
    listed, _ = said("keys", "list")
    header, row = listed.splitlines()
    assert header.split() == ["id", "name", "team", "role", "status", "limits", "expires_at"]
    assert "rpm 60, max_parallel 3, $25 a week (Europe/Berlin)" in row
    key_id = row.split()[0]
    shown, _ = said("keys", "show", key_id)
    assert ["models", "gpt-*,", "o3"] in [line.split() for line in shown.splitlines()]
    assert "owner=ana=x" in shown
    said("keys", "update", key_id, "--rpm", "none", "--budget", "none", "--expires", "none", "--name", "ci 2")
    changed = json.loads(said("keys", "show", key_id, "--json")[0])
    assert (changed["rpm"], changed["budget"], changed["expires_at"], changed["name"]) == (None, None, None, "ci 2")
    rotated, err = said("keys", "rotate", key_id, "--grace", "1h")
    assert is_key(rotated.strip())
    assert "works until 2027-01-15T09:00:00Z" in err
    assert said("keys", "disable", key_id)[0] == f"{key_id} (ci 2) is disabled.\n"
    assert said("keys", "enable", key_id)[0] == f"{key_id} (ci 2) is active.\n"
    assert said("keys", "revoke", key_id)[0] == f"{key_id} (ci 2) is revoked.\n"
    assert said("keys", "list", "--status", "active")[0].split() == header.split()
    assert "there is 1 key in it" in said("teams", "delete", "search", code=1)[1]
    assert "deleted" in said("keys", "delete", key_id)[0]
    assert "deleted" in said("teams", "delete", "search")[0]


def test_teams_are_listed_shown_and_changed(plane: None, said: Any) -> None:
    said("teams", "create", "ads", "--budget", "5", "--period", "total")
    said("teams", "update", "ads", "--rpm", "7")
    assert said("teams", "list")[0].splitlines()[1].split(maxsplit=3) == ["ads", "ads", "0", "rpm 7, $5 in total"]
    assert "rpm" in said("teams", "show", "ads")[0]


def test_json_is_the_answer_as_it_came(plane: None, said: Any) -> None:
    made = json.loads(said("keys", "create", "--name", "x", "--json")[0])
    assert is_key(made["key"])
    assert [key["id"] for key in json.loads(said("keys", "list", "--json")[0])] == [made["id"]]


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (1, ["keys", "show", "key_nobody"], "There is no key with the id 'key_nobody'. (HTTP 404)"),
        (1, ["keys", "show", "../teams"], "There is nothing at this path"),
        (2, ["keys", "create", "--name", "x", "--rpm", "many"], "--rpm: expected a whole number"),
        (2, ["keys", "create", "--name", "x", "--budget", "lots"], "--budget: expected an amount in USD"),
        (2, ["keys", "create", "--name", "x", "--period", "day"], "belong to --budget"),
        (2, ["keys", "create", "--name", "x", "--metadata", "owner"], "expected NAME=VALUE"),
        (1, ["keys", "create", "--name", "x", "--expires", "tomorrow"], "expires_at"),
        (1, ["keys", "create", "--name", "x", "--scope", "chatt"], "unknown scope 'chatt'"),
        (2, ["keys", "rotate", "x", "--grace", "long"], "--grace: expected a duration"),
        (1, ["keys", "list", "--key", "wrong"], "Incorrect API key provided. (HTTP 401)"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_an_exit_code(
    plane: None, said: Any, code: int, arguments: list[str], words: str
) -> None:
    out, err = said(*arguments, code=code)
    assert out == ""
    assert words in err
    assert err.startswith("pllm: ")
    assert err.count("\n") == 1


def test_nobody_there_is_said_plainly(said: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "cannot be reached" in said("keys", "list", "--url", f"http://127.0.0.1:{port}", code=1)[1]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://gateway.example/v1", "not sent over http"),
        ("ftp://x", "--url: expected a URL"),
        ("gateway", "--url: expected a URL"),
        ("http://[::1", "--url: expected a URL"),
        ("https://gateway.example", "no key"),
    ],
)
def test_a_key_does_not_travel_in_the_clear_or_to_nowhere(
    said: Any, url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PLLM_KEY", "PLLM_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert words in said("keys", "list", "--url", url, code=2)[1]


@pytest.mark.parametrize("key", ["a\nb", "ключ"])
def test_what_is_no_key_is_not_sent(said: Any, key: str) -> None:
    assert "--key: a key has nothing but printable ASCII" in said("keys", "list", "--key", key, code=2)[1]


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
)
def test_who_is_no_gateway_is_asked_whether_it_is_one(said: Any, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_answer_once, args=(listening, answer))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert "is it" in said("keys", "list", "--url", url, code=1)[1]
        thread.join()


def _answer_once(listening: socket.socket, answer: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(answer)


def test_a_redirect_is_not_followed_with_the_key(said: Any) -> None:
    seen: list[bytes] = []

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            seen.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert "HTTP 302" in said("keys", "list", "--url", url, code=1)[1]
        thread.join()
    assert b"Bearer" in seen[0]
