"""What a file is, by its first bytes: labels and file names are guesses, and providers refuse a wrong one."""

from collections.abc import Mapping
from posixpath import splitext

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
)
_RIFF: Mapping[bytes, str] = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_BRANDS: Mapping[bytes, str] = {
    b"avif": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"M4A ": "audio/mp4",
    b"mp42": "audio/mp4",
    b"isom": "audio/mp4",
}
_OFFICE: Mapping[str, str] = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_TEXT: Mapping[str, str] = {".csv": "text/csv", ".html": "text/html", ".htm": "text/html", ".md": "text/markdown"}


def sniff(data: bytes) -> str | None:
    """The media type of an image, a PDF or a sound by its first bytes; None when they say nothing."""
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    return _mpeg(data)


def sniff_document(data: bytes, declared: str, path: str) -> str | None:
    """As `sniff`, and for what has no magic of its own: office files and text, whose kind `path` and the `declared` type
    tell. None for any other binary."""
    found = sniff(data)
    if found is not None:
        return found
    extension = splitext(path)[1].lower()
    declared = declared.partition(";")[0].strip().lower()
    if data.startswith(b"PK\x03\x04"):
        known = _OFFICE.get(extension)
        return known or (declared if declared in _OFFICE.values() else None)
    if not data or b"\0" in data:
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if extension in _TEXT:
        return _TEXT[extension]
    return declared if declared in _TEXT.values() else "text/plain"


def _mpeg(data: bytes) -> str | None:
    """A frame of MPEG audio: 11 set bits, then a version and a layer. Layer 0 is AAC's."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate = data[1] >> 3 & 3, data[1] >> 1 & 3, data[2] >> 4
    if layer == 0:
        return "audio/aac" if data[1] & 0xF6 == 0xF0 else None
    return "audio/mpeg" if version != 1 and rate != 0xF else None
