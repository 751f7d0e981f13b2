"""The same-dialect lane of these endpoints: the client's body edited, the provider's answer as it came."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pllm.core.errors import GatewayError
from pllm.wire.lane import Answer, Target, WireRequest
from pllm.wire.openai_chat.errors import read_error
from pllm.wire.openai_media.answer import read_answer
from pllm.wire.openai_media.content import Content
from pllm.wire.openai_media.edit import plan
from pllm.wire.openai_media.endpoints import MediaEndpoint
from pllm.wire.openai_media.relay import ByteRelay, EventRelay
from pllm.wire.usage import Usage

Delivery = Literal["whole", "events", "bytes"]
"""How the client wants its answer."""

_ACCEPT: Mapping[Delivery, str] = {"whole": "*/*", "events": "text/event-stream", "bytes": "*/*"}


class MediaLane:
    """See `wire.lane.Lane`. Raises GatewayError(400) naming the field, from the constructor."""

    __slots__ = ("_delivery", "_dropped", "_endpoint", "_request", "_results", "_spoken")

    def __init__(self, endpoint: MediaEndpoint, content: Content, delivery: Delivery, target: Target) -> None:
        self._endpoint = endpoint
        self._delivery = delivery
        self._results = content.count("n")
        self._spoken = Usage(characters=content.length("input")) if endpoint.audio else None
        edits, self._dropped = plan(content, endpoint, target)
        self._request = WireRequest(
            endpoint.path,
            content.edited(edits),
            target.model,
            stream=delivery != "whole",
            headers={"accept": _ACCEPT[delivery]},
            content_type=content.content_type,
            stream_type="" if delivery == "bytes" else "text/event-stream",
            may_come_whole=delivery == "events",
        )

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
        answer = read_answer(self._endpoint, body, content_type)
        return replace(answer, usage=self._spoken) if self._spoken else answer

    def relay(self) -> ByteRelay | EventRelay:
        if self._delivery == "bytes":
            return ByteRelay(self._spoken)
        return EventRelay(self._endpoint.whole, self._results, self._spoken)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)
