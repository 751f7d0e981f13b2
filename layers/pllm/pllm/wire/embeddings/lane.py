"""The lane: one request of many texts as several calls, their answers as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NoReturn

from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream
from pllm.core.jsontext import dumps
from pllm.wire.embeddings.answer import encode_answer, encode_vector
from pllm.wire.embeddings.api import EmbeddingsApi, wanted_of
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
        entries: list[bytes] = []
        counts: list[int | None] = []
        for texts, part in zip(self._calls, parts, strict=True):
            answer = self._api.decode(part)
            if len(answer.vectors) != len(texts):
                raise malformed_upstream(f"it has {len(answer.vectors)} embeddings for {len(texts)} texts")
            for vector in answer.vectors:
                entries.append(encode_vector(vector, len(entries), self._asked.encoding_format))
            counts.append(answer.tokens)
        told = self._told(counts)
        body = encode_answer(entries, self._public_name, told.tokens)
        return Answer(body, Usage(input=told.tokens), estimated=told.estimated)

    def used(self, parts: Sequence[Part]) -> Usage | None:
        try:
            counts = [self._api.decode(part).tokens for part in parts]
        except GatewayError:
            return None
        return Usage(input=self._told(counts).tokens) if counts else None

    def answer(self, body: bytes, content_type: str) -> Answer:
        return self.gathered([Part(200, {"content-type": content_type}, body)])

    def relay(self) -> NoReturn:
        raise GatewayError(ErrorKind.INTERNAL, "Embeddings are not streamed.")

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return self._api.error(status, headers, body)

    def _told(self, counts: Sequence[int | None]) -> _Told:
        """`counts`: what the calls told, the first ones where not all were answered."""
        pairs = zip(self._calls, counts, strict=False)
        tokens = sum(_estimate(texts) if told is None else told for texts, told in pairs)
        return _Told(tokens, None in counts)


def _estimate(texts: Sequence[str]) -> int:
    return sum(ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN) for text in texts)
