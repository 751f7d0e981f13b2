"""Bedrock Converse and ConverseStream, spoken to providers.

request -> content, media, tools, output_format, thinking, inference, fields: what is sent.
answer -> blocks, hidden_tool, vocabulary: what comes back; stream and errors for what comes back otherwise.
"""

from collections.abc import Mapping

from pllm.core.errors import GatewayError
from pllm.wire.bedrock_converse.answer import read_answer
from pllm.wire.bedrock_converse.count_tokens import decode_count, encode_count
from pllm.wire.bedrock_converse.errors import read_error
from pllm.wire.bedrock_converse.request import encode
from pllm.wire.bedrock_converse.stream import ConverseDecoder
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Request, Response, UpstreamDialect
from pllm.wire.translator import Decoder, Encoded


class ConverseWire:
    """The UpstreamWire of Bedrock, which also counts tokens. Bedrock reads s3:// addresses itself."""

    dialect: UpstreamDialect = "converse"
    needs_bytes = frozenset({"image", "document", "audio"})

    def encode(self, request: Request, target: Target) -> Encoded:
        return encode(request, target)

    def decode(self, body: bytes, encoded: Encoded) -> Response:
        return read_answer(body, encoded.request.model, encoded.hidden_tool)

    def decoder(self, encoded: Encoded) -> Decoder:
        return ConverseDecoder(encoded.request.model, encoded.hidden_tool)

    def encode_count(self, request: Request, target: Target) -> WireRequest:
        return encode_count(request, target)

    def decode_count(self, body: bytes) -> int:
        return decode_count(body)

    def takes_url(self, url: str) -> bool:
        return url.startswith("s3://")

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


upstream = ConverseWire()
