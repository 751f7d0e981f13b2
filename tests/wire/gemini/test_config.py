"""generationConfig and structured output (translation cases 14, 19, 23, 24)."""

from typing import Any

import pytest
from tests.wire.gemini.judge import BUDGET, DROP, LEVEL, LOOK, OBJECT, ask, config, encoded, refused, sent, target

from pllm.core.profile import ModelProfile
from pllm.wire.neutral import (
    Reasoning,
    ResponseFormat,
)


class TestGenerationConfig:
    def test_case_23_and_24_what_gemini_has_natively_keeps_its_value(self) -> None:
        asked = ask(
            n=2,
            stop=("a", "b"),
            max_tokens=7,
            temperature=1.5,
            top_p=0.5,
            top_k=40,
            seed=3,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            logprobs=True,
            top_logprobs=5,
        )
        assert config(asked) == {
            "candidateCount": 2,
            "stopSequences": ["a", "b"],
            "maxOutputTokens": 7,
            "temperature": 1.5,
            "topP": 0.5,
            "topK": 40,
            "seed": 3,
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "responseLogprobs": True,
            "logprobs": 5,
        }
        assert "generationConfig" not in sent(ask())

    def test_case_14_too_many_stop_sequences_are_a_400_and_not_cut(self) -> None:
        assert refused(ask(stop=tuple("abcdef"))).param == "stop"
        assert refused(ask(stop=("a", "b")), target(ModelProfile(max_stop_sequences=1))).param == "stop"

    def test_case_24_the_cap_comes_from_client_then_defaults_then_profile(self) -> None:
        profile = ModelProfile(default_max_tokens=30)
        assert config(ask(max_tokens=10), target(profile, defaults={"max_tokens": 20}))["maxOutputTokens"] == 10
        assert config(ask(), target(profile, defaults={"max_tokens": 20}))["maxOutputTokens"] == 20
        assert config(ask(), target(profile))["maxOutputTokens"] == 30

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"logit_bias": {"1": 2}}, "logit_bias"),
            ({"verbosity": "low"}, "verbosity"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"service_tier": "flex"}, "service_tier"),
            ({"extras": {"prediction": {}}}, "prediction"),
            ({"extras": {"extra_body": {"foo": 1}}}, "extra_body.foo"),
            ({"extras": {"store": True}}, "store"),
            ({"extras": {"modalities": ["text", "audio"]}}, "modalities"),
        ],
    )
    def test_case_23_what_gemini_lacks_is_a_400_by_name_or_dropped_and_listed(self, fields: dict[str, Any], param: str) -> None:
        error = refused(ask(**fields))
        assert error.param == param and "my-gemini" in error.message
        how, _ = encoded(ask(**fields), DROP)
        assert how.dropped == (param,)

    def test_case_23_the_profile_and_the_provider_may_refuse_more(self) -> None:
        narrow = target(ModelProfile(refused_params=frozenset({"temperature", "reasoning_effort"})))
        assert refused(ask(temperature=1.0), narrow).param == "temperature"
        assert refused(ask(reasoning=Reasoning(effort="low")), narrow).param == "reasoning_effort"
        assert sent(ask(), narrow)

    def test_case_23_more_candidates_than_there_are_is_a_400(self) -> None:
        assert refused(ask(n=9)).param == "n"

    def test_case_23_bookkeeping_is_left_out_and_reported_but_never_refused(self) -> None:
        how, _ = encoded(ask(user="u", metadata={"a": "b"}, extras={"prompt_cache_key": "k", "store": False}))
        assert how.dropped == ("user", "metadata", "prompt_cache_key", "store")

    def test_case_23_the_service_tier_is_a_field_or_a_header(self) -> None:
        assert sent(ask(service_tier="flex"), target(variant="gemini"))["serviceTier"] == "flex"
        how, body = encoded(ask(service_tier="priority"), target(variant="vertex"))
        assert how.request.headers == {"x-vertex-ai-llm-shared-request-type": "priority"} and "serviceTier" not in body
        assert "serviceTier" not in sent(ask(service_tier="auto"), target(variant="gemini"))


class TestStructuredOutput:
    WANTED = ResponseFormat("json_schema", OBJECT, "n")

    def test_case_19_native_where_there_is_one(self) -> None:
        how, body = encoded(ask(response_format=self.WANTED))
        assert body["generationConfig"]["responseMimeType"] == "application/json"
        assert body["generationConfig"]["responseSchema"]["properties"] == {"q": {"type": "STRING"}}
        assert how.emulated == () and how.hidden_tool is None

    def test_case_19_a_json_object_is_not_a_schema(self) -> None:
        assert config(ask(response_format=ResponseFormat("json_object"))) == {"responseMimeType": "application/json"}
        assert config(ask(response_format=ResponseFormat("text"))) == {}

    def test_case_20_maps_go_as_json_schema(self) -> None:
        schema = {"type": "object", "additionalProperties": {"type": "integer"}}
        assert config(ask(response_format=ResponseFormat("json_schema", schema)))["responseJsonSchema"] == schema

    def test_case_19_tools_and_a_schema_go_together_where_the_model_takes_both(self) -> None:
        how, body = encoded(ask(response_format=self.WANTED, tools=(LOOK,)), target(LEVEL))
        assert how.hidden_tool is None and "responseSchema" in body["generationConfig"]

    def test_case_19_without_a_schema_there_is_nothing_to_imitate(self) -> None:
        asked = ask(response_format=ResponseFormat("json_object"), tools=(LOOK,))
        assert refused(asked, target(BUDGET)).param == "response_format"
        how, _ = encoded(asked, target(BUDGET, drop_unsupported=True))
        assert how.dropped == ("response_format",) and how.hidden_tool is None
