"""Content parts of Responses input messages, read into neutral parts."""

import binascii
from base64 import b64decode
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.fields import mapping, optional, required, sequence, string
from pllm.wire.neutral import Audio, CacheMark, Citation, Document, FileId, Image, Inline, Part, Refusal, Source, Text, Url

_PDF = b"%PDF-"


def user_parts(content: Json, path: str) -> tuple[Part, ...]:
    return _parts(content, path, _USER)


def assistant_parts(content: Json, path: str) -> tuple[Part, ...]:
    return _parts(content, path, _ASSISTANT)


def system_texts(content: Json, path: str) -> tuple[Text, ...]:
    """System and developer content is text only."""
    return tuple(part for part in _parts(content, path, _SYSTEM) if isinstance(part, Text))


def result_parts(output: Json, path: str) -> tuple[Text | Image | Document, ...]:
    """A tool's output: text, or a list of text, image and file parts."""
    parts = _parts(output, path, _RESULT)
    return tuple(part for part in parts if isinstance(part, Text | Image | Document))


def _parts(content: Json, path: str, readers: "dict[str, Callable[[JsonObject, str], Part]]") -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise invalid(f"'{path}' must be a string or a list of content parts.", path)
    found: list[Part] = []
    for position, value in enumerate(content):
        where = f"{path}[{position}]"
        part = mapping(value, where)
        name = required(part, "type", string, where)
        reader = readers.get(name)
        if reader is None:
            allowed = ", ".join(readers)
            raise invalid(f"'{where}.type' is {name!r}; here it must be one of: {allowed}.", f"{where}.type")
        found.append(reader(part, where))
    return tuple(found)


def _text(part: JsonObject, path: str) -> Text:
    return Text(required(part, "text", string, path), _cache(part, path))


def _output_text(part: JsonObject, path: str) -> Text:
    annotations = optional(part, "annotations", sequence, path) or []
    return Text(
        required(part, "text", string, path),
        citations=tuple(_citation(mapping(value, f"{path}.annotations[{n}]")) for n, value in enumerate(annotations)),
    )


def _citation(annotation: JsonObject) -> Citation:
    return Citation(
        url=annotation.get("url"),
        title=annotation.get("title") or annotation.get("filename"),
        start=annotation.get("start_index"),
        end=annotation.get("end_index"),
        origin="openai",
        raw=annotation,
    )


def _refusal(part: JsonObject, path: str) -> Refusal:
    return Refusal(required(part, "refusal", string, path))


def _image(part: JsonObject, path: str) -> Image:
    detail, cache = optional(part, "detail", string, path), _cache(part, path)
    if (file_id := optional(part, "file_id", string, path)) is not None:
        return Image(FileId(file_id), detail, cache)
    return Image(_source(required(part, "image_url", string, path), f"{path}.image_url"), detail, cache)


def _file(part: JsonObject, path: str) -> Document:
    detail = optional(part, "detail", string, path)
    if detail not in (None, "auto"):
        raise invalid(f"'{path}.detail' can only be 'auto' for files.", f"{path}.detail")
    name, cache = optional(part, "filename", string, path), _cache(part, path)
    if (file_id := optional(part, "file_id", string, path)) is not None:
        return Document(FileId(file_id), name, cache)
    if (url := optional(part, "file_url", string, path)) is not None:
        return Document(_source(url, f"{path}.file_url"), name, cache)
    return Document(_file_data(required(part, "file_data", string, path), f"{path}.file_data"), name, cache)


def _file_data(text: str, path: str) -> Source:
    if text.startswith("data:"):
        return _source(text, path)
    data = _base64(text, path)
    if not data.startswith(_PDF):
        raise invalid(f"'{path}' does not say what kind of file it is; use a data URL: data:<media type>;base64,<data>.", path)
    return Inline(data, "application/pdf")


def _audio(part: JsonObject, path: str) -> Audio:
    audio = required(part, "input_audio", mapping, path)
    form = required(audio, "format", string, f"{path}.input_audio")
    data = _base64(required(audio, "data", string, f"{path}.input_audio"), f"{path}.input_audio.data")
    return Audio(Inline(data, f"audio/{form}"), form)


def _source(url: str, path: str) -> Source:
    """An address, or the bytes of a data URL (which may carry parameters: translation case 21)."""
    if not url.startswith("data:"):
        return Url(url)
    head, comma, payload = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not comma or "/" not in media_type:
        raise invalid(f"'{path}' is not a complete data URL: data:<media type>;base64,<data>.", path)
    if any(parameter.strip().lower() == "base64" for parameter in parameters):
        return Inline(_base64(payload, path), media_type.lower())
    return Inline(unquote_to_bytes(payload), media_type.lower())


def _base64(text: str, path: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _not_base64(path) from None


def _not_base64(path: str) -> GatewayError:
    return invalid(f"'{path}' is not valid base64.", path)


def _cache(part: JsonObject, path: str) -> CacheMark | None:
    """An explicit breakpoint. A lifetime that was asked for (30 minutes or 12 hours) needs the longer neutral one."""
    mark = optional(part, "prompt_cache_breakpoint", mapping, path)
    if mark is None:
        return None
    return CacheMark("5m" if mark.get("ttl") is None else "1h")


_INPUT: dict[str, Callable[[JsonObject, str], Part]] = {"input_text": _text, "input_image": _image, "input_file": _file}
_USER = {**_INPUT, "input_audio": _audio, "text": _text}
_RESULT = {**_INPUT, "text": _text}
_SYSTEM: dict[str, Callable[[JsonObject, str], Part]] = {"input_text": _text, "text": _text}
_ASSISTANT: dict[str, Callable[[JsonObject, str], Part]] = {
    "output_text": _output_text,
    "refusal": _refusal,
    "input_text": _text,
    "text": _text,
}
