"""Chat's content parts as neutral ones."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.fields import kind, mapping, optional, required, string
from pllm.wire.neutral import Audio, CacheMark, Document, FileId, Image, Inline, Opaque, Part, Refusal, Source, Text, Url

_AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "m4a": "audio/mp4"}


def read_content(content: Json, path: str) -> tuple[Part, ...]:
    """`content` as a string or a list of parts; null is no content."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    if isinstance(content, list):
        return tuple(_part(mapping(part, f"{path}[{i}]"), f"{path}[{i}]") for i, part in enumerate(content))
    raise invalid(f"'{path}' must be a string or a list of parts, not {kind(content)}.", path)


def read_texts(content: Json, path: str) -> tuple[Text, ...]:
    """Content that can only be text. Raises a 400 naming the part that is not."""
    parts = read_content(content, path)
    for number, part in enumerate(parts):
        if not isinstance(part, Text):
            raise invalid(f"'{path}[{number}]' must be a text part.", f"{path}[{number}].type")
    return tuple(part for part in parts if isinstance(part, Text))


def cache_mark(holder: JsonObject, path: str) -> CacheMark | None:
    """Anthropic's `cache_control`, taken here as OpenRouter takes it, or OpenAI's `prompt_cache_breakpoint` (case 22).

    A breakpoint that names a lifetime means at least 30 minutes, so it becomes the one-hour kind.
    """
    control = optional(holder, "cache_control", mapping, path)
    if control is not None:
        ttl = control.get("ttl", "5m")
        if control.get("type") != "ephemeral" or ttl not in ("5m", "1h"):
            raise invalid(
                f"'{path}.cache_control' must be of type 'ephemeral', with a ttl of '5m' or '1h'.", f"{path}.cache_control"
            )
        return CacheMark(ttl)
    point = optional(holder, "prompt_cache_breakpoint", mapping, path)
    return None if point is None else CacheMark("1h" if point.get("ttl") else "5m")


def _part(part: JsonObject, path: str) -> Part:
    match required(part, "type", string, path):
        case "text":
            return Text(required(part, "text", string, path), cache_mark(part, path))
        case "refusal":
            return Refusal(required(part, "refusal", string, path))
        case "image_url":
            return _image(part, path)
        case "input_audio":
            return _audio(required(part, "input_audio", mapping, path), f"{path}.input_audio")
        case "file":
            return _file(part, required(part, "file", mapping, path), f"{path}.file")
        case other:
            return Opaque("chat", other, part)


def _image(part: JsonObject, path: str) -> Image:
    told = part.get("image_url")
    image: Mapping[str, Any] = {"url": told} if isinstance(told, str) else mapping(told, f"{path}.image_url")
    where = f"{path}.image_url.url"
    return Image(_source(string(image.get("url"), where), where), image.get("detail"), cache_mark(part, path))


def _audio(audio: JsonObject, path: str) -> Audio:
    spelt = required(audio, "format", string, path)
    data = _decoded(required(audio, "data", string, path), f"{path}.data")
    return Audio(Inline(data, _AUDIO_TYPES.get(spelt, f"audio/{spelt}")), spelt)


def _file(part: JsonObject, file: JsonObject, path: str) -> Document:
    name = optional(file, "filename", string, path)
    if (data := optional(file, "file_data", string, path)) is not None:
        where = f"{path}.file_data"
        addressed = data.startswith(("data:", "https://", "http://"))
        source = _source(data, where) if addressed else Inline(_decoded(data, where), "application/pdf")
    elif (file_id := optional(file, "file_id", string, path)) is not None:
        source = FileId(file_id)
    else:
        raise invalid(f"'{path}' must have 'file_data' or 'file_id'.", path)
    return Document(source, name, cache_mark(part, path[: -len(".file")]))


def _source(url: str, path: str) -> Source:
    """An address as it is, a data URL as its bytes; parameters such as a charset are allowed (case 21)."""
    if url.startswith(("https://", "http://", "gs://", "s3://")):
        return Url(url)
    head, comma, payload = url.partition(",")
    if not head.startswith("data:") or not comma:
        raise invalid(f"'{path}' must be an https address or a data URL.", path)
    media_type, *parameters = head[len("data:") :].split(";")
    encoded = any(parameter.strip().lower() == "base64" for parameter in parameters)
    data = _decoded(payload, path) if encoded else unquote_to_bytes(payload)
    return Inline(data, media_type.strip().lower() or "text/plain")


def _decoded(text: str, path: str) -> bytes:
    packed = "".join(text.split())
    try:
        return b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"'{path}' is not valid base64.", path) from None
