"""The README's promises: its code runs, its commands exist, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.processes import LOCAL_KEY, ROOT, pllm_local

from pllm.core.config.loader import load

README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "layers" / "runtime" / "README.md"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_its_python_runs_against_a_local_gateway(number: int) -> None:
    with pllm_local("--model", "demo") as running:
        code = blocks("python")[number].replace("http://127.0.0.1:8787", running.url)
        assert LOCAL_KEY in code
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "upstream" in done.stdout


def test_its_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert used
    assert used <= targets


def test_its_configuration_is_valid() -> None:
    for text in blocks("yaml"):
        assert load(text, "README.md").config.model_list


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
