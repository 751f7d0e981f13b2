"""What every embeddings API here has: the contract between the lane and the module that speaks one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pllm.core.errors import GatewayError, invalid, malformed_upstream, unsupported
from pllm.core.jsontext import JsonError, JsonObject, loads
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.embeddings.request import EmbeddingsRequest
from pllm.wire.lane import Part, Target

Vector = list[float]

_INPUT_TYPES: Mapping[str, str] = {
    "document": "search_document",
    "passage": "search_document",
    "search_document": "search_document",
    "query": "search_query",
    "search_query": "search_query",
    "classification": "classification",
    "clustering": "clustering",
}
"""As it is spelt by clients of Cohere, Voyage and NVIDIA -> as Cohere spells it."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The answer to one call: a vector for each of its texts, in their order. `tokens`: None where the provider tells none."""

    vectors: Sequence[Vector]
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of every call: the request's own fields over the deployment's defaults. `options`: what is left of those
    beyond OpenAI's, under the names of `EmbeddingsApi.options`."""

    dimensions: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def input_type(self) -> str | None:
        """In Cohere's words. Raises GatewayError(400) for one that is none."""
        given = self.options.get("input_type")
        if given is None:
            return None
        found = _INPUT_TYPES.get(given.lower()) if isinstance(given, str) else None
        if found is None:
            raise invalid(f"'input_type' must be one of {', '.join(_INPUT_TYPES)}.", "input_type")
        return found


class EmbeddingsApi(Protocol):
    """One provider's embeddings. `texts_per_call`: how many one call takes. `options`: the fields beyond OpenAI's that it has a
    place for."""

    @property
    def dialect(self) -> UpstreamDialect: ...

    @property
    def texts_per_call(self) -> int: ...

    @property
    def options(self) -> frozenset[str]: ...

    def path(self, target: Target) -> str: ...

    def encode(self, texts: Sequence[str], wanted: Wanted, target: Target) -> JsonObject:
        """Raises GatewayError(400) for an option of the wrong kind."""
        ...

    def decode(self, part: Part) -> Embedded:
        """Raises GatewayError(UPSTREAM_PROTOCOL)."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError: ...


def wanted_of(asked: EmbeddingsRequest, api: EmbeddingsApi, target: Target) -> tuple[Wanted, tuple[str, ...]]:
    """What to ask for, and the names of what is lost. Raises a 400 naming parameter and model for what this model cannot do,
    unless it may be dropped."""
    refused = target.profile.refused_params | target.quirks.refused
    given = dict(asked.options or {})
    if asked.dimensions is not None:
        given["dimensions"] = asked.dimensions
    usable = (api.options | {"dimensions"}) - refused
    unwanted = sorted(given.keys() - usable)
    if unwanted and not target.drop_unsupported:
        raise unsupported(unwanted[0], target.public_name, f"as {target.provider} serves it, it is {target.model!r}.")
    fields = {name: value for name, value in {**target.defaults, **given}.items() if name in usable}
    lost = (name for name in target.defaults if name not in usable and name not in given)
    # Who asked has no place there, and changes nothing in the answer.
    dropped = (*unwanted, *lost, *(("user",) if asked.user and "user" not in target.defaults else ()))
    dimensions = fields.pop("dimensions", None)
    return Wanted(dimensions, fields), tuple(dict.fromkeys(dropped))


def json_of(part: Part) -> JsonObject:
    """The object that an answer is. Raises GatewayError(UPSTREAM_PROTOCOL)."""
    try:
        found = loads(part.body)
    except JsonError as error:
        raise malformed_upstream(f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise malformed_upstream("it is not a JSON object")
    return found


def vector_of(value: Any) -> Vector:
    """A list of numbers. Raises GatewayError(UPSTREAM_PROTOCOL)."""
    if not isinstance(value, list) or not value or not all(type(one) is float or type(one) is int for one in value):
        raise malformed_upstream("an embedding is not a list of numbers")
    return value


def count_of(value: Any) -> int | None:
    """A number of tokens, as JSON or as a header; None for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
