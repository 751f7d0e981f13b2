"""cli_models.py: `pllm models show` and `pllm models refresh`."""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pllm import cli_models
from pllm.cli_models import OK, REFUSED, UNREADABLE, refresh, show_model
from pllm.core.catalogue import parse
from pllm.core.catalogue.check import problems


def shown(name: str, front: Path | None = None) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = show_model(name, str(front) if front else None, out, err)
    return code, out.getvalue(), err.getvalue()


def refreshed(path: Path, output: Path | None = None, base: Path | None = None, take_all: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = refresh(str(path), str(output) if output else None, str(base) if base else None, take_all, out, err)
    return code, out.getvalue(), err.getvalue()


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


MINE = {
    "schema": 1,
    "version": "2027-01-15",
    "models": {
        "openai": {"gpt-4o": {"prices": {"input": 2_000_000, "output": 8_000_000}, "source": "me", "as_of": "2027-01-15"}}
    },
}


def test_show_prints_what_is_known_with_its_evidence() -> None:
    code, out, err = shown("anthropic/claude-sonnet-4-6")
    assert (code, err) == (OK, "")
    assert "read on 2026-" in out
    assert "thinking: adaptive" in out
    assert "supports_prefill: no" in out
    assert "max_output_tokens: 128,000" in out
    assert "input: 3\n" in out
    assert "cache_write_1h: 6\n" in out


def test_show_knows_a_providers_other_names_and_announced_prices() -> None:
    _, out, _ = shown("google/gemini-4-argon")
    assert out.startswith("gemini/gemini-4-argon\n")
    assert "from 2026-12-01: input 4, output 20" in out


def test_show_says_that_a_price_is_not_known_rather_than_nought() -> None:
    assert "prices: not known" in shown("deepseek/deepseek-chat")[1]


def test_show_looks_into_an_operators_catalogue_first(tmp_path: Path) -> None:
    assert "input: 2\n" in shown("openai/gpt-4o", written(tmp_path / "mine.json", MINE))[1]


@pytest.mark.parametrize(
    ("name", "ended", "says"),
    [
        ("gpt-4o", UNREADABLE, "name a provider"),
        ("acme/gpt-4o", UNREADABLE, "name a provider"),
        ("openai/nothing-like-it", REFUSED, "not in the catalogue"),
    ],
)
def test_show_says_why_there_is_nothing_to_show(name: str, ended: int, says: str) -> None:
    code, out, err = shown(name)
    assert (code, out) == (ended, "")
    assert says in err


def test_show_names_a_catalogue_that_cannot_be_read(tmp_path: Path) -> None:
    assert shown("openai/gpt-4o", tmp_path / "absent.json")[0] == UNREADABLE
    code, _, err = shown("openai/gpt-4o", written(tmp_path / "bad.json", "{"))
    assert code == REFUSED
    assert "bad.json" in err
    code, _, err = shown("openai/gpt-4o", written(tmp_path / "deep.json", "[" * 100_000))
    assert (code, err) == (REFUSED, f"error: {tmp_path / 'deep.json'}: not JSON: nested too deep\n")
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff")
    assert shown("openai/gpt-4o", binary) == (UNREADABLE, "", f"{binary}: error: not UTF-8 text: byte 0xff at position 0\n")


@pytest.mark.parametrize("name", ["deep.json", "deep.yaml", "date.yaml"])
def test_a_list_that_is_none_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    text = "a: 2026-13-45\n" if name == "date.yaml" else "[" * 100_000
    code, out, err = refreshed(written(tmp_path / name, text))
    assert (code, out) == (REFUSED, "")
    assert err.startswith(f"error: {tmp_path / name}: not ")


def test_refresh_prints_the_difference_and_writes_the_whole_catalogue(tmp_path: Path) -> None:
    output = tmp_path / "new.json"
    code, out, err = refreshed(written(tmp_path / "mine.json", MINE), output)
    assert (code, err) == (OK, "")
    assert "~ openai/gpt-4o: prices.input 2500000 -> 2000000" in out
    new = parse(output.read_bytes(), output.name)
    assert problems(new) == []
    assert new.version == "2027-01-15"
    assert new.profile_of("openai", "gpt-4o", "2027-01-15").prices.input == 2_000_000
    assert new.profile_of("anthropic", "claude-opus-5", "2027-01-15").known
    assert json.loads(output.read_bytes())["about"]


def test_refresh_twice_changes_nothing_more(tmp_path: Path) -> None:
    mine, once = written(tmp_path / "mine.json", MINE), tmp_path / "once.json"
    refreshed(mine, once)
    code, out, _ = refreshed(mine, base=once)
    assert code == OK
    assert out.startswith("0 changes")


def test_refresh_without_an_output_only_says_what_it_would_do(tmp_path: Path) -> None:
    mine = written(tmp_path / "mine.json", MINE)
    assert refreshed(mine)[0] == OK
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


def test_refresh_reads_yaml_with_its_dates(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    text = "schema: 1\nversion: 2027-01-15\nmodels:\n  openai:\n    m:\n      source: me\n      as_of: 2027-01-15\n"
    code, out, err = refreshed(written(tmp_path / "mine.yaml", text))
    assert (code, err) == (OK, "")
    assert "+ openai/m" in out


def test_refresh_takes_over_litellms_list_for_the_models_we_have(tmp_path: Path) -> None:
    listed = {name: {"litellm_provider": "openai", "input_cost_per_token": 1e-6} for name in ("gpt-4o", "gpt-99")}
    path = written(tmp_path / "prices.json", listed)
    code, out, _ = refreshed(path)
    assert code == OK
    assert "~ openai/gpt-4o: prices.input 2500000 -> 1000000" in out
    assert "gpt-99" not in out
    assert "+ openai/gpt-99" in refreshed(path, take_all=True)[1]


def test_refresh_refuses_a_list_with_anything_wrong_in_it_and_writes_nothing(tmp_path: Path) -> None:
    bad = {**MINE, "models": {"openai": {"m": {"prices": {"input": 0.5}}}}}
    output = tmp_path / "new.json"
    code, out, err = refreshed(written(tmp_path / "mine.json", bad), output)
    assert (code, out) == (REFUSED, "")
    assert "openai/m: price 'input' is 0.5" in err
    assert "openai/m: 'source' is missing" in err
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("a.json", "{", "not JSON"), ("a.yaml", "a: [", "not YAML"), ("a.json", "[]", "not a model catalogue")],
)
def test_refresh_refuses_what_is_no_list(tmp_path: Path, name: str, text: str, says: str) -> None:
    code, _, err = refreshed(written(tmp_path / name, text))
    assert code == REFUSED
    assert says in err


def test_refresh_says_which_file_cannot_be_read_or_written(tmp_path: Path) -> None:
    code, _, err = refreshed(tmp_path / "absent.json")
    assert code == UNREADABLE
    assert "absent.json" in err
    mine = written(tmp_path / "mine.json", MINE)
    code, _, err = refreshed(mine, tmp_path / "no" / "such" / "folder.json")
    assert code == UNREADABLE
    assert "folder.json" in err


def test_the_commands_are_wired_to_their_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    cli_models.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["models", "show", "openai/gpt-4o", "--catalogue", str(written(tmp_path / "m.json", MINE))])
    assert parsed.run(parsed) == OK
    assert "input: 2\n" in capsys.readouterr().out
    parsed = parser.parse_args(["models", "refresh", str(tmp_path / "m.json"), "-o", str(tmp_path / "out.json")])
    assert parsed.run(parsed) == OK
    assert (tmp_path / "out.json").exists()
