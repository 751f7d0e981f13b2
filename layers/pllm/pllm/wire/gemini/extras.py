"""Fields without a neutral form: Gemini's own, through the explicit channels, and the rest refused by name (case 23).

Channels: the field at the top of the request (`safetySettings`, `cachedContent`, `labels`, `generationConfig`, ...) in
camelCase or snake_case, or under `google` or `extra_body.google` as Google's own OpenAI endpoint has it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.gemini.losses import Losses
from pllm.wire.gemini.naming import camel
from pllm.wire.gemini.tools import camel_keys

_FIELDS = frozenset({"safetySettings", "cachedContent", "labels", "modelArmorConfig", "toolConfig", "generationConfig"})
_IN_GENERATION_CONFIG = frozenset({"thinkingConfig", "mediaResolution", "responseModalities", "speechConfig", "imageConfig"})
_OBJECTS = frozenset({"labels", "modelArmorConfig", "toolConfig", "generationConfig", "thinkingConfig"})

# They steer the provider's bookkeeping and not the answer: left out and reported, never refused.
_HINTS = frozenset({"prompt_cache_key", "prompt_cache_retention", "safety_identifier"})


def add_extras(body: JsonObject, extras: Mapping[str, Any], variant: str, losses: Losses) -> None:
    """Merges the fields Gemini knows into `body`, where the client's own word wins over what was derived."""
    for name, value, path in _flattened(extras):
        field = camel(name)
        if field == "labels" and variant == "gemini":
            losses.refuse(path, "labels exist on Vertex AI only")
        elif field in _FIELDS:
            _merge(body, field, value, path)
        elif field in _IN_GENERATION_CONFIG:
            _merge(body, "generationConfig", {field: value}, path)
        elif name == "modalities":
            _modalities(body, value, path, losses)
        elif name in _HINTS or (name == "store" and value is False):
            losses.drop(name)
        else:
            losses.refuse(path)


def _flattened(extras: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    for name, value in extras.items():
        if name == "extra_body" and isinstance(value, Mapping):
            for inner, deeper in value.items():
                yield from _google(inner, deeper, f"extra_body.{inner}")
        else:
            yield from _google(name, value, name)


def _google(name: str, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if name == "google" and isinstance(value, Mapping):
        for inner, deeper in value.items():
            yield inner, deeper, f"{path}.{inner}"
    else:
        yield name, value, path


def _merge(body: JsonObject, field: str, value: Any, path: str) -> None:
    if field in _OBJECTS and not isinstance(value, Mapping):
        raise invalid(f"{path} must be an object.", path)
    if isinstance(value, Mapping):
        given = dict(value) if field == "labels" else camel_keys(dict(value))
        given = {key: camel_keys(inner) if key == "thinkingConfig" else inner for key, inner in given.items()}
        before = body.get(field) or {}
        body[field] = {**before, **{key: _joined(before.get(key), inner) for key, inner in given.items()}}
    else:
        body[field] = value


def _joined(before: Any, value: Any) -> Any:
    return {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value


def _modalities(body: JsonObject, value: Any, path: str, losses: Losses) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid("modalities must be a list of strings.", "modalities")
    if "audio" in value:
        losses.refuse(path, "spoken answers have no common form")
    elif value != ["text"]:
        _merge(body, "generationConfig", {"responseModalities": [item.upper() for item in value]}, path)
