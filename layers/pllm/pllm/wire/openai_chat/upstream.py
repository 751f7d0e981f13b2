"""The Chat dialect as upstreams speak it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pllm.core.errors import GatewayError
from pllm.wire.lane import Target
from pllm.wire.neutral import Request, Response, UpstreamDialect
from pllm.wire.openai_chat.errors import read_error
from pllm.wire.openai_chat.upstream_answer import ChatDecoder, decode_answer
from pllm.wire.openai_chat.upstream_request import encode_request
from pllm.wire.translator import Encoded


@dataclass(frozen=True, slots=True)
class ChatUpstream:
    """See `wire.lane.UpstreamWire`. Images may stay addresses; files and sound must be bytes."""

    dialect: UpstreamDialect = "chat"
    needs_bytes: frozenset[str] = frozenset({"document", "audio"})

    def encode(self, request: Request, target: Target) -> Encoded:
        return encode_request(request, target)

    def decode(self, body: bytes, encoded: Encoded) -> Response:
        return decode_answer(body, encoded)

    def decoder(self, encoded: Encoded) -> ChatDecoder:
        return ChatDecoder(encoded.hidden_tool, encoded.done_marker)

    def takes_url(self, url: str) -> bool:
        return False

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)
