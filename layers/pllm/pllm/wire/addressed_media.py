"""Media that a request names by address: which of it an upstream wants as bytes, and the request with the bytes in it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from posixpath import basename
from typing import Literal
from urllib.parse import unquote, urlsplit

from pllm.wire.lane import Quirks
from pllm.wire.neutral import Audio, Document, Image, Inline, Message, Part, Request, ToolResult, Url
from pllm.wire.translator import UpstreamWire

MediaKind = Literal["image", "document", "audio"]

_KINDS: Mapping[type, MediaKind] = {Image: "image", Document: "document", Audio: "audio"}
_AUDIO_FORMATS = {"audio/mpeg": "mp3", "audio/wav": "wav", "audio/mp4": "m4a"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be fetched. `path` says where the client named it."""

    url: str
    kind: MediaKind
    path: str


def wanted(request: Request, upstream: UpstreamWire, quirks: Quirks) -> list[Wanted]:
    """What has to be fetched before `upstream` can encode `request` for a provider with `quirks`, in order. An address that
    is named twice comes twice."""
    found: list[Wanted] = []
    kinds = upstream.needs_bytes | quirks.needs_bytes
    for message in request.messages:
        for part in _media(message.parts):
            kind = _KINDS[type(part)]
            if isinstance(part.source, Url) and kind in kinds and not upstream.takes_url(part.source.url):
                found.append(Wanted(part.source.url, kind, message.path or "messages"))
    return found


def with_bytes(request: Request, fetched: Mapping[str, Inline]) -> Request:
    """`request` with every address in `fetched` replaced by its bytes."""

    def replaced(part: Part) -> Part:
        if isinstance(part, ToolResult):
            return replace(part, content=tuple(map(replaced, part.content)))  # type: ignore[arg-type]  # kinds stay as they are
        if not isinstance(part, Image | Document | Audio) or not isinstance(part.source, Url):
            return part
        bytes_ = fetched.get(part.source.url)
        return part if bytes_ is None else _inline(part, bytes_, part.source.url)

    return replace(request, messages=tuple(_changed(message, replaced) for message in request.messages))


def _changed(message: Message, change: Callable[[Part], Part]) -> Message:
    parts = tuple(map(change, message.parts))
    return message if parts == message.parts else replace(message, parts=parts)


def _inline(part: Image | Document | Audio, source: Inline, url: str) -> Part:
    if isinstance(part, Audio):
        return replace(part, source=source, format=_AUDIO_FORMATS.get(source.media_type, part.format))
    if isinstance(part, Document) and part.name is None:
        return replace(part, source=source, name=basename(unquote(urlsplit(url).path)) or None)
    return replace(part, source=source)


def _media(parts: tuple[Part, ...]) -> Iterator[Image | Document | Audio]:
    for part in parts:
        if isinstance(part, ToolResult):
            yield from _media(part.content)
        elif isinstance(part, Image | Document | Audio):
            yield part
