"""Case 11: every way a client asks for thinking, in the words of the model behind Converse."""

from typing import Any

import pytest
from tests.wire.bedrock_converse.judge import CLAUDE_45, CLAUDE_46, GPT_OSS, HELLO, LLAMA, NOVA_2, assistant, sent, target, user

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.bedrock_converse import upstream
from pllm.wire.neutral import Reasoning, Request, Text, Thinking, Tool, ToolCall, ToolChoice, ToolResult

ALWAYS = ModelProfile(thinking="always", can_disable_thinking=False, known=True)
TOOL = Tool("f")


def asked(reasoning: Reasoning, **fields: Any) -> Request:
    return Request("m", fields.pop("messages", HELLO), reasoning=reasoning, **fields)


def model_fields(request: Request, profile: ModelProfile) -> dict[str, Any]:
    found: dict[str, Any] = sent(request, target(profile)).get("additionalModelRequestFields", {})
    return found


def refused(request: Request, profile: ModelProfile) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(request, target(profile))
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("effort", "budget"), [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16_384), ("max", 32_000)]
)
def test_case_11_an_effort_becomes_a_budget_and_room_to_answer_is_added(effort: str, budget: int) -> None:
    body = sent(asked(Reasoning(effort=effort)), target(CLAUDE_45))
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": budget}}
    assert body["inferenceConfig"]["maxTokens"] == budget + 4096
    assert f"reasoning_effort={budget}" in upstream.encode(asked(Reasoning(effort=effort)), target(CLAUDE_45)).emulated


@pytest.mark.parametrize(("cap", "budget"), [(1025, 1024), (3000, 1500), (100_000, 16_384)])
def test_case_11_a_derived_budget_leaves_half_of_a_given_cap_to_the_answer(cap: int, budget: int) -> None:
    body = sent(asked(Reasoning(effort="high"), max_tokens=cap), target(CLAUDE_45))
    assert body["additionalModelRequestFields"]["thinking"]["budget_tokens"] == budget
    assert body["inferenceConfig"]["maxTokens"] == cap


def test_case_11_a_cap_without_room_to_think_is_a_400() -> None:
    assert refused(asked(Reasoning(effort="low"), max_tokens=1024), CLAUDE_45).param == "max_tokens"


def test_case_11_a_named_budget_is_kept_and_must_be_smaller_than_the_cap() -> None:
    named = Reasoning(True, budget_tokens=5000, display="omitted")
    fields = model_fields(asked(named, max_tokens=5001, dialect="messages"), CLAUDE_45)
    assert fields == {"thinking": {"type": "enabled", "budget_tokens": 5000, "display": "omitted"}}
    assert refused(asked(named, max_tokens=5000, dialect="messages"), CLAUDE_45).param == "thinking"


def test_case_11_an_unknown_effort_is_a_400_that_lists_the_known_ones() -> None:
    assert "minimal, low, medium" in refused(asked(Reasoning(effort="extreme")), CLAUDE_45).message


@pytest.mark.parametrize(
    ("reasoning", "fields"),
    [
        (Reasoning(effort="high"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (Reasoning(effort="minimal"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (Reasoning(True, budget_tokens=2000), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (Reasoning(True, adaptive=True, display="summarized"), {"thinking": {"type": "adaptive", "display": "summarized"}}),
    ],
)
def test_case_11_adaptive_models_decide_and_take_an_effort(reasoning: Reasoning, fields: dict[str, Any]) -> None:
    assert model_fields(asked(reasoning), CLAUDE_46) == fields


def test_case_11_a_messages_client_may_set_the_effort_without_thinking() -> None:
    fields = model_fields(asked(Reasoning(effort="low"), dialect="messages"), CLAUDE_46)
    assert fields == {"output_config": {"effort": "low"}}


def test_case_11_other_models_have_words_of_their_own() -> None:
    assert model_fields(asked(Reasoning(effort="high")), GPT_OSS) == {"reasoning_effort": "high"}
    assert model_fields(asked(Reasoning(effort="low")), NOVA_2) == {
        "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}
    }


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (8000, "medium"), (30_000, "high")])
def test_case_11_a_budget_becomes_the_nearest_effort_and_is_reported(budget: int, effort: str) -> None:
    request = asked(Reasoning(True, budget_tokens=budget), dialect="messages")
    assert model_fields(request, GPT_OSS) == {"reasoning_effort": effort}
    assert f"thinking={effort}" in upstream.encode(request, target(GPT_OSS)).emulated


@pytest.mark.parametrize(
    ("profile", "fields"),
    [
        (CLAUDE_45, {}),
        (CLAUDE_46, {"thinking": {"type": "disabled"}}),
        (NOVA_2, {"reasoningConfig": {"type": "disabled"}}),
        (ModelProfile(thinking="effort"), {"reasoning_effort": "none"}),
        (LLAMA, {}),
    ],
)
@pytest.mark.parametrize("reasoning", [Reasoning(False), Reasoning(effort="none")])
def test_case_11_no_thinking_is_asked_for_in_each_models_way(
    reasoning: Reasoning, profile: ModelProfile, fields: dict[str, Any]
) -> None:
    assert model_fields(asked(reasoning), profile) == fields


@pytest.mark.parametrize("profile", [GPT_OSS, ALWAYS])
def test_case_11_a_model_that_cannot_stop_thinking_is_an_error_not_a_shrug(profile: ModelProfile) -> None:
    error = refused(asked(Reasoning(effort="none")), profile)
    assert (error.kind, error.param) == (ErrorKind.UNSUPPORTED_PARAMETER, "reasoning_effort")


@pytest.mark.parametrize("profile", [LLAMA, ALWAYS])
def test_case_11_an_effort_for_a_model_that_takes_none_is_a_400_or_reported(profile: ModelProfile) -> None:
    assert refused(asked(Reasoning(effort="high"), dialect="responses"), profile).param == "reasoning"
    dropped = upstream.encode(asked(Reasoning(effort="high")), target(profile, drop=True))
    assert "reasoning_effort" in dropped.dropped


def test_case_11_thinking_that_happens_anyway_may_be_asked_for() -> None:
    assert model_fields(asked(Reasoning(True)), ALWAYS) == {}


@pytest.mark.parametrize(
    ("sampling", "param"), [({"temperature": 0.5}, "temperature"), ({"top_k": 5}, "top_k"), ({"top_p": 0.5}, "top_p")]
)
@pytest.mark.parametrize("profile", [CLAUDE_45, CLAUDE_46])
def test_case_11_sampling_that_thinking_excludes_is_a_400_or_dropped(
    sampling: dict[str, Any], param: str, profile: ModelProfile
) -> None:
    request = asked(Reasoning(effort="low"), **sampling)
    assert refused(request, profile).param == param
    body = sent(request, target(profile, drop=True))
    assert set(body["inferenceConfig"]) == {"maxTokens"}
    assert "top_k" not in body["additionalModelRequestFields"]


def test_case_11_sampling_that_thinking_allows_is_sent() -> None:
    body = sent(asked(Reasoning(effort="low"), temperature=1.0, top_p=0.97), target(CLAUDE_45))
    assert (body["inferenceConfig"]["temperature"], body["inferenceConfig"]["topP"]) == (1.0, 0.97)


@pytest.mark.parametrize("profile", [CLAUDE_45, CLAUDE_46])
def test_case_10_forced_tools_and_thinking_are_a_400_or_the_thinking_goes(profile: ModelProfile) -> None:
    request = asked(Reasoning(effort="low"), tools=(TOOL,), tool_choice=ToolChoice("required"))
    assert refused(request, profile).param == "reasoning_effort"
    body = sent(request, target(profile, drop=True))
    assert "additionalModelRequestFields" not in body
    assert body["toolConfig"]["toolChoice"] == {"any": {}}


def test_case_10_a_tool_loop_whose_thinking_got_lost_goes_on_without_and_says_so() -> None:
    """OpenAI clients do not send thinking back, and Claude refuses to think on in the middle of such a loop."""
    lost = (*HELLO, assistant(ToolCall("a", "f")), user(ToolResult("a", (Text("x"),))))
    request = asked(Reasoning(effort="low"), messages=lost, tools=(TOOL,))
    assert model_fields(request, CLAUDE_45) == {}
    assert "reasoning_effort" in upstream.encode(request, target(CLAUDE_45)).dropped
    kept = (*HELLO, assistant(Thinking("hm", "c2ln", origin="anthropic"), ToolCall("a", "f")), lost[2])
    assert "thinking" in model_fields(asked(Reasoning(effort="low"), messages=kept, tools=(TOOL,)), CLAUDE_45)


def test_case_11_a_budget_that_fills_the_models_whole_output_is_a_400() -> None:
    small = ModelProfile(thinking="budget", max_output_tokens=8192, known=True)
    assert "leaves nothing" in refused(asked(Reasoning(True, budget_tokens=8192)), small).message
