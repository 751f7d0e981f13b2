"""The promises of the README and the pages under docs: code runs, commands exist, links and names lead somewhere."""

import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from tests.support.processes import LOCAL_KEY, ROOT, pllm_local

from pllm.cli import main
from pllm.core.config.loader import load

README = (ROOT / "README.md").read_text("utf-8")
DOCS = sorted((ROOT / "docs").rglob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").iterdir())
OTHERS = (ROOT / "layers" / "runtime" / "README.md", ROOT / "bench" / "RESULTS.md")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS, *OTHERS]
# Where a path in a page may begin: at the top, or in the package, as the design names its rooms.
BEGINNINGS = (ROOT, ROOT / "layers" / "pllm" / "pllm", ROOT / "layers" / "runtime" / "lambda_stream")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


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


@every_page
def test_its_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    used = set(re.findall(r"(?:^|`|\$ |&& )(?:[A-Z]+=\S+ )*make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE))
    assert used <= targets
    assert used or page.name != "README.md" or page.parent != ROOT


@every_page
def test_its_commands_and_their_options_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in re.findall(r"(?:^ *|`|\$ |/)pllm ([a-z][^`\n]*)", page.read_text("utf-8"), re.MULTILINE):
        for words in spelled_out(line):
            with pytest.raises(SystemExit) as left:
                main([*(word for word in words if not word.startswith("-")), "--help"])
            assert left.value.code == 0, f"{page.name}: pllm {line}"
            said = capsys.readouterr().out
            assert [word for word in words if word.startswith("-") and word not in said] == []


def spelled_out(line: str) -> list[list[str]]:
    """`config check | compile FILE` as the commands it stands for, each with the options that follow."""
    command, *rest = shlex.split(line, comments=True)
    actions = [word for word in takewhile(lambda word: re.fullmatch(r"[a-z]+|\|", word), rest) if word != "|"]
    options = [word for word in rest if re.fullmatch(r"--?[a-z][a-z-]*", word)]
    return [[command, action, *options] for action in actions] or [[command, *options]]


@every_page
def test_its_configuration_is_valid(page: Path) -> None:
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        if "model_list" in text:
            assert load(text, page.name).config.model_list


@every_page
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target, place in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text("utf-8")):
        if "://" not in target:
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not place or place in headings(file), f"{page.name}: {target}#{place}"


def headings(page: Path) -> set[str]:
    """The anchors of its headings, as they are made where the page is shown."""
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_every_file_that_it_names_exists(page: Path) -> None:
    for name in re.findall(r"(?<![\w/.-])((?:[\w-]+/)+[\w-]+\.(?:py|md|json|yaml|js|sh))\b", page.read_text("utf-8")):
        assert any((start / name).exists() for start in (page.parent, *BEGINNINGS)), f"{page.name}: {name}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop().resolve()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            ahead += [page.parent / link for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))]
        elif page.is_dir():
            ahead += [inside for inside in page.glob("*.md") if inside.resolve() not in reached]
    assert [page.name for page in DOCS if page.resolve() not in reached] == []


def test_each_decision_has_a_number_of_its_own_and_the_same_parts() -> None:
    for number, page in enumerate(DECISIONS, start=1):
        text = page.read_text("utf-8")
        assert page.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        parts = re.findall(r"^\*\*(Context|Decision|Consequences|Rejected)\.\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences", "Rejected"], page.name
