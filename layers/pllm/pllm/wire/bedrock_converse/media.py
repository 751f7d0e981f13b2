"""Images, documents and audio as Converse takes them: bytes or an S3 object, in a named format (case 21)."""

import base64
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import Audio, Document, FileId, Image, Inline, Source, Url

_IMAGE_FORMATS: Mapping[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENT_FORMATS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/x-markdown": "md",
}
_AUDIO_FORMATS: Mapping[str, str] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/aac": "aac",
    "audio/x-aac": "x-aac",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/mp4": "mp4",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/x-matroska": "mka",
    "audio/webm": "mka",
}
_EXTENSIONS: Mapping[str, str] = {"jpg": "jpeg", "htm": "html", "text": "txt", "log": "txt", "json": "txt", "markdown": "md"}

_IMAGE_NAMES = frozenset(_IMAGE_FORMATS.values())
_DOCUMENT_NAMES = frozenset(_DOCUMENT_FORMATS.values())
_AUDIO_NAMES = frozenset(_AUDIO_FORMATS.values())

_S3_URI = re.compile(r"s3://[a-z0-9][.\-a-z0-9]{1,61}[a-z0-9](/.*)?")


def image_block(image: Image, path: str) -> JsonObject:
    """Raises GatewayError(400) naming `path` for a source or a format that Converse does not take."""
    source = _source(image.source, "image", path)
    format_ = _sniffed_image(image.source) or _format(image.source, None, _IMAGE_FORMATS, _IMAGE_NAMES)
    return {"image": {"format": _known(format_, "image", _IMAGE_NAMES, path), "source": source}}


def document_block(document: Document, name: str, path: str) -> JsonObject:
    """`name`: what the conversation calls it. Never the client's file name, which Bedrock restricts to a few characters and
    which a model may read as an instruction."""
    source = document.source
    format_ = _sniffed_document(source) or _format(source, document.name, _DOCUMENT_FORMATS, _DOCUMENT_NAMES)
    if format_ is None and isinstance(source, Inline) and _is_text(source):
        format_ = "txt"
    block: JsonObject = {
        "format": _known(format_, "document", _DOCUMENT_NAMES, path),
        "name": name,
        "source": _source(source, "document", path),
    }
    if document.citations:
        block["citations"] = {"enabled": True}
    return {"document": block}


def audio_block(audio: Audio, path: str) -> JsonObject:
    source = _source(audio.source, "audio", path)
    named = audio.format if audio.format in _AUDIO_NAMES else None
    format_ = named or _format(audio.source, None, _AUDIO_FORMATS, _AUDIO_NAMES)
    return {"audio": {"format": _known(format_, "audio", _AUDIO_NAMES, path), "source": source}}


def _source(source: Source, what: str, path: str) -> JsonObject:
    match source:
        case Inline(data, _) if data:
            return {"bytes": base64.b64encode(data).decode("ascii")}
        case Inline():
            raise invalid(f"'{path}' is an empty {what}.", path)
        case Url(url) if url.startswith("s3://"):
            if not _S3_URI.fullmatch(url):
                raise invalid(f"'{path}' is not an address of the form s3://bucket/key.", path)
            return {"s3Location": {"uri": url}}
        case Url():
            raise invalid(f"'{path}' must be sent as data or as an s3:// address: this model fetches no URLs.", path)
        case FileId():
            raise invalid(f"'{path}' names an uploaded file, which only the provider it was sent to can read.", path)


def _known(format_: str | None, what: str, names: frozenset[str], path: str) -> str:
    if format_ is None:
        raise invalid(f"'{path}' is not in one of the {what} formats this model reads: {', '.join(sorted(names))}.", path)
    return format_


def _format(source: Source, name: str | None, by_type: Mapping[str, str], names: frozenset[str]) -> str | None:
    """By media type, else by the extension of the file's name or address."""
    if isinstance(source, Inline) and (known := by_type.get(source.media_type.partition(";")[0].strip().lower())):
        return known
    address = urlsplit(source.url).path if isinstance(source, Url) else ""
    for candidate in (name or "", address):
        extension = PurePosixPath(candidate).suffix.lstrip(".").lower()
        extension = _EXTENSIONS.get(extension, extension)
        if extension in names:
            return extension
    return None


def _sniffed_image(source: Source) -> str | None:
    """What the first bytes say: a wrong label is refused by the models, and clients guess from file names."""
    if not isinstance(source, Inline):
        return None
    head = source.data[:12]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def _sniffed_document(source: Source) -> str | None:
    return "pdf" if isinstance(source, Inline) and source.data.startswith(b"%PDF-") else None


def _is_text(source: Inline) -> bool:
    """JSON, XML, source code: any text is a text document."""
    kind = source.media_type.partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind.endswith(("json", "xml", "yaml", "javascript"))):
        return False
    try:
        source.data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
