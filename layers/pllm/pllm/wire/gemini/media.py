"""Images, audio and documents as Gemini's inlineData and fileData (translation case 21)."""

from base64 import b64encode
from posixpath import splitext
from urllib.parse import urlsplit

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import Audio, Document, FileId, Image, Inline, Url

FILES_API = "https://generativelanguage.googleapis.com/v1beta/files/"

_AUDIO_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "mpeg": "audio/mpeg",
    "mpga": "audio/mpeg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "aiff": "audio/aiff",
    "m4a": "audio/mp4",
    "mp4": "audio/mp4",
    "webm": "audio/webm",
    "pcm16": "audio/l16",
}
_TYPE_OF_SUFFIX = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mpeg": "video/mpeg",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".aiff": "audio/aiff",
}
_VIDEO_HOSTS = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"})


def takes_url(url: str) -> bool:
    """Whether Gemini resolves this address itself, on both APIs: Cloud Storage, uploaded files, YouTube.

    Anything else has to be fetched for it: the Gemini API takes no foreign addresses, and Vertex obeys robots.txt.
    """
    parts = urlsplit(url)
    return parts.scheme == "gs" or url.startswith(FILES_API) or (parts.scheme == "https" and parts.hostname in _VIDEO_HOSTS)


def media_part(part: Image | Audio | Document, path: str) -> JsonObject:
    """One part of `contents`. Raises GatewayError(400) for a file of another provider or an unknown audio format."""
    match part.source:
        case Inline(data, media_type):
            return {"inlineData": {"mimeType": _inline_type(part, media_type, path), "data": b64encode(data).decode("ascii")}}
        case Url(url):
            return _file(url, part, path)
        case FileId(file_id):
            return _file(_uri(file_id, path), part, path)


def _uri(file_id: str, path: str) -> str:
    if file_id.startswith(("gs://", FILES_API)):
        return file_id
    if file_id.startswith("files/"):
        return FILES_API + file_id.removeprefix("files/")
    hint = "Send its content, a gs:// address or a files/ id."
    raise invalid(f"{path} refers to the file {file_id!r}, which is not one of Gemini's. {hint}", path)


def _file(uri: str, part: Image | Audio | Document, path: str) -> JsonObject:
    media_type = _guess(uri, part, path)
    return {"fileData": {"mimeType": media_type, "fileUri": uri} if media_type else {"fileUri": uri}}


def _guess(uri: str, part: Image | Audio | Document, path: str) -> str | None:
    parts = urlsplit(uri)
    if parts.hostname in _VIDEO_HOSTS:
        return "video/mp4"
    if isinstance(part, Audio) and part.format:
        return _audio_type(part.format, path)
    known = _TYPE_OF_SUFFIX.get(splitext(parts.path)[1].lower())
    if known is None and isinstance(part, Document) and part.name:
        known = _TYPE_OF_SUFFIX.get(splitext(part.name)[1].lower())
    if known is None and isinstance(part, Image):
        return "image/jpeg"  # Vertex demands a type; it looks at the bytes all the same
    return known


def _inline_type(part: Image | Audio | Document, media_type: str, path: str) -> str:
    if isinstance(part, Audio) and not media_type.startswith("audio/"):
        return _audio_type(part.format or "", path)
    return media_type.split(";")[0].strip()


def _audio_type(audio_format: str, path: str) -> str:
    known = _AUDIO_TYPES.get(audio_format.lower())
    if known is None:
        raise invalid(f"{path} has the audio format {audio_format!r}; Gemini takes {', '.join(sorted(_AUDIO_TYPES))}.", path)
    return known
