"""Bedrock's own request fields under either spelling, and case 23: what Converse has no word for."""

from typing import Any

import pytest
from tests.wire.bedrock_converse.judge import CLAUDE_45, HELLO, sent, target

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.bedrock_converse import upstream
from pllm.wire.neutral import Reasoning, Request, ResponseFormat, Tool, ToolChoice

GUARDRAIL = {"guardrailIdentifier": "abc123", "guardrailVersion": "DRAFT", "trace": "enabled"}


def asked(**fields: Any) -> Request:
    return Request("m", HELLO, **{"max_tokens": 9, **fields})


def body_of(**fields: Any) -> dict[str, Any]:
    return sent(asked(**fields), target(CLAUDE_45))


NATIVE = {
    "guardrailConfig": GUARDRAIL,
    "performanceConfig": {"latency": "optimized"},
    "additionalModelRequestFields": {"inferenceConfig": {"topK": 3}},
    "additionalModelResponseFieldPaths": ["/usage"],
    "requestMetadata": {"team": "search"},
    "serviceTier": {"type": "flex"},
}


def test_bedrocks_fields_pass_in_converses_spelling() -> None:
    body = body_of(extras=NATIVE)
    assert {name: body[name] for name in NATIVE} == NATIVE


def test_bedrocks_fields_pass_in_snake_case() -> None:
    snake = {
        "guardrail_config": {"guardrail_identifier": "abc123", "guardrail_version": "DRAFT", "trace": "enabled"},
        "performance_config": {"latency": "optimized"},
        "additional_model_request_fields": {"inferenceConfig": {"topK": 3}},
        "additional_model_response_field_paths": ["/usage"],
        "request_metadata": {"team": "search"},
    }
    body = body_of(extras=snake, service_tier="flex")
    assert {name: body[name] for name in NATIVE} == NATIVE


def test_bedrocks_fields_pass_inside_an_extra_body_nobody_unpacked() -> None:
    assert body_of(extras={"extra_body": {"guardrailConfig": GUARDRAIL}})["guardrailConfig"] == GUARDRAIL


def test_a_deployments_defaults_may_hold_them_and_the_client_wins() -> None:
    defaults = {"guardrailConfig": GUARDRAIL, "performanceConfig": {"latency": "optimized"}}
    request = asked(extras={"performanceConfig": {"latency": "standard"}})
    body = sent(request, target(CLAUDE_45, defaults=defaults))
    assert (body["guardrailConfig"], body["performanceConfig"]) == (GUARDRAIL, {"latency": "standard"})


def test_the_callers_model_fields_win_over_ours() -> None:
    extras = {"additionalModelRequestFields": {"top_k": 1, "anthropic_beta": ["x"]}}
    assert body_of(top_k=20, extras=extras)["additionalModelRequestFields"] == {"top_k": 1, "anthropic_beta": ["x"]}


def test_guardrail_settings_of_streams_are_left_out_of_buffered_calls() -> None:
    extras = {"guardrailConfig": {**GUARDRAIL, "streamProcessingMode": "async"}}
    assert body_of(extras=extras)["guardrailConfig"] == GUARDRAIL
    assert body_of(extras=extras, stream=True)["guardrailConfig"] == extras["guardrailConfig"]


def test_what_no_client_dialect_can_say_in_the_answer_is_reported() -> None:
    asked_for = {"additionalModelResponseFieldPaths": ["/usage"], "guardrailConfig": GUARDRAIL}
    encoded = upstream.encode(asked(extras=asked_for), target(CLAUDE_45))
    assert encoded.dropped == ("additionalModelResponseFields", "guardrailConfig.trace")
    assert upstream.encode(asked(extras={"guardrailConfig": {"trace": "disabled"}}), target(CLAUDE_45)).dropped == ()


def test_a_managed_prompt_brings_its_own_inference_settings() -> None:
    variables = {"promptVariables": {"topic": {"text": "bees"}}}
    assert "inferenceConfig" not in body_of(max_tokens=None, extras=variables)
    assert body_of(max_tokens=5, extras=variables)["inferenceConfig"] == {"maxTokens": 5}


@pytest.mark.parametrize(
    "extras", [{"guardrailConfig": "abc"}, {"additional_model_response_field_paths": {"a": 1}}, {"request_metadata": []}]
)
def test_a_field_of_the_wrong_shape_is_a_400_in_the_callers_spelling(extras: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(asked(extras=extras), target(CLAUDE_45))
    assert caught.value.param == next(iter(extras))


# --- Tier, user, metadata ---


@pytest.mark.parametrize(
    ("tier", "sent_tier"), [("auto", None), ("default", {"type": "default"}), ("priority", {"type": "priority"})]
)
def test_a_service_tier_is_bedrocks_own(tier: str, sent_tier: Any) -> None:
    assert body_of(service_tier=tier).get("serviceTier") == sent_tier


def test_case_23_a_tier_bedrock_does_not_have_is_a_400() -> None:
    with pytest.raises(GatewayError, match=r"no tier 'scale'\. Remove it") as caught:
        upstream.encode(asked(service_tier="scale"), target(CLAUDE_45))
    assert caught.value.param == "service_tier"


def test_user_and_metadata_become_request_metadata() -> None:
    body = body_of(user="user-7", metadata={"trip": "a/b"}, extras={"requestMetadata": {"trip": "kept"}})
    assert body["requestMetadata"] == {"trip": "kept", "user": "user-7"}


def test_metadata_bedrock_would_refuse_is_dropped_and_reported() -> None:
    many = {f"k{n}": "v" for n in range(17)}
    encoded = upstream.encode(asked(user="ü" * 300, metadata={**many, "x": 3}), target(CLAUDE_45))
    assert encoded.dropped == ("user", "metadata.k16", "metadata.x")
    assert len(sent(asked(metadata=many), target(CLAUDE_45))["requestMetadata"]) == 16


# --- Case 23 ---

UNSUPPORTED: list[tuple[str, dict[str, Any]]] = [
    ("n", {"n": 2}),
    ("seed", {"seed": 0}),
    ("logprobs", {"logprobs": True}),
    ("top_logprobs", {"top_logprobs": 2}),
    ("logit_bias", {"logit_bias": {"5": 1.0}}),
    ("presence_penalty", {"presence_penalty": 0.1}),
    ("frequency_penalty", {"frequency_penalty": -0.1}),
    ("verbosity", {"verbosity": "low"}),
    ("prediction", {"extras": {"prediction": {"type": "content"}}}),
    ("messages[0].content[0].custom", {"extras": {"messages[0].content[0].custom": 1}}),
    ("store", {"extras": {"store": True}}),
    ("context_management", {"extras": {"context_management": {}}}),
]


@pytest.mark.parametrize(("param", "fields"), UNSUPPORTED)
def test_case_23_a_parameter_without_a_word_is_a_400_naming_it_and_the_model(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(asked(**fields), target(CLAUDE_45))
    assert (caught.value.kind, caught.value.param) == (ErrorKind.UNSUPPORTED_PARAMETER, param)
    assert "public-name" in caught.value.message


@pytest.mark.parametrize(("param", "fields"), UNSUPPORTED)
def test_case_23_by_configuration_it_is_dropped_and_listed(param: str, fields: dict[str, Any]) -> None:
    encoded = upstream.encode(asked(**fields), target(CLAUDE_45, drop=True))
    assert encoded.dropped == (param,)
    assert encoded.request.body == upstream.encode(asked(), target(CLAUDE_45)).request.body


def test_case_23_values_that_say_nothing_are_passed_over() -> None:
    silent = asked(
        n=1,
        logprobs=False,
        presence_penalty=0.0,
        logit_bias={},
        verbosity="medium",
        extras={"store": False, "prediction": None},
    )
    encoded = upstream.encode(silent, target(CLAUDE_45))
    assert (encoded.dropped, encoded.emulated) == ((), ())


@pytest.mark.parametrize(
    ("refused", "fields", "param"),
    [
        ("temperature", {"temperature": 0.1}, "temperature"),
        ("max_completion_tokens", {"max_tokens": 5}, "max_tokens"),
        ("stop", {"stop": ("x",)}, "stop"),
        ("reasoning_effort", {"reasoning": Reasoning(effort="low")}, "reasoning"),
        ("response_format", {"response_format": ResponseFormat("json_object")}, "response_format"),
        ("tool_choice", {"tools": (Tool("f"),), "tool_choice": ToolChoice("required")}, "tool_choice"),
    ],
)
def test_case_23_what_a_profile_says_its_model_refuses_is_a_400_here(refused: str, fields: dict[str, Any], param: str) -> None:
    profile = ModelProfile(refused_params=frozenset({refused}))
    with pytest.raises(GatewayError) as caught:
        upstream.encode(asked(**fields), target(profile))
    assert caught.value.param == param
    assert param in upstream.encode(asked(**fields), target(profile, drop=True)).dropped


def test_anthropics_own_fields_reach_claude_from_a_messages_client() -> None:
    extras = {"context_management": {"edits": []}, "anthropic_beta": ["b"]}
    body = body_of(extras=extras, dialect="messages")
    assert body["additionalModelRequestFields"] == extras
