"""The same-dialect lane for upstreams that have native completions: edited, not rebuilt.

Edits, usage and stream are Chat's: its fields are a superset, and both streams are `choices` with `finish_reason`, `usage`
and `[DONE]`.
"""

from collections.abc import Mapping
from dataclasses import replace

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.fields import boolean, mapping, optional, positive, required, string
from pllm.wire.lane import Answer, Target, WireRequest
from pllm.wire.openai_chat.edit import edit
from pllm.wire.openai_chat.errors import read_error
from pllm.wire.openai_chat.lane import read_answer
from pllm.wire.openai_chat.relay import ChatRelay
from pllm.wire.openai_chat.usage import read_usage

PATH = "completions"

_CAP = "max_tokens"

_DEFAULTABLE = frozenset(
    {"max_tokens", "temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "user", "n"}
)


class CompletionsLane:
    """See `wire.lane.Lane`. Raises GatewayError(400) naming the field, from the constructor."""

    __slots__ = ("_done_marker", "_dropped", "_edited", "_request")

    def __init__(self, body: JsonObject, target: Target) -> None:
        _check(body)
        self._edited = edit(body, _for_completions(target))
        self._done_marker = target.quirks.done_marker
        self._dropped = (*self._edited.dropped, *(name for name in target.defaults if _spelt(name) not in _DEFAULTABLE))
        self._request = WireRequest(PATH, dumps(self._edited.body), target.model, self._edited.stream)

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
        """The provider's own bytes, after a look that they are a completion. An error object in a 2xx is raised."""
        answer = read_answer(body, content_type)
        return Answer(body, read_usage(answer.get("usage")), answer["choices"][0].get("finish_reason"))

    def relay(self) -> ChatRelay:
        return ChatRelay(
            usage_asked=self._edited.usage_asked,
            usage_forced=self._edited.usage_forced,
            done_marker=self._done_marker,
        )

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def _check(body: JsonObject) -> None:
    """What the gateway itself relies on. The rest, prompts of token numbers included, is the provider's to judge."""
    required(body, "model", string)
    if not isinstance(body.get("prompt"), str | list):
        raise invalid("'prompt' is required: a string or a list.", "prompt")
    optional(body, "stream", boolean)
    optional(optional(body, "stream_options", mapping) or {}, "include_usage", boolean, "stream_options")
    for name in ("n", "best_of", "max_tokens"):
        optional(body, name, positive)


def _for_completions(target: Target) -> Target:
    """The target as this dialect sees it: one name for the cap, and only defaults that it has a field for."""
    defaults = {_spelt(name): value for name, value in target.defaults.items() if _spelt(name) in _DEFAULTABLE}
    return replace(target, defaults=defaults, quirks=replace(target.quirks, token_cap=_CAP))


def _spelt(name: str) -> str:
    return _CAP if name == "max_completion_tokens" else name
