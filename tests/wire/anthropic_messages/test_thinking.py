"""How a Claude model is asked to think, and what gives way: case 11, with 10 and 24 where they meet it."""

import json
from typing import Any

import pytest
from tests.wire.anthropic_messages.judge import ADAPTIVE, BUDGET, ask, assistant, encoded, sent, target, user

from pllm.core.errors import GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.neutral import Reasoning, Request, Text, Thinking, Tool, ToolCall, ToolChoice, ToolResult

ALWAYS = ModelProfile(thinking="always", can_disable_thinking=False)
NEVER = ModelProfile(thinking="none")
TOOL = Tool("f")


def refused(request: Request, profile: ModelProfile) -> str | None:
    with pytest.raises(GatewayError) as caught:
        encoded(request, target(profile))
    assert caught.value.status == 400
    return caught.value.param


def effort(name: str, **fields: Any) -> Request:
    return ask(reasoning=Reasoning(effort=name), **fields)


@pytest.mark.parametrize(
    ("name", "budget"), [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16384), ("xhigh", 32768)]
)
def test_case_11_an_effort_becomes_a_budget_below_max_tokens(name: str, budget: int) -> None:
    body = sent(effort(name), target(BUDGET))
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert body["max_tokens"] > budget
    assert encoded(effort(name), target(BUDGET)).emulated == ("reasoning_effort",)


@pytest.mark.parametrize("name", ["low", "medium", "high", "xhigh", "max"])
def test_case_11_an_effort_stays_an_effort_on_adaptive_models(name: str) -> None:
    body = sent(effort(name), target(ADAPTIVE))
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": name})


def test_case_11_minimal_is_the_least_an_adaptive_model_has_and_is_reported() -> None:
    result = encoded(effort("minimal"), target(ADAPTIVE))
    assert json.loads(result.request.body)["output_config"] == {"effort": "low"}
    assert result.emulated == ("reasoning_effort",)


def test_case_11_a_budget_becomes_the_nearest_effort_on_adaptive_models() -> None:
    request = ask(reasoning=Reasoning(True, budget_tokens=5000), max_tokens=9000)
    result = encoded(request, target(ADAPTIVE))
    assert json.loads(result.request.body)["output_config"] == {"effort": "medium"}
    assert result.emulated == ("thinking.budget_tokens",)


def test_case_11_an_unknown_model_gets_what_the_client_said() -> None:
    assert sent(ask(reasoning=Reasoning(True, budget_tokens=2000), max_tokens=4000))["thinking"] == {
        "type": "enabled",
        "budget_tokens": 2000,
    }
    adaptive = sent(ask(reasoning=Reasoning(True, adaptive=True, display="summarized")))
    assert adaptive["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_case_11_an_efforts_budget_gives_way_to_the_clients_cap_which_is_raised_only_when_it_must_be() -> None:
    body = sent(effort("high", max_tokens=4000), target(BUDGET))
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (3200, 4000)
    tight = encoded(effort("high", max_tokens=500), target(BUDGET))
    body = json.loads(tight.request.body)
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (1024, 1524)
    assert tight.emulated == ("reasoning_effort", "max_tokens")


def test_case_11_a_clients_own_budget_must_fit() -> None:
    asked = Reasoning(True, budget_tokens=4000)
    assert refused(ask(reasoning=asked, max_tokens=4000), BUDGET) == "thinking.budget_tokens"
    assert refused(ask(reasoning=Reasoning(True, budget_tokens=1023), max_tokens=4000), BUDGET) == "thinking.budget_tokens"
    assert sent(ask(reasoning=asked, max_tokens=4001), target(BUDGET))["max_tokens"] == 4001


@pytest.mark.parametrize("off", [Reasoning(effort="none"), Reasoning(enabled=False)])
def test_case_11_thinking_is_switched_off_where_it_can_be_and_refused_where_not(off: Reasoning) -> None:
    assert sent(ask(reasoning=off), target(ADAPTIVE))["thinking"] == {"type": "disabled"}
    assert "thinking" not in sent(ask(reasoning=off), target(NEVER))
    assert refused(ask(reasoning=off), ALWAYS) == "reasoning_effort"
    assert refused(effort("minimal"), ModelProfile(thinking="adaptive", can_disable_thinking=False)) == "reasoning_effort"


def test_case_11_models_that_cannot_think_or_cannot_be_told_refuse_or_drop_by_name() -> None:
    for profile in (NEVER, ALWAYS):
        assert refused(effort("high"), profile) == "reasoning_effort"
        result = encoded(effort("high"), target(profile, drop_unsupported=True))
        assert result.dropped == ("reasoning_effort",) and b"thinking" not in result.request.body
    assert refused(ask(reasoning=Reasoning(True), dialect="messages"), NEVER) == "thinking"


def test_case_11_an_effort_that_does_not_exist_is_a_400() -> None:
    for profile in (BUDGET, ADAPTIVE):
        assert refused(effort("heroic"), profile) == "reasoning_effort"


def test_case_11_a_messages_clients_effort_without_thinking_stays_without() -> None:
    body = sent(ask(reasoning=Reasoning(effort="low"), dialect="messages"), target(ADAPTIVE))
    assert body["output_config"] == {"effort": "low"} and "thinking" not in body
    off = sent(ask(reasoning=Reasoning(False, effort="low"), dialect="messages"), target(ADAPTIVE))
    assert (off["output_config"], off["thinking"]) == ({"effort": "low"}, {"type": "disabled"})


@pytest.mark.parametrize(("field", "value"), [("temperature", 0.2), ("top_p", 0.5), ("top_k", 10)])
def test_case_24_sampling_is_limited_while_thinking(field: str, value: float) -> None:
    assert refused(effort("low", **{field: value}), BUDGET) == field
    result = encoded(effort("low", **{field: value}), target(BUDGET, drop_unsupported=True))
    assert field in result.dropped and field not in json.loads(result.request.body)
    fine = sent(effort("low", temperature=1.0, top_p=0.97), target(BUDGET))
    assert (fine["temperature"], fine["top_p"]) == (1.0, 0.97)


def test_case_10_a_forced_tool_excludes_a_budget_but_not_adaptive_thinking() -> None:
    forced = effort("low", tools=(TOOL,), tool_choice=ToolChoice("required"))
    assert refused(forced, BUDGET) == "reasoning_effort"
    result = encoded(forced, target(BUDGET, drop_unsupported=True))
    assert result.dropped == ("reasoning_effort",) and b'"thinking"' not in result.request.body
    adaptive = sent(forced, target(ADAPTIVE))
    assert (adaptive["thinking"]["type"], adaptive["tool_choice"]["type"]) == ("adaptive", "any")


def test_case_10_a_budgeted_tool_loop_without_its_thinking_goes_on_without_and_says_so() -> None:
    def loop(*first: Thinking) -> Request:
        calling = assistant(*first, ToolCall("c", "f"))
        answer = user(ToolResult("c", (Text("1"),)))
        return ask(user("a"), calling, answer, tools=(TOOL,), reasoning=Reasoning(effort="low"))

    result = encoded(loop(), target(BUDGET))
    assert "thinking" not in json.loads(result.request.body) and result.dropped == ("reasoning_effort",)
    kept = sent(loop(Thinking("hm", "sig", origin="anthropic")), target(BUDGET))
    assert kept["thinking"]["type"] == "enabled"
    assert sent(loop(), target(ADAPTIVE))["thinking"]["type"] == "adaptive"


def test_case_09_a_thinking_model_takes_no_prefill() -> None:
    request = ask(user("a"), assistant("b"), reasoning=Reasoning(effort="low"))
    assert refused(request, ADAPTIVE) == "messages[1]"
