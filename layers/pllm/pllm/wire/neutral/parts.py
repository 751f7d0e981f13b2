"""What a conversation is made of: messages of parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class CacheMark:
    """The prompt up to and including the marked part may be cached. `ttl` is "5m" or "1h"."""

    ttl: Literal["5m", "1h"] = "5m"


@dataclass(frozen=True, slots=True)
class Url:
    """Media by address, as the client sent it. Not yet fetched, not yet checked."""

    url: str


@dataclass(frozen=True, slots=True)
class Inline:
    """Media as bytes. `media_type` is a MIME type such as image/png."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class FileId:
    """Media by the id of a file that was uploaded to a provider earlier. Only that provider can resolve it."""

    id: str


Source = Url | Inline | FileId


@dataclass(frozen=True, slots=True)
class Citation:
    """A source the model points at. `raw` keeps the provider's own object for a lossless way back to its dialect."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    origin: str = ""
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    cache: CacheMark | None = None
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    source: Source
    detail: str | None = None
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Spoken input. `format` is OpenAI's short name (wav, mp3, ...); the bytes say the rest."""

    source: Source
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file, most often a PDF. `name` is the client's file name, not safe for any provider as it stands."""

    source: Source
    name: str | None = None
    cache: CacheMark | None = None
    citations: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought. `signature` proves it to its `origin` ("anthropic", "gemini", "openai", ...), and only there:
    anyone else gets it demoted (case 10). `redacted` holds an encrypted block instead of text. `id` is the provider's item
    id where it has one (Responses)."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    origin: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is JSON text of an object, never empty: a call without arguments has "{}" (case 2).
    `signature` is Gemini's thought signature (case 12), `origin` who made it."""

    id: str
    name: str
    arguments: str = "{}"
    signature: str | None = None
    origin: str = ""
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    content: "tuple[Text | Image | Document, ...]" = ()
    is_error: bool = False
    name: str | None = None
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declined, in its own words."""

    text: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A block only its own dialect understands (a server tool's result, a compaction block). It survives inside that
    dialect and is refused, by name, anywhere else."""

    dialect: str
    type: str
    raw: Mapping[str, Any]


Part = Text | Image | Audio | Document | Thinking | ToolCall | ToolResult | Refusal | Opaque


@dataclass(frozen=True, slots=True)
class Message:
    """`path` says where it stood in the client's request ("messages[3]"), for error messages."""

    role: Role
    parts: tuple[Part, ...]
    path: str = ""
    name: str | None = None
