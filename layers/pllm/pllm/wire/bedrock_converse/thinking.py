"""How hard to think, in the words of the model behind Converse (case 11). Converse has none of its own: they all travel in
additionalModelRequestFields.

profile.thinking  what is sent
budget            thinking {type: enabled, budget_tokens}: Claude 3.7 to 4.5
adaptive          thinking {type: adaptive} and output_config {effort}: Claude 4.6 and newer
effort            reasoning_effort: gpt-oss and other models that take OpenAI's word
level             reasoningConfig {type: enabled, maxReasoningEffort}: Nova 2
always, none      nothing; asking for more or less is refused
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.ledger import Ledger
from pllm.wire.lane import Target
from pllm.wire.neutral import Message, Reasoning, Request, Thinking, ToolCall

MIN_BUDGET_TOKENS = 1024

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
_PARAM = {"chat": "reasoning_effort", "messages": "thinking", "responses": "reasoning"}
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})


@dataclass(frozen=True, slots=True)
class ThinkingFields:
    """`fields` join additionalModelRequestFields. `budget_tokens` is what thinking alone may use; None where the model has
    no such number. `on`: Claude thinks, with all that forbids."""

    fields: JsonObject
    budget_tokens: int | None = None
    on: bool = False


_SILENT = ThinkingFields({})


def thinking_fields(request: Request, turns: Sequence[Message], forced: bool, target: Target, ledger: Ledger) -> ThinkingFields:
    """Raises GatewayError(400) for what the model cannot do. `forced`: a tool must be called, which excludes thinking."""
    reasoning = request.reasoning
    if reasoning is None:
        return _SILENT
    param = _PARAM[request.dialect]
    if reasoning.enabled is False or reasoning.effort == "none":
        return _without(param, reasoning, target, ledger)
    match target.profile.thinking:
        case "none":
            ledger.refuse(param)
            return _SILENT
        case "always":
            if reasoning.effort is not None or reasoning.budget_tokens is not None:
                ledger.refuse(param, "it always thinks, and as much as it likes")
            return _SILENT
        case "effort":
            return _effort_fields(reasoning, param, ledger)
        case "level":
            effort = _effort(reasoning, param, ledger) or "medium"
            return ThinkingFields({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}})
        case _:
            return _claude(request, reasoning, turns, forced, target, ledger)


def _without(param: str, reasoning: Reasoning, target: Target, ledger: Ledger) -> ThinkingFields:
    """No thinking wanted. Claude does not think unless it is told to, others are told not to."""
    style = target.profile.thinking
    if style == "none":
        return _SILENT
    if style == "always" or not target.profile.can_disable_thinking:
        ledger.refuse(param, "its thinking cannot be switched off")
        return _SILENT
    if style == "effort":
        return ThinkingFields({"reasoning_effort": "none"})
    if style == "level":
        return ThinkingFields({"reasoningConfig": {"type": "disabled"}})
    if style == "adaptive":
        effort = reasoning.effort if reasoning.effort in _EFFORTS else None
        return ThinkingFields({"thinking": {"type": "disabled"}, **({"output_config": {"effort": effort}} if effort else {})})
    return _SILENT


def _effort_fields(reasoning: Reasoning, param: str, ledger: Ledger) -> ThinkingFields:
    effort = _effort(reasoning, param, ledger)
    return ThinkingFields({"reasoning_effort": effort}) if effort else _SILENT


def _effort(reasoning: Reasoning, param: str, ledger: Ledger) -> str | None:
    """The effort asked for, or the one that a token budget amounts to."""
    if reasoning.effort is not None or reasoning.budget_tokens is None:
        return reasoning.effort
    effort = "low" if reasoning.budget_tokens < 4096 else "medium" if reasoning.budget_tokens < 16_384 else "high"
    ledger.emulate(f"{param}={effort}")
    return effort


# --- Claude ---------------------------------------------------------------------------------------------------------


def _claude(
    request: Request, reasoning: Reasoning, turns: Sequence[Message], forced: bool, target: Target, ledger: Ledger
) -> ThinkingFields:
    param = _PARAM[request.dialect]
    asked = reasoning.enabled or reasoning.adaptive or reasoning.budget_tokens is not None or request.dialect != "messages"
    if target.profile.thinking == "adaptive":
        return _adaptive(reasoning, bool(asked), forced, param, request, ledger)
    if forced:
        ledger.refuse(param, "it cannot think when it is made to call a tool")
        return _SILENT
    if _calls_without_thought(turns):
        ledger.drop(param)
        return _SILENT
    budget = _budget(request, reasoning, param, ledger)
    thinking: JsonObject = {"type": "enabled", "budget_tokens": budget, **_display(reasoning)}
    _check_sampling(request, ledger)
    return ThinkingFields({"thinking": thinking}, budget, True)


def _adaptive(reasoning: Reasoning, asked: bool, forced: bool, param: str, request: Request, ledger: Ledger) -> ThinkingFields:
    """`asked`: thinking itself was asked for. A Messages client may set the effort of an answer and no thinking."""
    effort = _effort(reasoning, param, ledger)
    if effort == "minimal":
        effort = "low"
        ledger.emulate(f"{param}=low")
    fields: JsonObject = {"output_config": {"effort": effort}} if effort else {}
    if not asked:
        return ThinkingFields(fields)
    if forced:
        ledger.refuse(param, "it cannot think when it is made to call a tool")
        return _SILENT
    _check_sampling(request, ledger)
    return ThinkingFields({"thinking": {"type": "adaptive", **_display(reasoning)}, **fields}, None, True)


def _display(reasoning: Reasoning) -> JsonObject:
    return {"display": reasoning.display} if reasoning.display else {}


def _budget(request: Request, reasoning: Reasoning, param: str, ledger: Ledger) -> int:
    """A budget the client named is kept, or refused where it leaves no room to answer. One that we derive from an effort
    takes at most half of what the answer may have, and never less than the model's minimum."""
    cap = request.max_tokens
    if reasoning.budget_tokens is not None:
        if cap is not None and reasoning.budget_tokens >= cap:
            raise invalid(
                f"The thinking budget ({reasoning.budget_tokens} tokens) must be smaller than max_tokens ({cap}).", param
            )
        return max(reasoning.budget_tokens, MIN_BUDGET_TOKENS)
    wanted = _BUDGETS.get(reasoning.effort or "medium")
    if wanted is None:
        raise invalid(f"'{param}' is {reasoning.effort!r}; known efforts are none, {', '.join(_BUDGETS)}.", param)
    if cap is not None and cap <= MIN_BUDGET_TOKENS:
        raise invalid(f"Thinking takes at least {MIN_BUDGET_TOKENS} tokens: raise max_tokens ({cap}) above that.", "max_tokens")
    budget = wanted if cap is None else min(wanted, max(cap // 2, MIN_BUDGET_TOKENS))
    ledger.emulate(f"{param}={budget}")
    return budget


def _calls_without_thought(turns: Sequence[Message]) -> bool:
    """Whether the tool loop under way began without thinking, or its thinking got lost on the client's side.

    Claude refuses to think on in such a loop; the request is worth more than its thinking.
    """
    last = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if last is None or not any(isinstance(part, ToolCall) for part in last.parts):
        return False
    return not any(isinstance(part, Thinking) and (part.signature or part.redacted) for part in last.parts)


def _check_sampling(request: Request, ledger: Ledger) -> None:
    if request.temperature is not None and request.temperature != 1:
        ledger.refuse("temperature", "with thinking on it must be 1")
    if request.top_k is not None:
        ledger.refuse("top_k", "thinking is on")
    if request.top_p is not None and not 0.95 <= request.top_p <= 1:
        ledger.refuse("top_p", "with thinking on it must be between 0.95 and 1")


def allowed_sampling(request: Request, on: bool) -> tuple[float | None, float | None, int | None]:
    """(temperature, top_p, top_k) that may be sent beside thinking; what is not was refused or dropped before."""
    if not on:
        return request.temperature, request.top_p, request.top_k
    top_p = request.top_p if request.top_p is not None and 0.95 <= request.top_p <= 1 else None
    return (1.0 if request.temperature == 1 else None), top_p, None
