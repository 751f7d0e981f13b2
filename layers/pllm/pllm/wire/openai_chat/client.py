"""The Chat dialect as clients speak it to us."""

from dataclasses import dataclass

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import ClientDialect, Request, Response
from pllm.wire.openai_chat.client_answer import encode_answer
from pllm.wire.openai_chat.client_request import decode_request
from pllm.wire.openai_chat.client_stream import ChatEncoder
from pllm.wire.openai_chat.errors import error_body


@dataclass(frozen=True, slots=True)
class ChatClient:
    """See `wire.lane.ClientWire`."""

    dialect: ClientDialect = "chat"

    def decode(self, body: JsonObject) -> Request:
        return decode_request(body)

    def encode(self, response: Response, request: Request, context: AnswerContext) -> bytes:
        return encode_answer(response, request, context)

    def encoder(self, request: Request, context: AnswerContext) -> ChatEncoder:
        return ChatEncoder(request, context)

    def error(self, error: GatewayError) -> bytes:
        return error_body(error)
