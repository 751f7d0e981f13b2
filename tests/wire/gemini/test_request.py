"""The body as a whole: address, Gemini's own fields (translation case 23)."""

import pytest
from tests.wire.gemini.judge import ask, config, refused, sent, target

from pllm.wire.gemini import upstream
from pllm.wire.gemini.request import resource
from pllm.wire.neutral import (
    Reasoning,
)


class TestAddress:
    def test_the_path_names_model_and_method(self) -> None:
        plain = upstream.encode(ask(), target()).request
        assert (plain.path, plain.query, plain.stream) == ("models/gemini-x:generateContent", "", False)
        streamed = upstream.encode(ask(stream=True), target()).request
        assert (streamed.path, streamed.query) == ("models/gemini-x:streamGenerateContent", "alt=sse")

    @pytest.mark.parametrize(
        ("model", "path"),
        [
            ("gemini-2.5-flash@001", "models/gemini-2.5-flash@001"),
            ("tunedModels/mine", "tunedModels/mine"),
            ("endpoints/123", "endpoints/123"),
            ("a b?c", "models/a%20b%3Fc"),
        ],
    )
    def test_models_and_tuned_models(self, model: str, path: str) -> None:
        assert resource(model) == path


class TestExtras:
    def test_geminis_own_fields_pass_in_either_spelling_and_win(self) -> None:
        safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
        extras = {
            "safety_settings": safety,
            "cachedContent": "cachedContents/1",
            "generation_config": {"media_resolution": "MEDIA_RESOLUTION_LOW", "topK": 3},
            "extra_body": {"google": {"thinking_config": {"thinking_level": "low"}}},
        }
        body = sent(ask(extras=extras, top_k=9, reasoning=Reasoning(effort="high")))
        assert body["safetySettings"] == safety and body["cachedContent"] == "cachedContents/1"
        assert body["generationConfig"] == {
            "topK": 3,
            "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
        }

    def test_labels_are_vertexs(self) -> None:
        assert sent(ask(extras={"labels": {"cost_center": "a"}}), target(variant="vertex"))["labels"] == {"cost_center": "a"}
        assert refused(ask(extras={"labels": {}}), target(variant="gemini")).param == "labels"

    def test_a_field_of_the_wrong_type_is_a_400(self) -> None:
        assert refused(ask(extras={"labels": 3})).param == "labels"
        assert refused(ask(extras={"modalities": "text"})).param == "modalities"

    def test_modalities(self) -> None:
        assert config(ask(extras={"modalities": ["text", "image"]})) == {"responseModalities": ["TEXT", "IMAGE"]}
        assert config(ask(extras={"modalities": ["text"]})) == {}

    def test_configured_defaults_reach_them(self) -> None:
        assert sent(ask(), target(defaults={"cachedContent": "c", "temperature": 0.5}))["cachedContent"] == "c"
