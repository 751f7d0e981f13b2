"""How much a call may use, and what one has used whose provider did not say: the stream broke, its client left, or it was
given up for another attempt.

Of two wrong figures the larger is taken, never more than was set aside for the call: what is not known must not let anybody
spend more than they may.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pllm.call import Call
from pllm.core.deployment import Deployment
from pllm.core.limit_estimate import FALLBACK_MAX_TOKENS, Demand, InputSize, Most, measure, most_tokens
from pllm.core.record import RequestRecord
from pllm.relay import note_usage
from pllm.wire.produced import Produced
from pllm.wire.usage import Usage

_UNSEEN_TOKENS = 32
"""What no text shows (a turn's end, a refusal) or was made and still on its way when a stream broke."""

# By the dialect: a field of another one bounds nothing, since nobody who answers looks at it.
_CAPS: Mapping[str, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
_EFFORTS = ("reasoning_effort", "reasoning", "thinking")
# The least and the most that an effort becomes, where a model takes a budget of tokens.
_SMALLEST_BUDGET = 1024
_LARGEST_BUDGET = 65_536
_CHOICES: Mapping[str, tuple[str, ...]] = {"chat": ("n",), "completions": ("n", "best_of")}


def size_of(call: Call) -> InputSize:
    """Walks the whole body: only for those who need to know."""
    return replace(measure(call.body), audio_bytes=call.form_bytes) if call.form_bytes else measure(call.body)


def most_of(call: Call, size: InputSize, deployment: Deployment) -> Most:
    """The most tokens that `deployment` may use for a call of this size."""
    profile = deployment.profile
    return most_tokens(
        size,
        max_tokens=_cap(call, deployment) if call.native is None else None,
        default_max_tokens=profile.default_max_tokens,
        max_input_tokens=profile.max_input_tokens,
        max_output_tokens=profile.max_output_tokens,
        choices=(_largest(call.body, _CHOICES.get(call.dialect, ())) or 1) * _prompts(call),
        demand=_demand(call, size, deployment),
    )


def _demand(call: Call, size: InputSize, deployment: Deployment) -> Demand:
    """Of pictures, the deployment's own `n` where the client names none. Where `n` may become as many calls (wire.fan_out),
    each of them reads the whole prompt."""
    if call.native is None:
        calls = (_largest(call.body, ("n",)) or 1) if call.dialect == "chat" and deployment.dialects[0] != "chat" else 1
        return Demand(inputs=calls, repeated_bytes=(calls - 1) * size.tokens())
    demand = call.native.demand
    usual = _largest(deployment.defaults, ("n",)) or 0
    return replace(demand, images=max(demand.images, usual)) if demand.images else demand


def _cap(call: Call, deployment: Deployment) -> int | None:
    """What the client wants at most, else the deployment's own default; with room for a thinking budget where one is made of
    an effort: translations add it on top, so that something is left to answer with."""
    cap = _largest(call.body, _CAPS[call.dialect]) or _largest(deployment.defaults, _CAPS["chat"])
    thinks = any(fields.get(name) is not None for fields in (call.body, deployment.defaults) for name in _EFFORTS)
    if deployment.profile.thinking != "budget" or not thinks:
        return cap
    return cap + _SMALLEST_BUDGET if cap else (deployment.profile.default_max_tokens or FALLBACK_MAX_TOKENS) + _LARGEST_BUDGET


def _largest(fields: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """Of the fields, None where none of them is a number that can bound anything: some servers take -1 for "without end"."""
    values = (fields.get(name) for name in names)
    return max((one for one in values if isinstance(one, int) and not isinstance(one, bool) and one > 0), default=None)


def _prompts(call: Call) -> int:
    """How many prompts a completion is asked for: a list of numbers is one, as tokens."""
    listed = call.body.get("prompt") if call.dialect == "completions" else None
    return sum(isinstance(one, str | list) for one in listed) or 1 if isinstance(listed, list) else 1


def note_estimate(record: RequestRecord, call: Call, deployment: Deployment, told: Usage | None, produced: Produced) -> None:
    """Completes what the provider told by what its stream has shown since. Where it told all there is, nothing is estimated.

    Where more was generated than is shown (models think in private), the whole answer that was set aside is charged.
    """
    if told is not None and told.prompt and record.finish and not produced.tokens and not produced.hidden:
        return
    most = most_of(call, size_of(call), deployment)
    told = told or Usage()
    if not told.prompt:
        told = replace(told, input=most.prompt, audio_input=most.audio)
    hidden = produced.hidden
    if hidden is None:
        hidden = deployment.profile.thinking != "none" and (produced.tokens > 0 or not told.output)
    answer = most.answer if hidden else min(told.output + produced.tokens + _UNSEEN_TOKENS, most.answer)
    note_usage(record, _completed(told, answer, deployment, hidden=hidden), record.finish)
    record.estimated = True


def note_given_up(record: RequestRecord, call: Call, deployment: Deployment) -> None:
    """What an attempt without an answer may have been billed for: its prompt and, where the model may have written unseen (a
    whole answer that was waited for, or thinking before a stream's first event), the whole answer that was set aside."""
    if not record.billable:
        return
    record.billable = False
    most = most_of(call, size_of(call), deployment)
    told = record.used if call.stream and isinstance(record.used, Usage) else Usage()
    if not told.prompt:
        told = replace(told, input=most.prompt, audio_input=most.audio)
    unseen = not call.stream or deployment.profile.thinking != "none"
    answer = most.answer if unseen else told.output
    used = _completed(told, answer, deployment, hidden=unseen and call.stream)
    pieces = most.demand
    used = replace(used, images=pieces.images, characters=pieces.characters, search_units=pieces.search_units)
    note_usage(record, used, None)
    record.estimated = True


def _completed(told: Usage, answer: int, deployment: Deployment, *, hidden: bool) -> Usage:
    """`answer` at the dearest that it can be: where it may be `hidden`, as thoughts."""
    prices = deployment.profile.prices
    reasoning = answer if hidden and (prices.reasoning or 0) > (prices.output or 0) else 0
    return replace(told, output=max(answer, told.output), reasoning=max(reasoning, told.reasoning))
