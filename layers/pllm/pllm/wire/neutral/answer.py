"""A whole answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pllm.wire.neutral.parts import Part
from pllm.wire.usage import Usage

FinishReason = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter", "refusal", "pause"]
"""Why generation ended. `stop_sequence` carries the matched text beside it; `pause` is Anthropic's pause_turn;
`refusal` is the model declining in its own words, `content_filter` a filter stepping in."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`logprobs` is OpenAI's object as it came."""

    parts: tuple[Part, ...]
    finish: FinishReason
    stop_sequence: str | None = None
    logprobs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A finished answer. `id` is the provider's; `created_s` is in epoch seconds where the provider says, else None."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created_s: int | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
