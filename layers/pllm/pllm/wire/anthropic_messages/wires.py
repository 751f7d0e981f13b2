"""The two wires of this dialect: the provider's side and the client's, over the modules that do the work."""

from collections.abc import Mapping
from typing import Literal

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.anthropic_messages.count_tokens import decode_token_count
from pllm.wire.anthropic_messages.decode_answer import decode_answer
from pllm.wire.anthropic_messages.decode_request import decode_request
from pllm.wire.anthropic_messages.encode_answer import encode_answer
from pllm.wire.anthropic_messages.encode_request import encode_count_tokens, encode_request
from pllm.wire.anthropic_messages.errors import read_error, write_error
from pllm.wire.anthropic_messages.stream_decoder import StreamDecoder
from pllm.wire.anthropic_messages.stream_encoder import StreamEncoder
from pllm.wire.lane import AnswerContext, Target, WireRequest
from pllm.wire.neutral import Request, Response
from pllm.wire.translator import Decoder, Encoded, Encoder


class MessagesUpstream:
    """A provider that speaks Anthropic Messages. It fetches URLs itself, so nothing needs bytes; and it counts tokens."""

    dialect: Literal["messages"] = "messages"
    needs_bytes: frozenset[str] = frozenset()

    def encode(self, request: Request, target: Target) -> Encoded:
        return encode_request(request, target)

    def decode(self, body: bytes, encoded: Encoded) -> Response:
        return decode_answer(body, encoded.hidden_tool)

    def decoder(self, encoded: Encoded) -> Decoder:
        return StreamDecoder(encoded.hidden_tool)

    def encode_count(self, request: Request, target: Target) -> WireRequest:
        return encode_count_tokens(request, target)

    def decode_count(self, body: bytes) -> int:
        return decode_token_count(body)

    def takes_url(self, url: str) -> bool:
        return False

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


class MessagesClient:
    """A client that speaks Anthropic Messages: the anthropic SDK, Claude Code."""

    dialect: Literal["messages"] = "messages"

    def decode(self, body: JsonObject) -> Request:
        return decode_request(body)

    def encode(self, response: Response, request: Request, context: AnswerContext) -> bytes:
        return encode_answer(response, context)

    def encoder(self, request: Request, context: AnswerContext) -> Encoder:
        return StreamEncoder(context)

    def error(self, error: GatewayError) -> bytes:
        return write_error(error)
