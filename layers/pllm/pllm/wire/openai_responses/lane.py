"""The same-dialect lane: a Responses request to an upstream that speaks Responses, edited and not rebuilt."""

from collections.abc import Mapping

from pllm.core.errors import GatewayError, malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.lane import Answer, Target, WireRequest
from pllm.wire.openai_responses.edit import edit
from pllm.wire.openai_responses.errors import read_error, reported_error
from pllm.wire.openai_responses.relay import ResponsesRelay, finish_of
from pllm.wire.openai_responses.usage import read_usage

PATH = "responses"


class ResponsesLane:
    """See `wire.lane.Lane`. Raises GatewayError(400) naming the field, from the constructor."""

    __slots__ = ("_dropped", "_request")

    def __init__(self, body: JsonObject, target: Target) -> None:
        edited = edit(body, target)
        self._dropped = edited.dropped
        self._request = WireRequest(PATH, dumps(edited.body), target.model, edited.stream)

    @property
    def request(self) -> WireRequest:
        return self._request

    @property
    def dropped(self) -> tuple[str, ...]:
        return self._dropped

    @property
    def emulated(self) -> tuple[str, ...]:
        return ()

    def answer(self, body: bytes, content_type: str) -> Answer:
        """The provider's own bytes, after a look that they are a Response object. A failed one is raised as its error."""
        response = read_answer(body, content_type)
        return Answer(body, read_usage(response.get("usage")), finish_of(response))

    def relay(self) -> ResponsesRelay:
        return ResponsesRelay()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def read_answer(body: bytes, content_type: str = "application/json") -> JsonObject:
    """A Response object with its output, or the GatewayError that the body amounts to."""
    try:
        response = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"it is not JSON ({content_type or 'no content type'}): {error}") from None
    if not isinstance(response, dict):
        raise malformed_upstream("it is not a Response object")
    if response.get("error"):
        raise reported_error(response)
    if response.get("status") == "failed" or not isinstance(response.get("output"), list):
        raise malformed_upstream("it is not a finished Response object: 'output' is missing")
    return response
