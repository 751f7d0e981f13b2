"""What a model can do, as data. An adapter reads a capability here and never sniffs a model's name."""

from dataclasses import dataclass, field
from typing import Literal

ThinkingStyle = Literal["none", "effort", "budget", "adaptive", "level", "always"]
"""How a model is asked to think.

none: it cannot. effort: a named effort (OpenAI). budget: a token budget (Claude 3.7-4.5, Gemini 2.5). adaptive: the model
decides, optionally steered by an effort (Claude 4.6 and newer). level: Gemini 3's thinking level. always: it thinks and
cannot be told anything about it.
"""

StructuredOutput = Literal["native", "tool", "none"]
"""json_schema: native in the provider's API, emulated by a hidden forced tool, or not at all."""

ModelApi = Literal[
    "",
    "titan-embed",
    "titan-embed-image",
    "cohere-embed",
    "embed-content",
    "amazon-rerank",
    "cohere-rerank",
    "amazon-image",
    "imagen",
]
"""How a model that does not chat is asked, where its provider has several ways. "": as its provider's dialect says, if that
says.

embed-content: on Vertex AI by embedContent and not by predict. imagen: by Google's predict. The others: what Bedrock's
InvokeModel takes for these models.
"""


@dataclass(frozen=True, slots=True)
class Prices:
    """USD micro-dollars per million tokens (so an integer number of micro-dollars prices one million), or per unit.

    `None` means the price is not known, which is not the same as free; only `reasoning` and `image_input` then fall back, to
    `output` and `input`, which is how they are billed where nothing else is said. `long_context_over` is the input size in
    tokens (cached ones included) above which the `long_*` prices hold for the whole request. `version` dates the prices.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    per_image_micro_usd: int | None = None
    per_second_micro_usd: int | None = None
    per_million_characters: int | None = None
    per_search_unit_micro_usd: int | None = None
    long_context_over: int | None = None
    long_input: int | None = None
    long_output: int | None = None
    long_cache_read: int | None = None
    long_cache_write_5m: int | None = None
    long_cache_write_1h: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Capabilities and prices of one model as its provider serves it.

    The defaults describe an unknown model: everything the dialect can say is passed on, nothing is claimed, and the
    provider is the judge. `supports_system_in_messages`: a system message may stand in the middle of a conversation.
    `refused_params` names request fields (OpenAI Chat spelling) that the model is known to refuse.
    """

    mode: Literal["chat", "completion", "embedding", "image", "speech", "transcription", "moderation", "rerank"] = "chat"
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    default_max_tokens: int | None = None
    modalities: frozenset[str] = frozenset({"text", "image", "audio", "file"})
    thinking: ThinkingStyle = "effort"
    can_disable_thinking: bool = True
    structured_output: StructuredOutput = "native"
    supports_tools: bool = True
    supports_tool_choice_any: bool = True
    supports_prefill: bool = True
    supports_system_in_messages: bool = False
    supports_cache_marks: bool = True
    supports_temperature_with_top_p: bool = True
    max_stop_sequences: int | None = None
    model_api: ModelApi = ""
    refused_params: frozenset[str] = frozenset()
    prices: Prices = field(default_factory=Prices)
    known: bool = False
