"""A whole answer, and what it used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pllm.wire.neutral.parts import Part

FinishReason = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter", "refusal", "pause"]
"""Why generation ended. `stop_sequence` carries the matched text beside it; `pause` is Anthropic's pause_turn;
`refusal` is the model declining in its own words, `content_filter` a filter stepping in."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them. Input kinds are disjoint: the prompt's size is `prompt`.
    `output` includes `reasoning` and `audio_output`; `audio_input` and `image_input` are included in `input`.
    What is not billed by the token: `images` made, seconds of audio heard, `characters` spoken."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    raw: Mapping[str, Any] | None = None
    images: int = 0
    audio_seconds: float = 0.0
    characters: int = 0

    @property
    def prompt(self) -> int:
        """All input tokens, cached ones included: OpenAI's prompt_tokens."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def total(self) -> int:
        return self.prompt + self.output


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
