"""The lock files: which lists of pyproject.toml each one answers for, how it is compiled, and whether it is current.

`check` reads and never writes, needs no network, and does not ask for newer versions: a lock file is current when it
satisfies every line of pyproject.toml, pins and hashes every package, names no address, and agrees with the development
lock on every version they share. `compile` is for maintainers: it needs uv and the package registry.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"
DEVELOPMENT = "requirements/dev.txt"


@dataclass(frozen=True)
class Lock:
    """One lock file and the lists of pyproject.toml it answers for (`""` is `project.dependencies`)."""

    path: str
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    # Its versions are those of the development lock: what is tested is what is shipped.
    shipped: bool = False
    # Installed without its dependencies, on purpose.
    alone: bool = False


LOCKS: tuple[Lock, ...] = (
    Lock(DEVELOPMENT, extras=("", "admin", "runtime", "local", "dev")),
    Lock("layers/pllm/requirements.txt", extras=("",), shipped=True),
    Lock("layers/admin/requirements.txt", extras=("admin",), shipped=True),
    Lock("layers/runtime/requirements.txt", extras=("runtime",), shipped=True),
    Lock("requirements/sam.txt", groups=("sam",)),
    Lock("requirements/model.txt", extras=("model",), groups=("model",), alone=True),
    Lock("requirements/browser.txt", groups=("browser",), alone=True),
    Lock("requirements/lock.txt", groups=("lock",)),
)


@dataclass(frozen=True)
class Pin:
    """One entry of a lock file."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def wanted(lock: Lock, root: Path = ROOT) -> list[Requirement]:
    """The lines of pyproject.toml that `lock` answers for."""
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    lines: list[str] = []
    for extra in lock.extras:
        lines += project["optional-dependencies"][extra] if extra else project["dependencies"]
    for group in lock.groups:
        lines += document["dependency-groups"][group]
    return [Requirement(line) for line in lines]


def entries(text: str) -> Iterator[str]:
    """The logical lines of a requirements file: continued lines joined, comments and blank lines left out."""
    for line in text.replace("\\\n", " ").splitlines():
        entry = line.split(" #", maxsplit=1)[0].strip()
        if entry and not entry.startswith("#"):
            yield entry


def parse(entry: str) -> Pin | None:
    """A pin, or None when the entry is anything but `name==version [; marker] --hash=...`."""
    line, *hashes = re.split(r"\s+--hash=", entry)
    try:
        requirement = Requirement(line.strip())
    except InvalidRequirement:
        return None
    specifiers = list(requirement.specifier)
    if requirement.url or len(specifiers) != 1 or specifiers[0].operator != "==" or "*" in specifiers[0].version:
        return None
    return Pin(
        name=canonicalize_name(requirement.name),
        version=specifiers[0].version,
        marker=str(requirement.marker or ""),
        hashes=tuple(digest.strip() for digest in hashes),
    )


def faults_of_entries(path: str, text: str) -> Iterator[str]:
    """What is wrong inside one lock file: addresses, unpinned or unhashed entries."""
    for entry in entries(text):
        shown = entry.split(" --hash", maxsplit=1)[0]
        if "://" in entry or entry.startswith("-"):
            yield f"{path}: {shown!r} is an option or an address; a lock file holds only name==version with hashes"
            continue
        pin = parse(entry)
        if pin is None:
            yield f"{path}: {shown!r} is not pinned as name==version"
        elif not pin.hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in pin.hashes):
            yield f"{path}: {shown!r} has no sha256 hash"


def pins(text: str) -> dict[str, set[tuple[str, str]]]:
    """Versions and markers by canonical name; a name has several where the version depends on the interpreter."""
    found: dict[str, set[tuple[str, str]]] = {}
    for pin in filter(None, map(parse, entries(text))):
        found.setdefault(pin.name, set()).add((pin.version, pin.marker))
    return found


def unmet(lock: Lock, root: Path) -> Iterator[str]:
    """The lines of pyproject.toml that the lock file does not satisfy."""
    locked = pins((root / lock.path).read_text(encoding="utf-8"))
    for requirement in wanted(lock, root):
        versions = sorted({version for version, _ in locked.get(canonicalize_name(requirement.name), set())})
        if not versions:
            yield f"{lock.path}: pyproject.toml wants {requirement}, which is not locked"
        for version in versions:
            if not requirement.specifier.contains(version, prereleases=True):
                yield f"{lock.path}: pyproject.toml wants {requirement}, locked is {version}"


def strangers(lock: Lock, root: Path) -> Iterator[str]:
    """Entries of a shipped lock file that the development lock, which the tests run on, does not have as they are."""
    tested = pins((root / DEVELOPMENT).read_text(encoding="utf-8"))
    for name, versions in pins((root / lock.path).read_text(encoding="utf-8")).items():
        if extra := {version for version, _ in versions} - {version for version, _ in tested.get(name, set())}:
            have = ", ".join(sorted(version for version, _ in tested.get(name, set()))) or "none"
            yield f"{lock.path}: ships {name} {', '.join(sorted(extra))}, but the tests run on {have} ({DEVELOPMENT})"


def faults(root: Path = ROOT) -> list[str]:
    """Everything that makes a lock file stale or unsafe, one sentence each; empty when all are current."""
    found: list[str] = []
    for lock in LOCKS:
        if not (root / lock.path).is_file():
            found.append(f"{lock.path}: missing")
            continue
        found += faults_of_entries(lock.path, (root / lock.path).read_text(encoding="utf-8"))
        found += unmet(lock, root)
        if lock.shipped:
            found += strangers(lock, root)
    return found


def compile_lock(lock: Lock, uv: str, upgrade: Sequence[str], root: Path = ROOT) -> None:
    """Write one lock file with uv; pinned versions stay unless named in `upgrade` or refused by pyproject.toml."""
    command = [uv, "pip", "compile", "-", "--output-file", lock.path, "--quiet"]
    command += ["--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", "--strip-extras"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    if lock.shipped:
        command += ["--constraint", DEVELOPMENT]
    if lock.alone:
        command.append("--no-deps")
    for name in upgrade:
        command += ["--upgrade"] if name == "all" else ["--upgrade-package", name]
    lines = "\n".join(str(requirement) for requirement in wanted(lock, root))
    subprocess.run(command, input=lines, text=True, cwd=root, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: 0 when every lock file is current, 1 with one line for each fault."""
    parser = argparse.ArgumentParser(prog="requirements/locks.py", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say what is stale; writes nothing")
    compiler = commands.add_parser("compile", help="write the lock files (maintainers)")
    compiler.add_argument("--uv", default="uv", help="the uv to use")
    compiler.add_argument(
        "--upgrade", action="append", default=[], metavar="NAME", help="take a newer release; 'all' for every package"
    )
    options = parser.parse_args(arguments)
    if options.command == "compile":
        for lock in LOCKS:
            compile_lock(lock, options.uv, options.upgrade)
    found = faults()
    print("\n".join(found) or f"{len(LOCKS)} lock files are current")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
