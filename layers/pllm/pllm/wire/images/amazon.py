"""Nova Canvas and Titan Image Generator by Bedrock's InvokeModel.

https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pllm.core.errors import ErrorKind, GatewayError, invalid, malformed_upstream
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.errors import read_error
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.fields import count, number, string
from pllm.wire.images.api import Picture
from pllm.wire.images.request import ImagesRequest
from pllm.wire.lane import Target

_QUALITIES: Mapping[str, str] = {
    "low": "standard",
    "medium": "standard",
    "standard": "standard",
    "high": "premium",
    "hd": "premium",
    "premium": "premium",
}


@dataclass(frozen=True, slots=True)
class AmazonApi:
    """See `ImagesApi`."""

    options: frozenset[str] = frozenset({"quality", "seed", "negative_prompt", "cfg_scale"})
    emulated: frozenset[str] = frozenset()
    dialect: UpstreamDialect = "converse"

    def path(self, target: Target) -> str:
        return f"model/{quote(target.model, safe='')}/invoke"

    def encode(self, asked: ImagesRequest, options: Mapping[str, Any], target: Target) -> JsonObject:
        text: JsonObject = {"text": asked.prompt}
        if "negative_prompt" in options:
            text["negativeText"] = string(options["negative_prompt"], "negative_prompt")
        config: JsonObject = {"numberOfImages": asked.n}
        if asked.size is not None:
            config["width"], config["height"] = asked.size
        if "quality" in options:
            config["quality"] = _quality(options["quality"])
        if "cfg_scale" in options:
            config["cfgScale"] = number(options["cfg_scale"], "cfg_scale")
        if "seed" in options:
            config["seed"] = count(options["seed"], "seed")
        return {"taskType": "TEXT_IMAGE", "textToImageParams": text, "imageGenerationConfig": config}

    def decode(self, answer: JsonObject) -> Sequence[Picture]:
        """A picture that was refused is left out of the list, and `error` says why."""
        listed, why = answer.get("images"), answer.get("error")
        found = [Picture(one) for one in listed if isinstance(one, str) and one] if isinstance(listed, list) else []
        if not found and isinstance(why, str) and why:
            raise GatewayError(ErrorKind.CONTENT_POLICY, why[:1000])
        if not found:
            raise malformed_upstream("'images' holds none")
        return found

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def _quality(given: Any) -> str:
    found = _QUALITIES.get(given) if isinstance(given, str) else None
    if found is None:
        raise invalid(f"'quality' must be auto or one of {', '.join(_QUALITIES)}.", "quality")
    return found


api = AmazonApi()
