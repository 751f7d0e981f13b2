"""Google's embeddings: batchEmbedContents of the Gemini API; predict or embedContent of Vertex AI, one text a call.

https://ai.google.dev/api/embeddings, https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pllm.core.errors import GatewayError, invalid, malformed_upstream
from pllm.core.jsontext import JsonObject
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.embeddings.api import Embedded, Wanted, count_of, json_of, vector_of
from pllm.wire.gemini.errors import read_error
from pllm.wire.lane import Part, Target

_TASKS: Mapping[str, str] = {
    "search_document": "RETRIEVAL_DOCUMENT",
    "search_query": "RETRIEVAL_QUERY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
_OPTIONS = frozenset({"input_type", "task_type"})


@dataclass(frozen=True, slots=True)
class GeminiApi:
    """See `EmbeddingsApi`."""

    options: frozenset[str] = _OPTIONS
    dialect: UpstreamDialect = "gemini"
    texts_per_call: int = 100

    def path(self, target: Target) -> str:
        return f"{_resource(target.model)}:batchEmbedContents"

    def encode(self, texts: Sequence[str], wanted: Wanted, target: Target) -> JsonObject:
        common: JsonObject = {"model": _resource(target.model)}
        if (task := _task(wanted)) is not None:
            common["taskType"] = task
        if wanted.dimensions is not None:
            common["outputDimensionality"] = wanted.dimensions
        return {"requests": [{**common, "content": {"parts": [{"text": text}]}} for text in texts]}

    def decode(self, part: Part) -> Embedded:
        answer = json_of(part)
        listed = answer.get("embeddings")
        if not isinstance(listed, list):
            raise malformed_upstream("'embeddings' is missing")
        return Embedded([_values(one) for one in listed], _prompt_tokens(answer))

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


@dataclass(frozen=True, slots=True)
class VertexApi:
    """See `EmbeddingsApi`. A text that is too long is an error: Vertex AI would cut it and say so in a field only."""

    options: frozenset[str] = _OPTIONS
    dialect: UpstreamDialect = "gemini"
    texts_per_call: int = 1

    def path(self, target: Target) -> str:
        return f"{_resource(target.model)}:{'embedContent' if _embeds_content(target) else 'predict'}"

    def encode(self, texts: Sequence[str], wanted: Wanted, target: Target) -> JsonObject:
        task, settings = _task(wanted), JsonObject(autoTruncate=False)
        if wanted.dimensions is not None:
            settings["outputDimensionality"] = wanted.dimensions
        if _embeds_content(target):
            return {"content": {"parts": [{"text": texts[0]}]}, **({"taskType": task} if task else {}), **settings}
        instance = {"content": texts[0], **({"task_type": task} if task else {})}
        return {"instances": [instance], "parameters": settings}

    def decode(self, part: Part) -> Embedded:
        answer = json_of(part)
        if "embedding" in answer:
            return Embedded([_values(answer["embedding"])], _prompt_tokens(answer))
        listed = answer.get("predictions")
        if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
            raise malformed_upstream("'predictions' does not hold one prediction")
        found = listed[0].get("embeddings")
        statistics = found.get("statistics") if isinstance(found, dict) else None
        tokens = count_of(_whole(statistics.get("token_count"))) if isinstance(statistics, dict) else None
        return Embedded([_values(found)], tokens)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def _resource(model: str) -> str:
    """As for generateContent: "gemini-embedding-001" is "models/gemini-embedding-001"; what has a path is named whole."""
    return quote(model, safe="/@") if "/" in model else f"models/{quote(model, safe='@')}"


def _embeds_content(target: Target) -> bool:
    return target.profile.model_api == "embed-content"


def _task(wanted: Wanted) -> str | None:
    """Google's own word goes as it is, and before that of others."""
    named = wanted.options.get("task_type")
    if named is not None:
        if not isinstance(named, str):
            raise invalid("'task_type' must be a string, such as RETRIEVAL_QUERY.", "task_type")
        return named.upper()
    found = wanted.input_type()
    return None if found is None else _TASKS[found]


def _values(found: Any) -> list[float]:
    return vector_of(found.get("values") if isinstance(found, dict) else None)


def _prompt_tokens(answer: JsonObject) -> int | None:
    usage = answer.get("usageMetadata")
    return count_of(usage.get("promptTokenCount")) if isinstance(usage, dict) else None


def _whole(value: Any) -> Any:
    """Vertex AI writes counts as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


gemini = GeminiApi()
vertex = VertexApi()
