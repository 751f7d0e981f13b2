"""The files of the admin page, read once: nothing else can ever be served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

PAGE = "index.html"
CONTENT_TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
"""By the ending of the name. All of them are text: see the package."""

_VERSION_MARK = b"{version}"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """`etag`: quoted, of the content."""

    content: bytes
    content_type: str
    etag: str


def packaged() -> tuple[StaticFile, Mapping[str, StaticFile], str]:
    """(the page, all other files by their path, the version of them together)."""
    found = dict(sorted(_read(files("pllm.admin.ui") / "static")))
    version = _hash(b"".join(name.encode() + b"\0" + _hash(content).encode() for name, content in found.items()))
    page = found.pop(PAGE).replace(_VERSION_MARK, version.encode())
    return _file(PAGE, page), {name: _file(name, content) for name, content in found.items()}, version


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in CONTENT_TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _file(name: str, content: bytes) -> StaticFile:
    return StaticFile(content, CONTENT_TYPES[name.rpartition(".")[2]], f'"{_hash(content)}"')


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]
