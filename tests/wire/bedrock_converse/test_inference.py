from typing import Any

import pytest
from tests.wire.bedrock_converse.judge import CLAUDE_45, CLAUDE_46, HELLO, operation, sent, target

from pllm.core.errors import GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.bedrock_converse import upstream
from pllm.wire.lane import Target
from pllm.wire.neutral import Reasoning, Request


def asked(**fields: Any) -> Request:
    return Request("m", HELLO, **fields)


def inference(request: Request, to: Target | None = None) -> dict[str, Any]:
    found: dict[str, Any] = sent(request, to or target(CLAUDE_45))["inferenceConfig"]
    return found


def refused(request: Request, to: Target | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(request, to or target(CLAUDE_45))
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("profile", "cap"),
    [
        (ModelProfile(), 4096),
        (ModelProfile(max_output_tokens=2048), 2048),
        (ModelProfile(max_output_tokens=64_000), 4096),
        (ModelProfile(default_max_tokens=10_000), 10_000),
        (ModelProfile(default_max_tokens=10_000, max_output_tokens=8192), 8192),
    ],
)
def test_case_24_an_unset_cap_is_set_within_the_models_and_reported(profile: ModelProfile, cap: int) -> None:
    assert inference(asked(), target(profile)) == {"maxTokens": cap}
    assert upstream.encode(asked(), target(profile)).emulated == (f"max_tokens={cap}",)


def test_case_24_a_model_that_decides_how_much_to_think_gets_more_room() -> None:
    assert inference(asked(reasoning=Reasoning(effort="high")), target(CLAUDE_46)) == {"maxTokens": 16_384}


def test_case_24_a_cap_is_sent_as_it_came_and_a_configured_one_fills_in() -> None:
    assert inference(asked(max_tokens=77)) == {"maxTokens": 77}
    assert inference(asked(), target(CLAUDE_45, defaults={"max_completion_tokens": 5})) == {"maxTokens": 5}
    assert refused(asked(max_tokens=0)).param == "max_tokens"


@pytest.mark.parametrize(("asked_for", "got"), [(0.0, 0.0), (1.0, 1.0), (1.5, 1.0), (2.0, 1.0)])
def test_case_24_temperature_is_clamped_to_converses_scale_and_reported(asked_for: float, got: float) -> None:
    request = asked(temperature=asked_for, max_tokens=9)
    assert inference(request)["temperature"] == got
    assert ("temperature=1" in upstream.encode(request, target(CLAUDE_45)).emulated) is (asked_for > 1)


def test_case_24_values_outside_every_scale_are_a_400() -> None:
    assert refused(asked(temperature=-0.1)).param == "temperature"
    assert refused(asked(top_p=1.1)).param == "top_p"


def test_case_24_temperature_with_top_p_is_a_400_where_the_model_takes_one() -> None:
    one = ModelProfile(supports_temperature_with_top_p=False)
    both = asked(temperature=0.5, top_p=0.5, max_tokens=9)
    assert refused(both, target(one)).param == "top_p"
    assert inference(both, target(one, drop=True)) == {"maxTokens": 9, "temperature": 0.5}
    assert inference(both, target(ModelProfile())) == {"maxTokens": 9, "temperature": 0.5, "topP": 0.5}


def test_top_k_travels_in_the_models_own_fields() -> None:
    assert sent(asked(top_k=20, max_tokens=9), target(CLAUDE_45))["additionalModelRequestFields"] == {"top_k": 20}


def test_case_14_stop_sequences_are_sent_and_the_matched_one_is_asked_for() -> None:
    body = sent(asked(stop=("END", "\n\nX"), max_tokens=9), target(CLAUDE_45))
    assert body["inferenceConfig"]["stopSequences"] == ["END", "\n\nX"]
    assert body["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    streamed = sent(asked(stop=("END",), max_tokens=9, stream=True), target(CLAUDE_45))
    assert streamed["additionalModelResponseFieldPaths"] == ["/delta/stop_sequence"]


def test_case_14_the_clients_own_response_paths_are_kept() -> None:
    asked_for = [f"/f{n}" for n in range(10)]
    full = asked(stop=("E",), max_tokens=9, extras={"additionalModelResponseFieldPaths": asked_for})
    assert sent(full, target(CLAUDE_45))["additionalModelResponseFieldPaths"] == asked_for


def test_case_14_too_many_stop_sequences_are_a_400_not_a_truncation() -> None:
    five = asked(stop=tuple("abcde"), max_tokens=9)
    assert "at most 4" in refused(five, target(ModelProfile(max_stop_sequences=4))).message
    assert len(inference(five)["stopSequences"]) == 5
    most = operation("Converse").input_shape.members["inferenceConfig"].members["stopSequences"].metadata["max"]
    assert refused(asked(stop=tuple(str(n) for n in range(most + 1)), max_tokens=9)).param == "stop"
    assert len(inference(asked(stop=tuple(str(n) for n in range(most)), max_tokens=9))["stopSequences"]) == most


@pytest.mark.parametrize("sequence", ["", " \n"])
def test_case_14_a_stop_sequence_claude_would_ignore_is_a_400(sequence: str) -> None:
    assert refused(asked(stop=("a", sequence), max_tokens=9)).param == "stop[1]"
