"""The Makefile: its help is complete, and it says what is missing instead of failing somewhere inside."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {"help", "setup", "run", "test", "check", "build", "bench", "smoke", "sam-local", "lock"}


def make(*arguments: str, cwd: Path = ROOT, path: str | None = None) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MODEL"}}
    if path is not None:
        inherited["PATH"] = path
    command = [shutil.which("make") or "make", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=inherited, check=False)


@pytest.fixture
def bare(tmp_path: Path) -> tuple[Path, str]:
    """A checkout that was never set up, and a PATH with a shell's tools and no Python."""
    for name in ("Makefile", "pyproject.toml", "requirements/dev.txt", "requirements/model.txt", "requirements/sam.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "make", "awk", "env", "grep", "touch", "mkdir"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    return tmp_path, str(tools)


def set_up(checkout: Path) -> None:
    """Stands for a finished `make setup`: stamps newer than what they depend on."""
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.setup").touch()


def test_help_is_what_make_says_by_itself() -> None:
    assert make().stdout == make("help").stdout


def test_help_explains_every_entry_point() -> None:
    shown = make("help")
    assert shown.returncode == 0
    explained = dict(re.findall(r"(?m)^  make ([a-z-]+) +(\S.*)$", shown.stdout))
    assert set(explained) == TARGETS
    assert all(len(text) > 10 for text in explained.values())


def test_setup_without_python_says_what_it_looked_for(bare: tuple[Path, str]) -> None:
    checkout, path = bare
    tried = make("setup", cwd=checkout, path=path)
    assert tried.returncode != 0
    assert "No Python 3.11-3.14 with venv and pip found" in tried.stderr
    assert not (checkout / ".venv").exists()


def test_setup_refuses_an_interpreter_that_is_too_old(bare: tuple[Path, str]) -> None:
    checkout, path = bare
    old = checkout / "bin" / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    old.chmod(0o755)
    tried = make("setup", cwd=checkout, path=path)
    assert tried.returncode != 0
    assert "No Python 3.11-3.14" in tried.stderr


def test_a_second_setup_has_nothing_to_do(bare: tuple[Path, str]) -> None:
    checkout, path = bare
    set_up(checkout)
    tried = make("setup", cwd=checkout, path=path)
    assert (tried.returncode, tried.stdout) == (0, "Ready: .venv/bin/pllm\n")


def test_smoke_without_an_address_says_how_to_call_it(bare: tuple[Path, str]) -> None:
    checkout, path = bare
    set_up(checkout)
    tried = make("smoke", cwd=checkout, path=path)
    assert tried.returncode != 0
    assert "make smoke URL=" in tried.stderr


def test_sam_local_without_docker_names_what_works_instead(bare: tuple[Path, str]) -> None:
    checkout, path = bare
    set_up(checkout)
    (checkout / ".tools/sam").mkdir(parents=True)
    (checkout / ".tools/sam/.setup").touch()
    tried = make("sam-local", cwd=checkout, path=path)
    assert tried.returncode != 0
    assert "needs a running Docker daemon" in tried.stderr
    assert "make run" in tried.stderr


def test_run_goes_on_loudly_when_the_model_cannot_be_installed(bare: tuple[Path, str]) -> None:
    checkout, path = bare
    set_up(checkout)
    pllm = checkout / ".venv/bin/pllm"
    pllm.parent.mkdir()
    pllm.write_text('#!/bin/sh\necho "pllm $*"\n', "utf-8")
    pllm.chmod(0o755)
    tried = make("run", "PORT=1234", cwd=checkout, path=path)
    assert tried.returncode == 0, tried.stderr
    assert "The embedded model could not be installed" in tried.stderr
    assert "pllm local --port 1234" in tried.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (("MODEL=demo",), {}, "MODEL=demo"),
        ((), {"OPENAI_API_KEY": "sk-x"}, "Provider keys found in the environment"),
        (("CONFIG=mine.yaml",), {}, "CONFIG=mine.yaml names the models"),
    ],
)
def test_run_does_not_fetch_a_model_that_is_not_needed(
    bare: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    reason: str,
) -> None:
    checkout, path = bare
    set_up(checkout)
    pllm = checkout / ".venv/bin/pllm"
    pllm.parent.mkdir()
    pllm.write_text('#!/bin/sh\necho "pllm $* MODEL=$MODEL"\n', "utf-8")
    pllm.chmod(0o755)
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tried = make("run", *arguments, cwd=checkout, path=path)
    assert tried.returncode == 0, tried.stderr
    assert reason in tried.stdout
    assert "Installing the embedded model" not in tried.stdout
    if "MODEL=demo" in arguments:
        assert "MODEL=demo" in tried.stdout.splitlines()[-1]


def test_every_script_the_makefile_calls_exists() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    scripts = set(re.findall(r"\$\(PY\) ([a-z_/]+\.py)", text))
    assert "infra/package.py" in scripts
    assert [script for script in sorted(scripts) if not (ROOT / script).is_file()] == []
