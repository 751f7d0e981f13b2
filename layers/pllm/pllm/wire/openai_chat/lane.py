"""The same-dialect lane: a Chat request to a Chat upstream, edited and not rebuilt (`translation` section 1)."""

from collections.abc import Mapping

from pllm.core.errors import GatewayError, malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.lane import Answer, Target, WireRequest
from pllm.wire.openai_chat.edit import check, edit
from pllm.wire.openai_chat.errors import error_in_answer, read_error
from pllm.wire.openai_chat.framing import stated_finish
from pllm.wire.openai_chat.relay import ChatRelay
from pllm.wire.openai_chat.usage import read_usage

PATH = "chat/completions"


class ChatLane:
    """See `wire.lane.Lane`. Raises GatewayError(400) naming the field, from the constructor."""

    __slots__ = ("_done_marker", "_edited", "_request")

    def __init__(self, body: JsonObject, target: Target) -> None:
        check(body)
        self._edited = edit(body, target)
        self._done_marker = target.quirks.done_marker
        self._request = WireRequest(PATH, dumps(self._edited.body), target.model, self._edited.stream)

    @property
    def request(self) -> WireRequest:
        return self._request

    @property
    def dropped(self) -> tuple[str, ...]:
        return self._edited.dropped

    @property
    def emulated(self) -> tuple[str, ...]:
        return ()

    def answer(self, body: bytes, content_type: str) -> Answer:
        """The provider's own bytes, after a look that they are a chat completion. An error object in a 2xx is raised."""
        answer = read_answer(body, content_type)
        return Answer(body, read_usage(answer.get("usage")), stated_finish(answer["choices"][0]))

    def relay(self) -> ChatRelay:
        return ChatRelay(
            usage_asked=self._edited.usage_asked,
            usage_forced=self._edited.usage_forced,
            done_marker=self._done_marker,
        )

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def read_answer(body: bytes, content_type: str = "application/json") -> JsonObject:
    """A chat completion with at least one choice, or the GatewayError that its body amounts to."""
    try:
        answer = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"it is not JSON ({content_type or 'no content type'}): {error}") from None
    if isinstance(answer, dict) and answer.get("error"):
        raise error_in_answer(answer)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise malformed_upstream("it is not a chat completion: 'choices' is missing or empty")
    for choice in choices:
        stated_finish(choice)
    return dict(answer)
