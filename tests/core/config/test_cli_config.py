import argparse
import io
import json
from pathlib import Path

import pytest

from pllm.cli_config import OK, REFUSED, UNREADABLE, add_parser, check, compile_file, write_reference
from pllm.core.config import load_compiled

GOOD = """
model_list:
  - model_name: a
    params: {model: openai/x, api_key: ["${A}", "${B}"], temperature: 0.5}
    rpm: 500
  - model_name: b
    params: {model: bedrock/y, region: eu-west-1}
    enabled: false
model_aliases: {smart: [a, b]}
routes: [{slug: r, strategy: random, models: [a, {model_name: b, weight: 3}], fallback_models: [a]}]
router: {routing_strategy: least-latency, retries: 1, circuit_breaker_enabled: false, fallbacks: {a: [b]}}
limits: {default_key: {rpm: 60}}
auth: {master_key: "${MASTER:-sk-0123456789abcdef}"}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def checked(path: Path | str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return check(str(path), environment or {}, out, err), out.getvalue(), err.getvalue()


def test_check_prints_what_it_understood(good: Path) -> None:
    code, out, _ = checked(good, {"A": "1", "B": "2"})
    assert code == OK
    assert out.splitlines()[:12] == [
        "2 deployments of 2 models",
        "  a -> openai/x 2 keys rpm=500 temperature=0.5",
        "  b -> bedrock/y in eu-west-1 (off)",
        "aliases",
        "  smart -> a, b",
        "routes",
        "  r -> a x1, b x3 (random); then a",
        "router",
        "  strategy latency-based, 1 retry, breaker off",
        "  fallbacks",
        "    a -> b",
        "limits",
    ]
    assert '  default_key: {"rpm": 60}' in out
    assert "  A: set" in out


def test_check_warns_of_what_this_environment_lacks_and_prints_no_credential(good: Path) -> None:
    code, out, err = checked(good, {"A": "sk-hidden"})
    assert code == OK
    assert "goes without the keys whose variables are not set: B" in err
    assert "sk-hidden" not in out + err
    assert "sk-0123456789abcdef" not in out + err
    assert "  master_key: ***" in out


def test_check_warns_of_a_model_that_has_no_credential(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model_list: [{model_name: a, params: {model: openai/x}}]\n")
    code, _, err = checked(path)
    lacking = "'model_list[0]' (a) is disabled: no credential was found; OpenAI takes one in OPENAI_API_KEY"
    assert (code, err) == (OK, f"{path}: warning: {lacking}\n")
    assert checked(path, {"OPENAI_API_KEY": "k"})[2] == ""


def test_check_says_when_the_gateway_would_not_start(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model_list: [{model_name: a, params: {model: x}}]\nauth: {master_key: '${MASTER}'}\n")
    code, out, _ = checked(path)
    assert code == OK
    assert "With this environment the gateway would not start:" in out
    assert "'auth.master_key': MASTER is not set" in out


def test_check_refuses_like_a_compiler(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model_list:\n  - modle_name: a\n    model_name: a\n    params: {model: x}\n")
    code, out, err = checked(path)
    assert (code, out) == (REFUSED, "")
    assert err.splitlines() == [
        f"{path}:2:5: error: unknown key 'modle_name' in 'model_list[0]'; did you mean 'model_name'?",
        f"{path}: refused: 1 error",
    ]


def test_a_file_that_is_not_there_has_its_own_exit_code(tmp_path: Path) -> None:
    code, _, err = checked(tmp_path / "none.yaml")
    assert code == UNREADABLE
    assert err.endswith("none.yaml: error: No such file or directory\n")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"model_list: \xff\xfe")
    code, _, err = checked(path)
    assert code == REFUSED
    assert "not UTF-8 text: byte 0xff at position 12" in err


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    assert checked("-")[1].startswith("2 deployments of 2 models")


def test_compile_writes_what_a_cold_start_reads(good: Path, tmp_path: Path) -> None:
    output = tmp_path / "config.json"
    assert compile_file(str(good), str(output), io.StringIO(), io.StringIO()) == OK
    compiled = load_compiled(output.read_bytes())
    assert [entry.model_name for entry in compiled.config.model_list] == ["a", "b"]
    assert compiled.source == "config.yaml"
    assert checked(output)[1].startswith("2 deployments of 2 models")


def test_compile_writes_to_standard_output_by_default(good: Path) -> None:
    out = io.StringIO()
    assert compile_file(str(good), "-", out, io.StringIO()) == OK
    assert json.loads(out.getvalue())["pllm_config"] == 1


def test_compile_never_overwrites_its_source(good: Path) -> None:
    err = io.StringIO()
    assert compile_file(str(good), str(good), io.StringIO(), err) == UNREADABLE
    assert "would overwrite the configuration itself" in err.getvalue()
    assert good.read_text() == GOOD


def test_compile_passes_on_the_refusal(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("")
    err = io.StringIO()
    assert compile_file(str(path), "-", io.StringIO(), err) == REFUSED
    assert "the file is empty" in err.getvalue()


def test_an_output_that_cannot_be_written_is_said(good: Path, tmp_path: Path) -> None:
    err = io.StringIO()
    assert compile_file(str(good), str(tmp_path / "no" / "where.json"), io.StringIO(), err) == UNREADABLE
    assert "where.json: error: No such file or directory" in err.getvalue()


def test_a_compiled_file_that_was_cut_is_refused(good: Path, tmp_path: Path) -> None:
    output = tmp_path / "config.json"
    compile_file(str(good), str(output), io.StringIO(), io.StringIO())
    output.write_text(output.read_text().replace('"rpm":500', '"rpm":501'))
    code, _, err = checked(output)
    assert code == REFUSED
    assert "its hash does not match" in err


def test_the_reference_is_written(tmp_path: Path) -> None:
    path = tmp_path / "reference.md"
    assert write_reference(str(path)) == OK
    assert path.read_text().startswith("# Configuration reference")


def test_the_commands_are_reached_through_the_parser(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["config", "check", str(good)])
    assert arguments.run(arguments) == OK
    arguments = parser.parse_args(["config", "compile", str(good)])
    assert arguments.run(arguments) == OK
    arguments = parser.parse_args(["config", "reference"])
    assert arguments.run(arguments) == OK
    assert "# Configuration reference" in capsys.readouterr().out
