"""How much a call may use, and what one has used whose provider did not say: the stream broke, or its client left.

Of two wrong figures the larger is taken, never more than was set aside for the call: what is not known must not let anybody
spend more than they may.
"""

from dataclasses import replace

from pllm.call import Call
from pllm.core.deployment import Deployment
from pllm.core.limit_estimate import InputSize, Most, measure, most_tokens
from pllm.core.record import RequestRecord
from pllm.relay import note_usage
from pllm.wire.neutral import Usage
from pllm.wire.produced import Produced

_UNSEEN_TOKENS = 32
"""What no text shows (a turn's end, a refusal) or was made and still on its way when a stream broke."""

_CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def size_of(call: Call) -> InputSize:
    """Walks the whole body: only for those who need to know."""
    return replace(measure(call.body), audio_bytes=call.form_bytes) if call.form_bytes else measure(call.body)


def most_of(call: Call, size: InputSize, deployment: Deployment) -> Most:
    """The most tokens that `deployment` may use for a call of this size."""
    choices = call.body.get("n")
    profile = deployment.profile
    return most_tokens(
        size,
        max_tokens=next((value for name in _CAPS if isinstance(value := call.body.get(name), int)), None),
        default_max_tokens=profile.default_max_tokens,
        max_input_tokens=profile.max_input_tokens,
        max_output_tokens=profile.max_output_tokens,
        choices=choices if isinstance(choices, int) and choices > 0 else 1,
    )


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
    reasoning = answer if hidden and (deployment.profile.prices.reasoning or 0) > (deployment.profile.prices.output or 0) else 0
    used = replace(told, output=max(answer, told.output), reasoning=max(reasoning, told.reasoning))
    note_usage(record, used, record.finish)
    record.estimated = True
