"""Cohere's embeddings, by Bedrock's InvokeModel and by its own API.

https://docs.cohere.com/reference/embed
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pllm.core.errors import GatewayError, invalid, malformed_upstream
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.errors import read_error
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.embeddings.api import Embedded, Vector, Wanted, count_of, json_of, vector_of
from pllm.wire.embeddings.titan import invoke_path
from pllm.wire.lane import Part, Target
from pllm.wire.openai_chat.errors import read_error as read_own_error

_DEFAULT_INPUT_TYPE = "search_document"
_TRUNCATIONS = ("NONE", "START", "END")
_TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


@dataclass(frozen=True, slots=True)
class CohereOnBedrock:
    """See `EmbeddingsApi`. The input's type is required: what says none is a document, since most of what is embedded is."""

    options: frozenset[str] = frozenset({"input_type", "truncate"})
    dialect: UpstreamDialect = "converse"
    texts_per_call: int = 96

    def path(self, target: Target) -> str:
        return invoke_path(target)

    def encode(self, texts: Sequence[str], wanted: Wanted, target: Target) -> JsonObject:
        return body_of(texts, wanted)

    def decode(self, part: Part) -> Embedded:
        answer = json_of(part)
        return Embedded(float_vectors(answer.get("embeddings")), count_of(part.headers.get(_TOKENS_HEADER)))

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


@dataclass(frozen=True, slots=True)
class CohereApi:
    """See `EmbeddingsApi`. The same, with the model in the body and the tokens in the answer."""

    options: frozenset[str] = frozenset({"input_type", "truncate"})
    dialect: UpstreamDialect = "cohere"
    texts_per_call: int = 96

    def path(self, target: Target) -> str:
        return "embed"

    def encode(self, texts: Sequence[str], wanted: Wanted, target: Target) -> JsonObject:
        return {"model": target.model, **body_of(texts, wanted)}

    def decode(self, part: Part) -> Embedded:
        answer = json_of(part)
        meta = answer.get("meta")
        billed = meta.get("billed_units") if isinstance(meta, dict) else None
        tokens = count_of(billed.get("input_tokens")) if isinstance(billed, dict) else None
        return Embedded(float_vectors(answer.get("embeddings")), tokens)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_own_error(status, headers, body)


def body_of(texts: Sequence[str], wanted: Wanted) -> JsonObject:
    body: JsonObject = {
        "texts": list(texts),
        "input_type": wanted.input_type() or _DEFAULT_INPUT_TYPE,
        "embedding_types": ["float"],
        "truncate": _truncation(wanted.options.get("truncate")),
    }
    if wanted.dimensions is not None:
        body["output_dimension"] = wanted.dimensions
    return body


def float_vectors(given: Any) -> list[Vector]:
    """By type where types were asked for; a plain list in the older form of the answer."""
    listed = given.get("float") if isinstance(given, dict) else given
    if not isinstance(listed, list):
        raise malformed_upstream("'embeddings' is missing")
    return [vector_of(one) for one in listed]


def _truncation(given: Any) -> str:
    """A text that is too long is an error unless its client wants it cut, as it is at OpenAI."""
    if given is None:
        return "NONE"
    if not isinstance(given, str) or given.upper() not in _TRUNCATIONS:
        raise invalid(f"'truncate' must be one of {', '.join(_TRUNCATIONS)}.", "truncate")
    return given.upper()


on_bedrock = CohereOnBedrock()
own = CohereApi()
