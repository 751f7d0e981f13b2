"""How a Claude model is asked to think, and what that does to the other parameters (cases 10, 11, 24).

Rules, all reported where they change what the client asked:
- A named effort becomes `output_config.effort` on models that think adaptively, a token budget on those that take one.
- A budget is at least 1,024 tokens. One made from an effort gives way to the client's max_tokens, down to 1,024; if not
  even that fits, max_tokens is raised by 1,024. A budget the client named itself must fit, or it is a 400.
- Thinking excludes prefill, temperature other than 1, top_k, and top_p under 0.95, and on a budget a tool that must be
  called: each a 400, or dropped.
- A budgeted tool loop whose last call came without its thinking cannot go on thinking: it goes on without, and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.neutral import Message, Reasoning, Request, Thinking, ToolCall, ToolResult

MIN_BUDGET_TOKENS = 1024
_BUDGET_OF_EFFORT = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 65536}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_PARAM = {"chat": "reasoning_effort", "responses": "reasoning.effort", "messages": "thinking"}
REASONING_PARAMS = frozenset(_PARAM.values())

UNKNOWN_MODEL_MAX_TOKENS = 4096
MOST_DEFAULT_TOKENS = 32_000


@dataclass(frozen=True, slots=True)
class Plan:
    """`config` is the `thinking` field, `effort` belongs into `output_config`, `budget_tokens` is 0 without a budget."""

    config: JsonObject | None = None
    effort: str | None = None
    budget_tokens: int = 0

    @property
    def thinks(self) -> bool:
        return self.config is not None and self.config["type"] != "disabled"


def plan_thinking(
    request: Request, profile: ModelProfile, turns: Sequence[Message], report: Report, *, forced_tool: bool
) -> Plan:
    """Raises GatewayError(400) for an effort this model does not have, unless it may be dropped."""
    reasoning = request.reasoning
    if reasoning is None:
        return Plan()
    param = _PARAM[request.dialect]
    if not profile.can_disable_thinking and (_is_off(reasoning) or reasoning.effort == "minimal"):
        report.unsupported(param, "it cannot be kept from thinking.")
        return Plan()
    if _is_off(reasoning):
        return Plan() if profile.thinking == "none" else Plan({"type": "disabled"}, _own_effort(request, reasoning, report))
    if profile.thinking in ("none", "always"):
        report.unsupported(param, "it does not think." if profile.thinking == "none" else "how it thinks cannot be set.")
        return Plan()
    if request.dialect == "messages" and reasoning.enabled is None:
        return Plan(effort=_effort(reasoning, report, param))
    if _is_budgeted(reasoning, profile):
        if forced_tool:
            report.unsupported(param, "it cannot think on a budget where a tool must be called.")
            return Plan()
        return _budgeted(reasoning, turns, report, param)
    return Plan(_config("adaptive", reasoning), _effort(reasoning, report, param))


def _is_off(reasoning: Reasoning) -> bool:
    return reasoning.enabled is False or reasoning.effort == "none"


def _own_effort(request: Request, reasoning: Reasoning, report: Report) -> str | None:
    """Anthropic's effort steers more than thinking: beside disabled thinking it stays."""
    return _effort(reasoning, report, "output_config.effort") if request.dialect == "messages" else None


def _is_budgeted(reasoning: Reasoning, profile: ModelProfile) -> bool:
    return profile.thinking == "budget" or (profile.thinking != "adaptive" and reasoning.budget_tokens is not None)


def _budgeted(reasoning: Reasoning, turns: Sequence[Message], report: Report, param: str) -> Plan:
    budget = reasoning.budget_tokens
    if budget is None:
        budget = _BUDGET_OF_EFFORT.get(reasoning.effort or "medium", 0)
        report.emulated(param)
    if budget < MIN_BUDGET_TOKENS:
        if reasoning.budget_tokens is None:
            raise _no_such_effort(reasoning.effort, param)
        raise invalid(f"A thinking budget must be at least {MIN_BUDGET_TOKENS} tokens.", "thinking.budget_tokens")
    if _loop_lost_its_thinking(turns):
        report.dropped(param)
        return Plan()
    return Plan({**_config("enabled", reasoning), "budget_tokens": budget}, None, budget)


def _config(kind: str, reasoning: Reasoning) -> JsonObject:
    return {"type": kind, "display": reasoning.display} if reasoning.display else {"type": kind}


def _effort(reasoning: Reasoning, report: Report, param: str) -> str | None:
    effort = reasoning.effort
    if effort == "minimal":
        report.emulated(param)
        return "low"
    if effort is None and reasoning.budget_tokens is not None:
        report.emulated("thinking.budget_tokens")
        budget = reasoning.budget_tokens
        return next((name for name in _EFFORTS if _BUDGET_OF_EFFORT[name] >= budget), "max")
    if effort is not None and effort not in (*_EFFORTS, "none"):
        raise _no_such_effort(effort, param)
    return None if effort == "none" else effort


def _no_such_effort(effort: str | None, param: str) -> Exception:
    return invalid(f"'{param}' has no {effort!r}: use none, minimal, {', '.join(_EFFORTS)}.", param)


def _loop_lost_its_thinking(turns: Sequence[Message]) -> bool:
    """Whether the history ends in tool results whose calls are not preceded by thinking."""
    if len(turns) < 2 or not any(isinstance(part, ToolResult) for part in turns[-1].parts):
        return False
    calling = turns[-2].parts
    return any(isinstance(part, ToolCall) for part in calling) and not isinstance(calling[0], Thinking)


def fit_tokens(request: Request, profile: ModelProfile, plan: Plan, report: Report) -> tuple[int, Plan]:
    """max_tokens, which Anthropic demands, and the plan with a budget that fits below it."""
    limit, budget = profile.max_output_tokens, plan.budget_tokens
    asked = request.max_tokens
    if asked is None:
        base = profile.default_max_tokens or min(limit or UNKNOWN_MODEL_MAX_TOKENS, MOST_DEFAULT_TOKENS)
        max_tokens = min(base + budget, limit) if limit else base + budget
    else:
        max_tokens = min(asked, limit) if limit else asked
        if max_tokens < asked:
            report.emulated("max_tokens")
    if not budget:
        return max_tokens, plan
    if request.reasoning is not None and request.reasoning.budget_tokens is not None:
        if budget >= max_tokens:
            raise invalid(f"The thinking budget ({budget}) must be below max_tokens ({max_tokens}).", "thinking.budget_tokens")
        return max_tokens, plan
    budget = min(budget, max(MIN_BUDGET_TOKENS, max_tokens * 4 // 5))
    if budget >= max_tokens:
        max_tokens += MIN_BUDGET_TOKENS
        report.emulated("max_tokens")
    return max_tokens, Plan({**(plan.config or {}), "budget_tokens": budget}, plan.effort, budget)


def sampling(request: Request, profile: ModelProfile, plan: Plan, report: Report) -> JsonObject:
    """temperature, top_p and top_k as far as this model, thinking or not, takes them. Temperatures over 1 are clamped."""
    fields: JsonObject = {}
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is not None:
            fields[name] = value
    temperature = fields.get("temperature")
    if temperature is not None and not 0 <= temperature <= 2:
        raise invalid("'temperature' must be between 0 and 2 (Anthropic's own range ends at 1).", "temperature")
    if plan.thinks:
        _limit_for_thinking(fields, report)
    elif temperature is not None and temperature > 1:
        fields["temperature"] = 1
        report.emulated("temperature")
    if not profile.supports_temperature_with_top_p and {"temperature", "top_p"} <= fields.keys():
        if fields["top_p"] != 1:
            report.unsupported("top_p", "it takes either temperature or top_p.")
        del fields["top_p"]
    return fields


def _limit_for_thinking(fields: JsonObject, report: Report) -> None:
    if fields.get("temperature", 1) != 1:
        report.unsupported("temperature", "while thinking it must be 1.")
        del fields["temperature"]
    if "top_k" in fields:
        report.unsupported("top_k", "it cannot be set while thinking.")
        del fields["top_k"]
    if fields.get("top_p", 1) < 0.95:
        report.unsupported("top_p", "while thinking it must be between 0.95 and 1.")
        del fields["top_p"]
