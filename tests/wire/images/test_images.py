"""Pictures of Amazon's models on Bedrock and of Imagen: what is sent, what comes back."""

import json
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from google.genai import types
from openai.types import ImagesResponse
from tests.wire.embeddings.worlds import CONTEXT, deployment, target

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.images import ImagesCall
from pllm.wire.lane import Answer, Lane
from pllm.wire.openai_media import ENDPOINTS, json_request

NOVA = ("bedrock", "amazon.nova-canvas-v1:0")
TITAN = ("bedrock", "amazon.titan-image-generator-v2:0")
VERTEX = ("vertex", "imagen-4.0-generate-001")
GEMINI = ("gemini", "imagen-4.0-fast-generate-001")
EACH = pytest.mark.parametrize("of", [NOVA, TITAN, VERTEX, GEMINI], ids=lambda of: of[1])


def call(**body: Any) -> ImagesCall:
    whole = {"model": "m", "prompt": "a cat"} | body
    return ImagesCall(json_request(ENDPOINTS["images/generations"], whole), whole)


def lane(of: tuple[str, str], target_changes: dict[str, Any] | None = None, **body: Any) -> Lane:
    found, _ = call(**body).lane(deployment(of), target(of, **(target_changes or {})), CONTEXT)
    return found


def sent(lane: Lane) -> Any:
    wire = lane.request
    if wire.path.endswith("/invoke"):
        shape = _runtime().operation_model("InvokeModel").input_shape
        report = ParamValidator().validate({"modelId": wire.model, "body": wire.body}, shape)
        assert not report.has_errors(), report.generate_report()
    return json.loads(wire.body)


@cache
def _runtime() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def answered(lane: Lane, answer: Any) -> tuple[ImagesResponse, Answer]:
    """As OpenAI's SDK reads it."""
    found = lane.answer(json.dumps(answer).encode(), "application/json")
    return ImagesResponse.model_validate_json(found.body, strict=True), found


@pytest.mark.parametrize("of", [NOVA, TITAN])
def test_amazons_models_are_asked_in_their_own_words(of: tuple[str, str]) -> None:
    made = lane(of, n=2, size="1280x720", quality="hd", seed=7, negative_prompt="dogs", cfg_scale=6.5)
    assert made.request.path == f"model/{of[1].replace(':', '%3A')}/invoke"
    assert sent(made) == {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": "a cat", "negativeText": "dogs"},
        "imageGenerationConfig": {
            "numberOfImages": 2,
            "width": 1280,
            "height": 720,
            "quality": "premium",
            "cfgScale": 6.5,
            "seed": 7,
        },
    }
    plain = {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a cat"}, "imageGenerationConfig": {"numberOfImages": 1}}
    assert sent(lane(of, size="auto", quality="auto", response_format="b64_json", output_format="png")) == plain


@pytest.mark.parametrize("of", [VERTEX, GEMINI])
@pytest.mark.parametrize(
    ("size", "ratio"),
    [("1024x1024", "1:1"), ("1792x1024", "16:9"), ("1080x1920", "9:16"), ("768x1024", "3:4"), ("800x600", "4:3")],
)
def test_imagen_is_asked_for_proportions(of: tuple[str, str], size: str, ratio: str) -> None:
    made = lane(of, n=3, size=size, person_generation="dont_allow")
    assert made.request.path == f"models/{of[1]}:predict"
    body = sent(made)
    assert body == {
        "instances": [{"prompt": "a cat"}],
        "parameters": {"sampleCount": 3, "aspectRatio": ratio, "personGeneration": "dont_allow"},
    }
    types.GenerateImagesConfig(
        number_of_images=3, aspect_ratio=body["parameters"]["aspectRatio"], person_generation=types.PersonGeneration.DONT_ALLOW
    )
    assert made.emulated == ("size",)
    assert lane(of).emulated == ()


def test_proportions_that_imagen_has_not_are_a_400() -> None:
    with pytest.raises(GatewayError) as caught:
        lane(VERTEX, size="1536x1024")
    assert (caught.value.status, caught.value.param) == (400, "size")
    assert sent(lane(VERTEX, size="1536x1024", aspect_ratio="4:3"))["parameters"]["aspectRatio"] == "4:3"


@EACH
def test_pictures_come_back_as_openais(of: tuple[str, str]) -> None:
    answer: Any = {"images": ["AAAA", "BBBB"]}
    if of in (VERTEX, GEMINI):
        answer = {"predictions": [{"bytesBase64Encoded": one, "mimeType": "image/png"} for one in ("AAAA", "BBBB")]}
    read, found = answered(lane(of, n=2), answer)
    assert read.data is not None
    assert ([one.b64_json for one in read.data], read.created) == (["AAAA", "BBBB"], 1_700_000_000)
    assert found.usage is not None
    assert found.usage.images == 2


def test_a_prompt_that_imagen_made_better_is_told() -> None:
    read, _ = answered(lane(VERTEX), {"predictions": [{"bytesBase64Encoded": "AAAA", "prompt": "a fluffy cat"}]})
    assert read.data is not None
    assert read.data[0].revised_prompt == "a fluffy cat"


@pytest.mark.parametrize(
    ("of", "answer"),
    [
        (NOVA, {"images": [], "error": "All of the generated images have been blocked by our content filters."}),
        (VERTEX, {"predictions": [{"raiFilteredReason": "blocked by safety settings"}]}),
        (VERTEX, {}),
    ],
)
def test_what_filters_leave_nothing_of_is_a_refusal(of: tuple[str, str], answer: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        answered(lane(of), answer)
    assert (caught.value.kind, caught.value.status) == (ErrorKind.CONTENT_POLICY, 400)


def test_what_filters_leave_is_given_and_charged() -> None:
    read, found = answered(lane(NOVA, n=3), {"images": ["AAAA"], "error": "Some of the images were blocked."})
    assert read.data is not None
    assert found.usage is not None
    assert (len(read.data), found.usage.images) == (1, 1)


@pytest.mark.parametrize(
    ("of", "body"),
    [
        (NOVA, b"<html>"),
        (NOVA, b"[]"),
        (NOVA, b"{}"),
        (NOVA, b'{"images":"x"}'),
        (VERTEX, b'{"predictions":"x"}'),
        (VERTEX, b'{"predictions":[{"bytesBase64Encoded":3}]}'),
    ],
)
def test_an_answer_that_is_none_is_the_providers_fault(of: tuple[str, str], body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(of).answer(body, "application/json")
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


@EACH
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"n": 0}, "n"),
        ({"size": "big"}, "size"),
        ({"size": 1024}, "size"),
        ({"response_format": "url"}, "response_format"),
        ({"style": "vivid"}, "style"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "webp"}, "output_format"),
        ({"stream": True}, "stream"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_wrong_or_cannot_be_had_is_named(of: tuple[str, str], body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(of, **body)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("body", [{"quality": "best"}, {"seed": -1}, {"negative_prompt": 3}, {"cfg_scale": "high"}])
def test_an_option_of_the_wrong_kind_is_named(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(NOVA, **body)
    assert (caught.value.status, caught.value.param) == (400, next(iter(body)))


def test_what_may_be_dropped_is_dropped_and_listed_but_never_a_stream() -> None:
    drop = {"drop_unsupported": True, "defaults": {"n": 2, "temperature": 1}}
    made = lane(VERTEX, drop, style="vivid", quality="hd", user="u-1")
    assert made.dropped == ("quality", "style", "temperature", "user")
    assert sent(made)["parameters"] == {"sampleCount": 2}
    with pytest.raises(GatewayError) as caught:
        lane(VERTEX, drop, stream=True)
    assert caught.value.param == "stream"


def test_who_makes_no_pictures_is_refused_with_the_reason() -> None:
    chat = call().refusal(deployment(("bedrock", "amazon.nova-pro-v1:0")))
    assert chat is not None
    assert chat.code == "unsupported_endpoint"
    unknown = call().refusal(deployment(("bedrock", "mine")))
    assert unknown is not None
    assert "base_model" in unknown.message
    native = call().refusal(deployment(("gemini", "gemini-2.5-flash-image")))
    assert native is not None
    assert "is not known to make pictures by a call of its own" in native.message
    for of in (NOVA, TITAN, VERTEX, GEMINI, ("openai", "gpt-image-1")):
        assert call().refusal(deployment(of)) is None


def test_errors_are_the_providers() -> None:
    blocked = b'{"message":"This request has been blocked by our content filters."}'
    error = lane(NOVA).error(400, {"x-amzn-errortype": "ValidationException"}, blocked)
    assert error.kind is ErrorKind.CONTENT_POLICY
    assert lane(VERTEX).error(429, {}, b'{"error":{"status":"RESOURCE_EXHAUSTED"}}').kind is ErrorKind.RATE_LIMITED
