"""The lock files are current, and the check that says so would notice when they are not."""

import shutil
from pathlib import Path

import pytest
from requirements import locks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """pyproject.toml and the lock files, to be broken."""
    for name in ("pyproject.toml", *(lock.path for lock in locks.LOCKS)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def version_of(root: Path, lock: str, name: str) -> str:
    [(version, _)] = locks.pins((root / lock).read_text("utf-8"))[name]
    return version


def test_every_lock_file_is_current() -> None:
    assert locks.faults() == []


def test_every_lock_file_in_the_tree_is_checked() -> None:
    found = {
        str(path.relative_to(ROOT)) for path in (*ROOT.glob("requirements/*.txt"), *ROOT.glob("layers/*/requirements.txt"))
    }
    assert found == {lock.path for lock in locks.LOCKS}


def test_a_dependency_that_is_not_locked_is_named(copy: Path) -> None:
    replace(copy / "pyproject.toml", '"joserfc>=1.8",\n', '"joserfc>=1.8",\n    "left-pad>=1",\n')
    assert "layers/pllm/requirements.txt: pyproject.toml wants left-pad>=1, which is not locked" in locks.faults(copy)


def test_a_pin_that_a_newer_minimum_refuses_is_named(copy: Path) -> None:
    replace(copy / "pyproject.toml", '"starlette>=1.0"', '"starlette>=99"')
    found = locks.faults(copy)
    version = version_of(copy, locks.DEVELOPMENT, "starlette")
    assert f"layers/admin/requirements.txt: pyproject.toml wants starlette>=99, locked is {version}" in found


def test_a_shipped_version_that_the_tests_do_not_run_on_is_named(copy: Path) -> None:
    lock = "layers/runtime/requirements.txt"
    version = version_of(copy, lock, "simplejson")
    replace(copy / lock, f"simplejson=={version}", "simplejson==1.0")
    [fault] = locks.faults(copy)
    assert fault == f"{lock}: ships simplejson 1.0, but the tests run on {version} (requirements/dev.txt)"


def test_a_missing_lock_file_is_named(copy: Path) -> None:
    (copy / "requirements/sam.txt").unlink()
    assert locks.faults(copy) == ["requirements/sam.txt: missing"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--index-url https://packages.example/simple", "is an option or an address"),
        ("six @ https://packages.example/six.whl --hash=sha256:" + "0" * 64, "is an option or an address"),
        ("-r other.txt", "is an option or an address"),
        ("six>=1.17 --hash=sha256:" + "0" * 64, "is not pinned as name==version"),
        ("six==1.* --hash=sha256:" + "0" * 64, "is not pinned as name==version"),
        ("six", "is not pinned as name==version"),
        ("six==1.17.0", "has no sha256 hash"),
        ("six==1.17.0 --hash=md5:" + "0" * 32, "has no sha256 hash"),
    ],
)
def test_an_entry_that_pip_could_answer_in_two_ways_is_refused(line: str, complaint: str) -> None:
    [fault] = locks.faults_of_entries("a.txt", line + "\n")
    assert fault.startswith("a.txt: ")
    assert complaint in fault


def test_an_entry_may_depend_on_the_interpreter() -> None:
    text = (
        'a==1 ; python_version < "3.12" \\\n    --hash=sha256:'
        + "0" * 64
        + "\na==2 ; python_version >= '3.12' --hash=sha256:"
        + "1" * 64
    )
    assert list(locks.faults_of_entries("a.txt", text)) == []
    assert {version for version, _ in locks.pins(text)["a"]} == {"1", "2"}
