"""The lane of the APIs that are not OpenAI's: asked in their words, answered in the common shape."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NoReturn

from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream, unsupported
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.lane import Answer, Target, WireRequest
from pllm.wire.rerank.api import RerankApi
from pllm.wire.rerank.request import RerankRequest
from pllm.wire.usage import Usage


class RerankLane:
    """See `wire.lane.Lane`. `units`: what is billed where the provider does not tell it. Raises GatewayError(400) naming the
    field, from the constructor."""

    def __init__(self, asked: RerankRequest, api: RerankApi, units: int, target: Target) -> None:
        self._asked, self._api, self._units = asked, api, units
        self._public_name = target.public_name
        usable = api.options - (target.profile.refused_params | target.quirks.refused)
        unwanted = sorted(asked.options.keys() - usable)
        if unwanted and not target.drop_unsupported:
            raise unsupported(unwanted[0], target.public_name, f"as {target.provider} serves it, it is {target.model!r}.")
        self._dropped = (*unwanted, *target.defaults, *(("user",) if asked.user and "user" not in target.defaults else ()))
        options = {name: value for name, value in asked.options.items() if name in usable}
        body = dumps(api.encode(asked, options, target))
        self._request = WireRequest(api.path(target), body, target.model, stream=False)

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
        ranked = self._api.decode(_object(body))
        if not isinstance(ranked.results, list):
            raise malformed_upstream("'results' is missing")
        billed = {"search_units": ranked.units, "input_tokens": ranked.tokens}
        told = {name: count for name, count in billed.items() if count is not None}
        shown: JsonObject = {
            "id": ranked.id or f"rerank-{sha256(body).hexdigest()[:24]}",
            "model": self._public_name,
            "results": [self._result(one) for one in ranked.results],
            "meta": {"billed_units": told or {"search_units": self._units}},
        }
        if ranked.tokens is not None:
            shown["usage"] = {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens}
        used = Usage(input=ranked.tokens or 0, search_units=ranked.units or (0 if told else self._units))
        return Answer(dumps(shown), used, estimated=not told)

    def relay(self) -> NoReturn:
        raise GatewayError(ErrorKind.INTERNAL, "Rankings are not streamed.")

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return self._api.error(status, headers, body)

    def _result(self, one: Any) -> JsonObject:
        place = one.get("index") if isinstance(one, dict) else None
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(self._asked.texts):
            raise malformed_upstream("a result does not say which document it is of")
        score = one.get("relevance_score")
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise malformed_upstream("a result has no relevance_score")
        shown: JsonObject = {"index": place, "relevance_score": score}
        return shown | {"document": self._asked.document(place)} if self._asked.return_documents else shown


def _object(body: bytes) -> JsonObject:
    try:
        found = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise malformed_upstream("it is not a JSON object")
    return found
