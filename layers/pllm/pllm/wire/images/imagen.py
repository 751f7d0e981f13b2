"""Imagen by predict, on Vertex AI and the Gemini API alike.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api, https://ai.google.dev/gemini-api/docs/imagen
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pllm.core.errors import ErrorKind, GatewayError, invalid, malformed_upstream
from pllm.core.jsontext import JsonObject
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.fields import string
from pllm.wire.gemini.errors import read_error
from pllm.wire.images.api import Picture
from pllm.wire.images.request import ImagesRequest
from pllm.wire.lane import Target

_RATIOS = {"1:1": 1.0, "3:4": 3 / 4, "4:3": 4 / 3, "9:16": 9 / 16, "16:9": 16 / 9}
# dall-e-3's 1792x1024 is meant to be 16:9, and is off by less than this.
_NEAR = 0.03


@dataclass(frozen=True, slots=True)
class ImagenApi:
    """See `ImagesApi`. A size becomes its proportions: how many pixels there are is the model's to say."""

    options: frozenset[str] = frozenset({"aspect_ratio", "person_generation"})
    emulated: frozenset[str] = frozenset({"size"})
    dialect: UpstreamDialect = "gemini"

    def path(self, target: Target) -> str:
        model = quote(target.model, safe="/@")
        return f"{model if '/' in target.model else f'models/{model}'}:predict"

    def encode(self, asked: ImagesRequest, options: Mapping[str, Any], target: Target) -> JsonObject:
        parameters: JsonObject = {"sampleCount": asked.n}
        if "aspect_ratio" in options:
            parameters["aspectRatio"] = string(options["aspect_ratio"], "aspect_ratio")
        elif asked.size is not None:
            parameters["aspectRatio"] = _ratio(*asked.size)
        if "person_generation" in options:
            parameters["personGeneration"] = string(options["person_generation"], "person_generation")
        return {"instances": [{"prompt": asked.prompt}], "parameters": parameters}

    def decode(self, answer: JsonObject) -> Sequence[Picture]:
        """A picture that was refused is left out, or is a prediction that says why."""
        listed = answer.get("predictions")
        if listed is not None and not isinstance(listed, list):
            raise malformed_upstream("'predictions' is not a list")
        predictions = [one for one in listed or [] if isinstance(one, dict)]
        found = [_picture(one) for one in predictions if one.get("bytesBase64Encoded")]
        if not found:
            why = next((str(one["raiFilteredReason"]) for one in predictions if one.get("raiFilteredReason")), "")
            raise GatewayError(ErrorKind.CONTENT_POLICY, why[:1000] or "The provider's filters let no picture of this pass.")
        return found

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def _picture(prediction: Mapping[str, Any]) -> Picture:
    data, prompt = prediction["bytesBase64Encoded"], prediction.get("prompt")
    if not isinstance(data, str):
        raise malformed_upstream("a picture is not base64")
    return Picture(data, prompt if isinstance(prompt, str) else "")


def _ratio(width: int, height: int) -> str:
    name, ratio = min(_RATIOS.items(), key=lambda one: abs(width / height / one[1] - 1))
    if abs(width / height / ratio - 1) > _NEAR:
        raise invalid(f"'size' {width}x{height} has proportions that this model has not: it has {', '.join(_RATIOS)}.", "size")
    return name


api = ImagenApi()
