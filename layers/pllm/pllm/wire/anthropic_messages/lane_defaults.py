"""A deployment's configured defaults, laid into a Messages body where the client is silent."""

from collections.abc import Callable, Mapping
from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.anthropic_messages.thinking import Plan, fit_tokens, plan_thinking
from pllm.wire.lane import Target
from pllm.wire.neutral import Reasoning, Request

_TIERS = {"auto": "auto", "default": "standard_only"}


def _same(value: Any) -> Any:
    return value


# OpenAI Chat's name of a default -> the Messages field it fills, and how its value reads there.
_FILLS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "max_tokens": ("max_tokens", int),
    "max_completion_tokens": ("max_tokens", int),
    "temperature": ("temperature", lambda value: min(float(value), 1.0)),
    "top_p": ("top_p", float),
    "top_k": ("top_k", int),
    "stop": ("stop_sequences", lambda value: [value] if isinstance(value, str) else list(value)),
    "user": ("metadata", lambda value: {"user_id": value}),
    "service_tier": ("service_tier", lambda value: _TIERS.get(value, value)),
}

FOREIGN_DEFAULTS = frozenset(
    {
        "n",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "parallel_tool_calls",
        "response_format",
        "verbosity",
        "store",
    }
)
"""Defaults of OpenAI's that no Messages field can hold."""


def lay_defaults(body: JsonObject, target: Target) -> tuple[JsonObject, frozenset[str]]:
    """A copy of `body` with the defaults filled in, and the names of those that were used. Mandatory max_tokens gets the
    model's own default where nobody says it. Names that are not OpenAI's are taken for Anthropic's own fields."""
    edited, used = dict(body), set()
    for spelled, value in target.defaults.items():
        if spelled == "reasoning_effort" or spelled in FOREIGN_DEFAULTS:
            continue
        name, convert = _FILLS.get(spelled, (spelled, _same))
        if edited.get(name) is None:
            edited[name] = convert(value)
            used.add(spelled)
    plan = Plan()
    effort = target.defaults.get("reasoning_effort")
    if effort is not None and edited.get("thinking") is None and edited.get("output_config") is None:
        plan = _default_thinking(str(effort), edited, target)
        used.add("reasoning_effort")
    if edited.get("max_tokens") is None or plan.budget_tokens:
        asked = edited.get("max_tokens")
        request = Request("", (), max_tokens=asked if isinstance(asked, int) else None, reasoning=Reasoning())
        edited["max_tokens"], plan = fit_tokens(request, target.profile, plan, Report(target))
    if plan.config:
        edited["thinking"] = plan.config
    if plan.effort:
        edited["output_config"] = {"effort": plan.effort}
    return edited, frozenset(used)


def _default_thinking(effort: str, edited: JsonObject, target: Target) -> Plan:
    """A default gives way where thinking would clash with what the client did say."""
    choice = edited.get("tool_choice")
    forced = isinstance(choice, dict) and choice.get("type") in ("any", "tool")
    if edited.get("temperature", 1) != 1 or edited.get("top_k") is not None:
        return Plan()
    asked = Request("", (), reasoning=Reasoning(effort=effort))
    report = Report(target, frozenset({"reasoning_effort"}))
    return plan_thinking(asked, target.profile, (), report, forced_tool=forced)
