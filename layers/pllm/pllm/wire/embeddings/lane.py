"""The lane: one request of many texts as several calls, their answers as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NoReturn

from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream
from pllm.core.jsontext import dumps
from pllm.wire.embeddings.answer import encode_answer
from pllm.wire.embeddings.api import Embedded, EmbeddingsApi, Vector, wanted_of
from pllm.wire.embeddings.request import EmbeddingsRequest
from pllm.wire.lane import Answer, Part, Target, WireRequest
from pllm.wire.usage import Usage

# On the high side, as where tokens are counted before a call.
_BYTES_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class _Told:
    """`estimated`: some call did not say what it used."""

    tokens: int
    estimated: bool


class EmbeddingsLane:
    """See `wire.lane.GatheringLane`. Raises GatewayError(400) naming the field, from the constructor."""

    def __init__(self, asked: EmbeddingsRequest, api: EmbeddingsApi, target: Target) -> None:
        wanted, self._dropped = wanted_of(asked, api, target)
        self._asked, self._api = asked, api
        self._public_name = target.public_name
        step = api.texts_per_call
        self._calls = [asked.texts[start : start + step] for start in range(0, len(asked.texts), step)]
        bodies = tuple(dumps(api.encode(texts, wanted, target)) for texts in self._calls)
        self._request = WireRequest(api.path(target), bodies[0], target.model, stream=False, bodies=bodies)

    @property
    def request(self) -> WireRequest:
        return self._request

    @property
    def dropped(self) -> tuple[str, ...]:
        return self._dropped

    @property
    def emulated(self) -> tuple[str, ...]:
        return ()

    def gathered(self, parts: Sequence[Part]) -> Answer:
        vectors: list[Vector] = []
        answers = [self._api.decode(part) for part in parts]
        for texts, answer in zip(self._calls, answers, strict=True):
            if len(answer.vectors) != len(texts):
                raise malformed_upstream(f"it has {len(answer.vectors)} embeddings for {len(texts)} texts")
            vectors += answer.vectors
        told = self._told(answers)
        body = encode_answer(vectors, self._asked.encoding_format, self._public_name, told.tokens)
        return Answer(body, Usage(input=told.tokens), estimated=told.estimated)

    def used(self, parts: Sequence[Part]) -> Usage | None:
        try:
            answers = [self._api.decode(part) for part in parts]
        except GatewayError:
            return None
        return Usage(input=self._told(answers).tokens) if answers else None

    def answer(self, body: bytes, content_type: str) -> Answer:
        return self.gathered([Part(200, {"content-type": content_type}, body)])

    def relay(self) -> NoReturn:
        raise GatewayError(ErrorKind.INTERNAL, "Embeddings are not streamed.")

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return self._api.error(status, headers, body)

    def _told(self, answers: Sequence[Embedded]) -> _Told:
        pairs = list(zip(self._calls, answers, strict=False))
        tokens = sum(_estimate(texts) if answer.tokens is None else answer.tokens for texts, answer in pairs)
        return _Told(tokens, any(answer.tokens is None for answer in answers))


def _estimate(texts: Sequence[str]) -> int:
    return sum(ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN) for text in texts)
