"""inferenceConfig: the output cap, sampling and stop sequences (cases 14 and 24)."""

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.ledger import Ledger
from pllm.wire.bedrock_converse.thinking import ThinkingFields, allowed_sampling
from pllm.wire.lane import Target
from pllm.wire.neutral import Request

DEFAULT_MAX_TOKENS = 4096
"""The output cap of a request that names none, for a model whose profile names none either. Without a cap Bedrock sets the
model's maximum aside from the quota for every request, and throttles."""

_ROOM_TO_THINK = 4
"""A model that decides for itself how much it thinks gets this many times the usual cap."""

MAX_STOP_SEQUENCES = 2500


def inference_config(
    request: Request, thinking: ThinkingFields, target: Target, ledger: Ledger
) -> tuple[JsonObject, int | None]:
    """(inferenceConfig, top_k). top_k has no place in Converse and goes to the model's own fields."""
    temperature, top_p, top_k = allowed_sampling(request, thinking.on)
    config: JsonObject = {"maxTokens": _max_tokens(request, thinking, target, ledger)}
    if temperature is not None:
        config["temperature"] = _temperature(temperature, ledger)
    if top_p is not None:
        if not 0 <= top_p <= 1:
            raise invalid(f"'top_p' is {top_p:g}; it must be between 0 and 1.", "top_p")
        if temperature is not None and not target.profile.supports_temperature_with_top_p:
            ledger.refuse("top_p", "it takes temperature or top_p, not both")
        else:
            config["topP"] = top_p
    if request.stop:
        config["stopSequences"] = _stop(request.stop, target)
    return config, top_k


def _max_tokens(request: Request, thinking: ThinkingFields, target: Target, ledger: Ledger) -> int:
    if request.max_tokens is not None:
        if request.max_tokens < 1:
            raise invalid(f"'max_tokens' is {request.max_tokens}; it must be at least 1.", "max_tokens")
        return request.max_tokens
    profile = target.profile
    if profile.default_max_tokens is not None:
        cap = profile.default_max_tokens
    else:
        cap = DEFAULT_MAX_TOKENS * (_ROOM_TO_THINK if thinking.fields and thinking.budget_tokens is None else 1)
    cap += thinking.budget_tokens or 0
    if profile.max_output_tokens is not None:
        cap = min(cap, profile.max_output_tokens)
    if thinking.budget_tokens is not None and thinking.budget_tokens >= cap:
        raise invalid(f"The thinking budget ({thinking.budget_tokens}) leaves nothing of the model's {cap} tokens.", "thinking")
    ledger.emulate(f"max_tokens={cap}")
    return cap


def _temperature(temperature: float, ledger: Ledger) -> float:
    """OpenAI's scale ends at 2, Converse's at 1: what is hotter is as hot as can be."""
    if temperature < 0:
        raise invalid(f"'temperature' is {temperature:g}; it must not be negative.", "temperature")
    if temperature > 1:
        ledger.emulate("temperature=1")
        return 1.0
    return temperature


def _stop(stop: tuple[str, ...], target: Target) -> list[str]:
    limit = target.profile.max_stop_sequences or MAX_STOP_SEQUENCES
    if len(stop) > limit:
        raise invalid(f"{len(stop)} stop sequences are too many for model {target.public_name!r}: at most {limit}.", "stop")
    for number, sequence in enumerate(stop):
        if not sequence:
            raise invalid(f"'stop[{number}]' is empty.", f"stop[{number}]")
        if not sequence.strip() and target.profile.thinking in ("budget", "adaptive"):
            raise invalid(f"'stop[{number}]' is only whitespace, which Claude does not take.", f"stop[{number}]")
    return list(stop)
