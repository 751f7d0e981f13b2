"""Which configuration holds: a pointer in the table, and the versions it may point to.

    C / V                pointer: version (0 is the one the functions were deployed with), etag, last (highest number given);
                         moves (how often it was moved, never fewer than `last`), news (how often an administrator has
                         changed what environments remember: a breaker, a key, a team)
    C / M#<9 digits>     a version's note: etag, by, at (epoch ms), note, size (characters)
    C / B#<9 digits>     its body: the text as it was written and its compiled form, zlib each

Here is what the data plane reads of it. Versions are made and chosen in state/config_history.py, in the control plane.
"""

import zlib
from dataclasses import dataclass
from typing import Protocol

from pllm.core.config import CompiledConfig, ConfigError, ConfigProblem, load_compiled
from pllm.state.store import Item, StateError, Update

PARTITION = "C"
POINTER = (PARTITION, "V")


class Reads(Protocol):
    """All of a store that is needed to follow the pointer."""

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None: ...


@dataclass(frozen=True, slots=True)
class Pointer:
    """The version that holds, 0 for the one the functions were deployed with, and the highest number given so far.
    `moves` orders what held one after the other, since going back makes the version fall: gates are told of limits by it.
    `news` counts what administrators did to breakers, keys and teams."""

    version: int = 0
    etag: str = ""
    last: int = 0
    moves: int = 0
    news: int = 0


def note_key(version: int) -> tuple[str, str]:
    return PARTITION, f"M#{version:09d}"


def body_key(version: int) -> tuple[str, str]:
    return PARTITION, f"B#{version:09d}"


async def read_pointer(reads: Reads) -> Pointer:
    """One consistent read: a fleet that asks every few seconds must not be told of the day before. Raises StateError."""
    item = await reads.get(*POINTER, consistent=True)
    if item is None:
        return Pointer()
    version, last, news = (item.get(name, 0) for name in ("version", "last", "news"))
    moves = item.get("moves", last)  # a table that was made before they were counted has gates that know of versions
    if not (isinstance(version, int) and isinstance(last, int) and isinstance(moves, int) and isinstance(news, int)):
        raise StateError("damaged", sent=False)
    return Pointer(version, str(item.get("etag", "")), last, moves, news)


def tell_news() -> Update:
    """The write that has every environment, at its next look, read anew what it remembers of breakers, keys and teams."""
    return Update(*POINTER, add={"news": 1})


async def read_text(reads: Reads, version: int) -> str | None:
    """A version as it was written, None where there is none. Raises StateError."""
    item = await read_body(reads, version)
    return None if item is None else _inflated(item, "text", version).decode()


async def read_body(reads: Reads, version: int) -> Item | None:
    """The item of a version. Raises StateError."""
    return await reads.get(*body_key(version), consistent=True)


def decode_body(item: Item | None, version: int) -> CompiledConfig:
    """The configuration in a body, ready to be resolved. Raises ConfigError with everything that is wrong with it.

    What another release has compiled may not be readable here; then its text is loaded again, which takes longer.
    """
    name = source_name(version)
    if item is None:
        raise _refused(version, "the table has no such version")
    try:
        return load_compiled(_inflated(item, "body", version), name)
    except (ConfigError, LookupError, TypeError, ValueError):
        from pllm.core.config import compile_config  # YAML and pydantic are not for the usual case
        from pllm.core.config.loader import load

        loaded = load(_inflated(item, "text", version).decode(), name)
        return load_compiled(compile_config(loaded.config, loaded.warnings, name), name)


def source_name(version: int) -> str:
    """How a version is called in problems and log lines."""
    return f"configuration version {version}"


def _inflated(item: Item, name: str, version: int) -> bytes:
    packed = item.get(name)
    try:
        return zlib.decompress(packed) if isinstance(packed, bytes) else b""
    except zlib.error:
        raise _refused(version, f"its {name} in the table is damaged") from None


def _refused(version: int, why: str) -> ConfigError:
    return ConfigError([ConfigProblem(source_name(version), 0, 0, (), why)])
