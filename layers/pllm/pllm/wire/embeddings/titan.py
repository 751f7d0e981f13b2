"""Amazon Titan's embeddings by Bedrock's InvokeModel: one text a call.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.errors import read_error
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.embeddings.api import Embedded, Wanted, count_of, json_of, vector_of
from pllm.wire.lane import Part, Target


@dataclass(frozen=True, slots=True)
class TitanApi:
    """See `EmbeddingsApi`. `nested`: the multimodal model has its settings in an object of their own."""

    options: frozenset[str]
    nested: bool = False
    dialect: UpstreamDialect = "converse"
    texts_per_call: int = 1

    def path(self, target: Target) -> str:
        return invoke_path(target)

    def encode(self, texts: Sequence[str], wanted: Wanted, target: Target) -> JsonObject:
        body: JsonObject = {"inputText": texts[0]}
        if wanted.dimensions is not None:
            body |= {"embeddingConfig": {"outputEmbeddingLength": wanted.dimensions}} if self.nested else {}
            body |= {} if self.nested else {"dimensions": wanted.dimensions}
        if "normalize" in wanted.options:
            if not isinstance(wanted.options["normalize"], bool):
                raise invalid("'normalize' must be true or false.", "normalize")
            body["normalize"] = wanted.options["normalize"]
        return body

    def decode(self, part: Part) -> Embedded:
        answer = json_of(part)
        return Embedded([vector_of(answer.get("embedding"))], count_of(answer.get("inputTextTokenCount")))

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def invoke_path(target: Target) -> str:
    """InvokeModel of a model, an inference profile or an ARN."""
    return f"model/{quote(target.model, safe='')}/invoke"


titan = TitanApi(frozenset({"normalize"}))
multimodal = TitanApi(frozenset(), nested=True)
