"""The lane of the APIs that are not OpenAI's: asked in their words, answered in OpenAI's."""

from collections.abc import Mapping
from typing import NoReturn

from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream, unsupported
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.images.api import ImagesApi, Picture
from pllm.wire.images.request import ImagesRequest
from pllm.wire.lane import Answer, Target, WireRequest
from pllm.wire.usage import Usage


class ImagesLane:
    """See `wire.lane.Lane`. `created_s`: epoch seconds. Raises GatewayError(400) naming the field, from the constructor."""

    def __init__(self, asked: ImagesRequest, api: ImagesApi, target: Target, created_s: int) -> None:
        self._api, self._created_s = api, created_s
        usable = api.options - (target.profile.refused_params | target.quirks.refused)
        unwanted = sorted(asked.options.keys() - usable) + (["stream"] if asked.stream else [])
        # A client that waits for events must not be given something else.
        if asked.stream or (unwanted and not target.drop_unsupported):
            raise unsupported(unwanted[-1 if asked.stream else 0], target.public_name, _whom(target))
        lost = (name for name in target.defaults if name != "n")
        self._dropped = tuple(dict.fromkeys((*unwanted, *lost, *(("user",) if asked.user else ()))))
        self.emulated = ("size",) if asked.size is not None and "size" in api.emulated else ()
        options = {name: value for name, value in asked.options.items() if name in usable}
        self._request = WireRequest(api.path(target), dumps(api.encode(asked, options, target)), target.model, stream=False)

    @property
    def request(self) -> WireRequest:
        return self._request

    @property
    def dropped(self) -> tuple[str, ...]:
        return self._dropped

    def answer(self, body: bytes, content_type: str) -> Answer:
        pictures = self._api.decode(_object(body))
        shown: JsonObject = {"created": self._created_s, "data": [_shown(one) for one in pictures]}
        return Answer(dumps(shown), Usage(images=len(pictures)))

    def relay(self) -> NoReturn:
        raise GatewayError(ErrorKind.INTERNAL, "Pictures of this model are not streamed.")

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return self._api.error(status, headers, body)


def _whom(target: Target) -> str:
    return f"as {target.provider} serves it, it is {target.model!r}."


def _shown(picture: Picture) -> JsonObject:
    return {"b64_json": picture.b64, **({"revised_prompt": picture.prompt} if picture.prompt else {})}


def _object(body: bytes) -> JsonObject:
    try:
        found = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise malformed_upstream("it is not a JSON object")
    return found
