"""The Responses API as clients speak it to us. See `wire.lane.ClientWire`."""

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import ClientDialect, Request, Response
from pllm.wire.openai_responses.encoder import ResponsesEncoder, write_response
from pllm.wire.openai_responses.errors import error_body
from pllm.wire.openai_responses.request import read_request


class ResponsesWire:
    @property
    def dialect(self) -> ClientDialect:
        return "responses"

    def decode(self, body: JsonObject) -> Request:
        return read_request(body)

    def encode(self, response: Response, request: Request, context: AnswerContext) -> bytes:
        return write_response(response, request, context)

    def encoder(self, request: Request, context: AnswerContext) -> ResponsesEncoder:
        return ResponsesEncoder(request, context)

    def error(self, error: GatewayError) -> bytes:
        return error_body(error)
