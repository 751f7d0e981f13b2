"""How hard to think (translation case 11)."""

import pytest
from tests.wire.gemini.judge import BUDGET, LEVEL, ask, config, encoded, refused, target

from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.neutral import (
    Reasoning,
)


class TestThinking:
    @pytest.mark.parametrize(
        ("profile", "asked", "wanted"),
        [
            (LEVEL, Reasoning(effort="low"), {"thinkingLevel": "LOW", "includeThoughts": True}),
            (LEVEL, Reasoning(effort="minimal"), {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
            (LEVEL, Reasoning(effort="high", display="omitted"), {"thinkingLevel": "HIGH"}),
            (LEVEL, Reasoning(enabled=True, adaptive=True), {"includeThoughts": True}),
            (BUDGET, Reasoning(effort="medium"), {"thinkingBudget": 8192, "includeThoughts": True}),
            (BUDGET, Reasoning(budget_tokens=2000), {"thinkingBudget": 2000, "includeThoughts": True}),
            (BUDGET, Reasoning(enabled=True, adaptive=True), {"thinkingBudget": -1, "includeThoughts": True}),
            (BUDGET, Reasoning(enabled=False), {"thinkingBudget": 0}),
            (BUDGET, Reasoning(effort="none"), {"thinkingBudget": 0}),
            (ModelProfile(thinking="none"), Reasoning(effort="none"), None),
        ],
    )
    def test_case_11_budget_or_level(self, profile: ModelProfile, asked: Reasoning, wanted: JsonObject | None) -> None:
        assert config(ask(reasoning=asked), target(profile)).get("thinkingConfig") == wanted

    @pytest.mark.parametrize(
        ("asked", "level", "report"),
        [
            (Reasoning(effort="xhigh"), "HIGH", "reasoning_effort=high"),
            (Reasoning(effort="max"), "HIGH", "reasoning_effort=high"),
            (Reasoning(budget_tokens=1024), "LOW", "thinking.budget_tokens=thinkingLevel:low"),
            (Reasoning(budget_tokens=4096), "MEDIUM", "thinking.budget_tokens=thinkingLevel:medium"),
            (Reasoning(budget_tokens=16000), "HIGH", "thinking.budget_tokens=thinkingLevel:high"),
        ],
    )
    def test_case_11_what_has_no_equal_is_mapped_and_reported(self, asked: Reasoning, level: str, report: str) -> None:
        how, body = encoded(ask(reasoning=asked), target(LEVEL))
        assert body["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level and how.emulated == (report,)

    def test_case_11_an_efforts_budget_leaves_half_of_the_cap_and_a_clients_own_must_fit(self) -> None:
        asked = ask(reasoning=Reasoning(effort="high"), max_tokens=4000)
        assert config(asked, target(BUDGET))["thinkingConfig"]["thinkingBudget"] == 2000
        error = refused(ask(reasoning=Reasoning(budget_tokens=4000), max_tokens=4000), target(BUDGET))
        assert error.param == "thinking.budget_tokens"

    @pytest.mark.parametrize(
        ("profile", "asked"),
        [
            (LEVEL, Reasoning(effort="none")),
            (LEVEL, Reasoning(enabled=False)),
            (ModelProfile(thinking="none"), Reasoning(effort="low")),
            (ModelProfile(thinking="always"), Reasoning(effort="low")),
        ],
    )
    def test_case_11_what_a_model_cannot_do_is_an_error_or_reported(self, profile: ModelProfile, asked: Reasoning) -> None:
        assert refused(ask(reasoning=asked), target(profile)).param == "reasoning_effort"
        how, body = encoded(ask(reasoning=asked), target(profile, drop_unsupported=True))
        assert how.dropped == ("reasoning_effort",) and "thinkingConfig" not in body.get("generationConfig", {})

    def test_case_11_an_unknown_effort_is_a_400_that_lists_the_known(self) -> None:
        assert "minimal, low" in refused(ask(reasoning=Reasoning(effort="huge"))).message
