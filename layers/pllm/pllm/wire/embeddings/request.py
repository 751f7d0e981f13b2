"""OpenAI's embeddings request, read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.fields import kind, optional, positive

EncodingFormat = Literal["float", "base64"]

MOST_INPUTS = 2048
"""OpenAI's own limit."""

_READ = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """`texts` are never empty. `options`: the fields beyond OpenAI's (`input_type`, ...) that are not null. `user` says whether
    an end user is named."""

    texts: tuple[str, ...]
    encoding_format: EncodingFormat = "float"
    dimensions: int | None = None
    options: Mapping[str, Any] | None = None
    user: bool = False


def holds_tokens(body: JsonObject) -> bool:
    """Whether the input is given as one tokenizer's numbers, which mean nothing to any other."""
    given = body.get("input")
    return isinstance(given, list) and any(isinstance(one, int | list) for one in given)


def inputs_of(body: JsonObject) -> int:
    """How many inputs there are, as far as can be seen of a body that is not checked yet."""
    given = body.get("input")
    return sum(isinstance(one, str | list) for one in given) or 1 if isinstance(given, list) else 1


def read_request(body: JsonObject) -> EmbeddingsRequest:
    """Raises GatewayError(400) naming the field."""
    return EmbeddingsRequest(
        _texts(body.get("input")),
        _encoding_format(body.get("encoding_format")),
        optional(body, "dimensions", positive),
        {name: value for name, value in body.items() if name not in _READ and value is not None},
        body.get("user") is not None,
    )


def _encoding_format(given: Any) -> EncodingFormat:
    if given is None or given == "float":
        return "float"
    if given != "base64":
        raise invalid("'encoding_format' must be 'float' or 'base64'.", "encoding_format")
    return "base64"


def _texts(given: Any) -> tuple[str, ...]:
    if given is None:
        raise invalid("'input' is required: a text or a list of texts.", "input")
    listed = given if isinstance(given, list) else [given]
    if not listed:
        raise invalid("'input' is an empty list: give at least one text.", "input")
    if len(listed) > MOST_INPUTS:
        raise invalid(f"'input' has {len(listed)} texts, and at most {MOST_INPUTS} are taken in one request.", "input")
    return tuple(_text(one, f"input[{place}]" if isinstance(given, list) else "input") for place, one in enumerate(listed))


def _text(one: Any, path: str) -> str:
    if not isinstance(one, str):
        raise _no_text(one, path)
    if not one:
        raise invalid(f"'{path}' is empty: there is nothing to embed.", path)
    return one


def _no_text(one: Any, path: str) -> GatewayError:
    return invalid(f"'{path}' must be a string, not {kind(one)}.", path)
