"""Versions of the configuration, made and chosen by administrators. For the control plane: it loads YAML.

A version is written, pointed to and entered into the audit log in one transaction whose condition is the version that the
administrator saw: of two who publish at once one is told so. Numbers only grow; going back moves the pointer and keeps what
was there.
"""

import asyncio
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import Any

from pllm.core.clock import Clock
from pllm.core.config import ConfigError, ConfigProblem, compile_config, etag_of
from pllm.core.config.loader import LITERAL_CREDENTIAL, LoadedConfig, load
from pllm.core.config.plain import to_plain
from pllm.core.config.problem import Path
from pllm.core.jsontext import JsonObject
from pllm.state.audit import Change
from pllm.state.changes import Changes
from pllm.state.config_version import (
    PARTITION,
    POINTER,
    Pointer,
    body_key,
    note_key,
    read_pointer,
    read_text,
    source_name,
)
from pllm.state.store import (
    Absent,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Expression,
    Item,
    TransactionalStore,
    Update,
    Write,
)

MAX_BODY_BYTES = 380_000
"""Of text and compiled form together, compressed: DynamoDB's items end at 400 KB."""

_ATTEMPTS = 3
HIDDEN = "***"
"""What is shown in place of a credential."""

_CREDENTIAL_HEADER = re.compile("auth|key|token|secret|cookie|passw", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VersionNote:
    """Who made a version, when (epoch milliseconds) and why; `size` is in characters."""

    version: int
    etag: str
    by: str
    at_ms: int
    note: str
    size: int


@dataclass(frozen=True, slots=True)
class Published:
    version: int
    etag: str
    warnings: tuple[ConfigProblem, ...]


class VersionConflictError(Exception):
    """Another version holds than the administrator believed: nothing was changed."""

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"version {current} is in use, not {expected}: somebody else has changed it; look at it and try again")
        self.expected = expected
        self.current = current


class UnknownVersionError(Exception):
    """There is no such version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"there is no version {version}")


class ConfigHistory:
    """Every call may raise StateError."""

    def __init__(self, store: TransactionalStore, clock: Clock, changes: Changes) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes

    async def pointer(self) -> Pointer:
        return await read_pointer(self._store)

    async def versions(self) -> list[VersionNote]:
        """All of them, the newest first."""
        items = await self._store.query(PARTITION, since="M#", until="M#~", consistent=True)
        return [_note(item) for item in reversed(items)]

    async def text(self, version: int) -> str:
        """As it was written. Raises UnknownVersionError."""
        text = await read_text(self._store, version)
        if text is None:
            raise UnknownVersionError(version)
        return text

    async def publish(self, text: str, *, expected: int, by: str, note: str = "") -> Published:
        """Checks `text`, makes it the next version and points to it. Raises ConfigError with all that is wrong with it, and
        VersionConflictError when `expected` is not the version that holds; what was there goes on to hold then."""
        loaded = await asyncio.to_thread(check, text)
        etag = etag_of(loaded.config)
        about: dict[str, Expression] = {"etag": etag, "by": by, "at": self._now_ms(), "note": note, "size": len(text)}

        def step(before: Pointer) -> tuple[Pointer, list[Write]]:
            after = Pointer(before.last + 1, etag, before.last + 1, before.moves + 1)
            body = _body(text, loaded, after.version)
            return after, [
                Update(*note_key(after.version), set=about, condition=Absent("PK")),
                Update(*body_key(after.version), set=body, condition=Absent("PK")),
            ]

        after = await self._move(expected, Change(by, "config.publish", "config", None, {"note": note}), step)
        return Published(after.version, etag, loaded.warnings)

    async def roll_back(self, version: int, *, expected: int, by: str) -> Pointer:
        """Points to an earlier version, or with 0 to the configuration the functions were deployed with. What has become
        invalid since, by another release's rules, raises ConfigError. Raises UnknownVersionError and VersionConflictError."""
        etag = ""
        if version:
            loaded = await asyncio.to_thread(check, await self.text(version), source_name(version))
            etag = etag_of(loaded.config)
        change = Change(by, "config.roll_back", "config", None, {})
        return await self._move(expected, change, lambda before: (Pointer(version, etag, before.last, before.moves + 1), []))

    async def _move(self, expected: int, change: Change, step: Callable[[Pointer], tuple[Pointer, list[Write]]]) -> Pointer:
        """Where the pointer is after the step. Tried again when only the highest number has changed meanwhile."""
        for _ in range(_ATTEMPTS):
            before = await self.pointer()
            if before.version != expected:
                raise VersionConflictError(expected, before.version)
            after, writes = step(before)
            told = replace(change, before=_shown(before), after=_shown(after) | (change.after or {}))
            if await self._changes.write([_pointed(before, after), *writes], told) is None:
                return after
        raise VersionConflictError(expected, (await self.pointer()).version)

    def _now_ms(self) -> int:
        return int(self._clock.wall_s() * 1000)


def check(text: str, name: str = "config.yaml") -> LoadedConfig:
    """A configuration that may be published. Raises ConfigError: also for credentials in the text, because everybody who
    may look at versions would read them."""
    loaded = load(text, name)
    literal = [problem for problem in loaded.warnings if problem.message == LITERAL_CREDENTIAL]
    plain = to_plain(loaded.config)
    mine = [*_literal_headers(plain, name), *_hidden(plain, (), name)]
    problems = [*(replace(problem, severity="error") for problem in literal), *mine]
    if problems:
        raise ConfigError([*problems, *(problem for problem in loaded.warnings if problem not in literal)])
    return loaded


def difference(before: str, after: str, names: tuple[str, str]) -> str:
    """Unified diff of two texts, "" when they are the same."""
    lines = unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _hidden(value: Any, path: Path, name: str) -> Iterator[ConfigProblem]:
    """What was copied from where credentials are not shown would take them away."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from _hidden(inner, (*path, step), name)
    if value == HIDDEN:
        message = f"{HIDDEN!r} stands for a credential that is not shown"
        yield ConfigProblem(name, 0, 0, path, message, "write ${NAME} and set that variable")


def _literal_headers(plain: Any, name: str) -> Iterator[ConfigProblem]:
    for path, value in _headers(plain, ()):
        if isinstance(value, str) and "${" not in value and _CREDENTIAL_HEADER.search(str(path[-1])):
            yield ConfigProblem(
                name, 0, 0, path, f"{LITERAL_CREDENTIAL}: header '{path[-1]}'", "write ${NAME} and set that variable"
            )


def _headers(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Every entry of a mapping called `headers`, at any depth."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        if path[-1:] == ("headers",):
            yield (*path, step), inner
        yield from _headers(inner, (*path, step))


def _body(text: str, loaded: LoadedConfig, version: int) -> dict[str, bytes]:
    compiled = compile_config(loaded.config, loaded.warnings, source_name(version))
    body = {"text": zlib.compress(text.encode(), 9), "body": zlib.compress(compiled, 9)}
    size = sum(map(len, body.values()))
    if size > MAX_BODY_BYTES:
        raise ConfigError(
            [
                ConfigProblem(
                    "config.yaml",
                    0,
                    0,
                    (),
                    f"the configuration takes {size} bytes compressed, more than the {MAX_BODY_BYTES} that fit the table",
                    "put it into S3 and deploy with PLLM_CONFIG=s3://bucket/key",
                )
            ]
        )
    return body


def _pointed(before: Pointer, after: Pointer) -> Update:
    """The pointer moved, if it stands where it was seen."""
    moves = AnyOf((Absent("moves"), Compare("moves", "=", before.moves)))
    unmoved: Condition = AllOf((Compare("version", "=", before.version), Compare("last", "=", before.last), moves))
    if not before.version and not before.last:  # nobody has ever moved it, or only from 0 to 0
        unmoved = AnyOf((Absent("version"), unmoved))
    stands: dict[str, Expression] = {"version": after.version, "etag": after.etag, "last": after.last, "moves": after.moves}
    return Update(*POINTER, set=stands, condition=unmoved)


def _shown(pointer: Pointer) -> JsonObject:
    """For the audit log."""
    return {"version": pointer.version, "etag": pointer.etag}


def _note(item: Item) -> VersionNote:
    size, at_ms = item.get("size"), item.get("at")
    assert isinstance(size, int)
    assert isinstance(at_ms, int)
    version = int(str(item["SK"]).removeprefix("M#"))
    return VersionNote(version, str(item.get("etag")), str(item.get("by")), at_ms, str(item.get("note")), size)
