"""generationConfig: sampling, limits, thinking and the form of the answer (translation cases 11, 14, 19, 23, 24)."""

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.gemini.losses import Losses
from pllm.wire.gemini.structured import response_config
from pllm.wire.gemini.thinking import thinking_config
from pllm.wire.neutral import Request

MAX_STOP_SEQUENCES = 5
MAX_CANDIDATES = 8


def generation_config(request: Request, profile: ModelProfile, losses: Losses) -> JsonObject:
    """Only what the client or the deployment's defaults said. Raises GatewayError(400) for what is out of range."""
    config: JsonObject = {
        "candidateCount": _candidates(request.n),
        "stopSequences": _stop(request.stop, profile),
        "maxOutputTokens": request.max_tokens if request.max_tokens is not None else profile.default_max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "seed": request.seed,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "responseLogprobs": request.logprobs or None,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "thinkingConfig": thinking_config(request, profile, losses),
        **response_config(request.response_format, losses),
    }
    return {name: value for name, value in config.items() if value is not None}


def _candidates(n: int) -> int | None:
    if n == 1:
        return None
    if not 1 <= n <= MAX_CANDIDATES:
        raise invalid(f"n is {n}; Gemini gives 1 to {MAX_CANDIDATES} candidates.", "n")
    return n


def _stop(stop: tuple[str, ...], profile: ModelProfile) -> list[str] | None:
    limit = profile.max_stop_sequences if profile.max_stop_sequences is not None else MAX_STOP_SEQUENCES
    if len(stop) > limit:
        raise invalid(f"There are {len(stop)} stop sequences; this model takes at most {limit}.", "stop")
    return list(stop) or None
