"""Rerank models by Bedrock's InvokeModel, which needs no other endpoint, role or signature than everything else there.

https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-use.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.errors import read_error
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import Target
from pllm.wire.rerank.api import Ranked, common_fields
from pllm.wire.rerank.request import RerankRequest


@dataclass(frozen=True, slots=True)
class BedrockApi:
    """See `RerankApi`. `extra`: what this maker's models want beside the common fields."""

    extra: tuple[tuple[str, int], ...] = ()
    options: frozenset[str] = frozenset()
    dialect: UpstreamDialect = "converse"

    def path(self, target: Target) -> str:
        return f"model/{quote(target.model, safe='')}/invoke"

    def encode(self, asked: RerankRequest, options: Mapping[str, Any], target: Target) -> JsonObject:
        return {**common_fields(asked), **dict(self.extra)}

    def decode(self, answer: JsonObject) -> Ranked:
        return Ranked(answer.get("results"))

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


amazon = BedrockApi()
cohere = BedrockApi((("api_version", 2),))
