"""How hard to think, in Gemini's words: a token budget (2.5) or a level (3) (translation case 11).

The stated rules. An effort becomes Google's own figure for it, but never more than half of max_tokens, which at Gemini
includes thinking. A client's own budget must be below max_tokens. Effort and budget turned into one another are reported
as emulated where the exact value has no equal.
"""

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.gemini.losses import Losses
from pllm.wire.neutral import Reasoning, Request

_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_SMALLEST_BUDGET = 512
_DYNAMIC = -1
_FEWER_THAN = ((2049, "low"), (8193, "medium"))


def thinking_config(request: Request, profile: ModelProfile, losses: Losses) -> JsonObject | None:
    """generationConfig.thinkingConfig, None where the client said nothing. Raises 400 for what the model cannot do."""
    asked = request.reasoning
    if asked is None:
        return None
    off = asked.enabled is False or asked.effort == "none"
    if profile.thinking in ("none", "always"):
        _cannot_steer(profile, off, losses)
        return None
    if off:
        if not profile.can_disable_thinking:
            losses.refuse("reasoning_effort", "it always thinks; the least is reasoning_effort 'low'")
            return None
        return {"thinkingBudget": 0}
    amount = _amount(asked, request.max_tokens, profile, losses)
    if asked.display == "omitted":
        return amount or None
    return {**amount, "includeThoughts": True}


def _cannot_steer(profile: ModelProfile, off: bool, losses: Losses) -> None:
    if profile.thinking == "none" and not off:
        losses.refuse("reasoning_effort", "it does not think")
    elif profile.thinking == "always":
        losses.refuse("reasoning_effort", "how it thinks cannot be set")


def _amount(asked: Reasoning, max_tokens: int | None, profile: ModelProfile, losses: Losses) -> JsonObject:
    if asked.budget_tokens is not None:
        _check_budget(asked.budget_tokens, max_tokens)
        if profile.thinking != "level":
            return {"thinkingBudget": asked.budget_tokens}
        level = next((name for limit, name in _FEWER_THAN if asked.budget_tokens < limit), "high")
        losses.emulate(f"thinking.budget_tokens=thinkingLevel:{level}")
        return {"thinkingLevel": _LEVELS[level]}
    if asked.effort is not None:
        return _effort(asked.effort, max_tokens, profile, losses)
    return {"thinkingBudget": _DYNAMIC} if profile.thinking == "budget" else {}


def _check_budget(budget: int, max_tokens: int | None) -> None:
    if max_tokens is not None and budget >= max_tokens:
        what = f"The thinking budget ({budget}) must be below max_tokens ({max_tokens}), which includes it."
        raise invalid(what, "thinking.budget_tokens")


def _effort(effort: str, max_tokens: int | None, profile: ModelProfile, losses: Losses) -> JsonObject:
    known = "high" if effort in ("xhigh", "max") else effort
    if known not in _LEVELS:
        raise invalid(f"reasoning_effort {effort!r} is not one of none, {', '.join(_LEVELS)}, xhigh, max.", "reasoning_effort")
    if known != effort:
        losses.emulate(f"reasoning_effort={known}")
    if profile.thinking != "budget":
        return {"thinkingLevel": _LEVELS[known]}
    budget = _BUDGETS[known]
    if max_tokens is not None:
        budget = min(budget, max(max_tokens // 2, _SMALLEST_BUDGET))
    return {"thinkingBudget": budget}
