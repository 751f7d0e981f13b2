"""OpenAI's request for pictures, read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.fields import boolean, optional, positive, required, string

_READ = frozenset({"model", "prompt", "n", "size", "stream", "user"})
_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})", re.ASCII)

# What asks for nothing but what comes anyway.
_USUAL: Mapping[str, frozenset[str]] = {
    "background": frozenset({"auto", "opaque"}),
    "moderation": frozenset({"auto"}),
    "output_format": frozenset({"png"}),
    "quality": frozenset({"auto"}),
    "response_format": frozenset({"b64_json"}),
}


@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """`size`: (width, height) in pixels, None for the model's own. `options`: the fields beyond these that ask for something.
    `stream`: whether the client wants events."""

    prompt: str
    n: int = 1
    size: tuple[int, int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    user: bool = False


def read_request(body: JsonObject, defaults: Mapping[str, Any]) -> ImagesRequest:
    """Raises GatewayError(400) naming the field."""
    prompt = required(body, "prompt", string)
    if not prompt.strip():
        raise invalid("'prompt' is empty: say what to draw.", "prompt")
    if body.get("response_format") == "url":
        raise invalid(
            "'response_format' cannot be 'url' for this model: its pictures are kept nowhere. They come as 'b64_json'.",
            "response_format",
        )
    return ImagesRequest(
        prompt,
        optional(body, "n", positive) or defaults.get("n") or 1,
        _size(optional(body, "size", string)),
        {name: value for name, value in body.items() if name not in _READ and not _is_usual(name, value)},
        optional(body, "stream", boolean) or False,
        body.get("user") is not None,
    )


def _is_usual(name: str, value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in _USUAL.get(name, ()))


def _size(given: str | None) -> tuple[int, int] | None:
    if given is None or given == "auto":
        return None
    found = _SIZE.fullmatch(given)
    if found is None:
        raise invalid("'size' must be 'auto' or width x height in pixels, such as '1024x1024'.", "size")
    return int(found[1]), int(found[2])
