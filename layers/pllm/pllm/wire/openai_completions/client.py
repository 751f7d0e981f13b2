"""Legacy Completions as clients speak them to us. See `wire.lane.ClientWire`."""

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import ClientDialect, Request, Response
from pllm.wire.openai_chat.errors import error_body
from pllm.wire.openai_completions.answer import CompletionsEncoder, write_response
from pllm.wire.openai_completions.request import read_request


class CompletionsWire:
    @property
    def dialect(self) -> ClientDialect:
        """A Completions request is a small Chat request: what Chat's settings mean holds here too."""
        return "chat"

    def decode(self, body: JsonObject) -> Request:
        return read_request(body)

    def encode(self, response: Response, request: Request, context: AnswerContext) -> bytes:
        return write_response(response, request, context)

    def encoder(self, request: Request, context: AnswerContext) -> CompletionsEncoder:
        return CompletionsEncoder(request, context)

    def error(self, error: GatewayError) -> bytes:
        return error_body(error)
