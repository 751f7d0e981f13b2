"""What an answer used. Apart from the rest of the neutral form, since every lane tells it, those too that never translate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them. Input kinds are disjoint: the prompt's size is `prompt`.
    `output` includes `reasoning` and `audio_output`; `audio_input` and `image_input` are included in `input`.
    What is not billed by the token: `images` made, seconds of audio heard, `characters` spoken, units of a search
    (a query and up to a hundred pieces of documents)."""

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
    search_units: int = 0

    @property
    def prompt(self) -> int:
        """All input tokens, cached ones included: OpenAI's prompt_tokens."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def total(self) -> int:
        return self.prompt + self.output
