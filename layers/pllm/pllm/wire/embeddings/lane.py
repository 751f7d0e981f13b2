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
    """See `wire.lane.GatheringLane`. `kept`: good answers of an earlier try at the same deployment, by their call's place:
    those calls are not made again. Raises GatewayError(400) naming the field, from the constructor."""

    def __init__(self, asked: EmbeddingsRequest, api: EmbeddingsApi, target: Target, kept: dict[int, Part]) -> None:
        wanted, self._dropped = wanted_of(asked, api, target)
        self._asked, self._api = asked, api
        self._public_name = target.public_name
        step = api.texts_per_call
        self._calls = [asked.texts[start : start + step] for start in range(0, len(asked.texts), step)]
        self._kept = kept
        self._open = [place for place in range(len(self._calls)) if place not in kept]
        bodies = tuple(dumps(api.encode(self._calls[place], wanted, target)) for place in self._open)
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
        """With the tokens of all calls in its body, and those of this try beside it: an earlier one's are charged already."""
        entries: list[bytes] = []
        counts: list[int | None] = []
        answered = {**self._kept, **dict(zip(self._open, parts, strict=True))}
        for place, texts in enumerate(self._calls):
            answer = self._api.decode(answered[place])
            if len(answer.vectors) != len(texts):
                raise malformed_upstream(f"it has {len(answer.vectors)} embeddings for {len(texts)} texts")
            for vector in answer.vectors:
                entries.append(encode_vector(vector, len(entries), self._asked.encoding_format))
            counts.append(answer.tokens)
        own = self._told({place: counts[place] for place in self._open})
        body = encode_answer(entries, self._public_name, self._told(dict(enumerate(counts))).tokens)
        return Answer(body, Usage(input=own.tokens), estimated=own.estimated)

    def used(self, parts: Sequence[Part]) -> Usage | None:
        good = {self._open[part.number]: part for part in parts if self._is_whole(part)}
        self._kept.update(good)
        counts = {place: self._api.decode(part).tokens for place, part in good.items()}
        return Usage(input=self._told(counts).tokens) if counts else None

    def answer(self, body: bytes, content_type: str) -> Answer:
        return self.gathered([Part(200, {"content-type": content_type}, body)])

    def relay(self) -> NoReturn:
        raise GatewayError(ErrorKind.INTERNAL, "Embeddings are not streamed.")

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return self._api.error(status, headers, body)

    def _told(self, counts: Mapping[int, int | None]) -> _Told:
        """`counts`: what calls told of their tokens, by their places."""
        pairs = ((self._calls[place], told) for place, told in counts.items())
        return _Told(sum(_estimate(texts) if told is None else told for texts, told in pairs), None in counts.values())

    def _is_whole(self, part: Part) -> bool:
        try:
            return len(self._api.decode(part).vectors) == len(self._calls[self._open[part.number]])
        except GatewayError:
            return False


def _estimate(texts: Sequence[str]) -> int:
    return sum(ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN) for text in texts)
