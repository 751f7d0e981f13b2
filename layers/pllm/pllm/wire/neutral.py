"""The neutral form: one conversation, in no provider's words.

Client wires decode into it, upstream wires encode from it, and the other way round for answers, so c client dialects
and u upstream dialects cost c + u modules. Everything here is frozen and holds values only.

Conventions
- A `Message` alternates nothing by itself: consecutive messages of one role are allowed, wires merge where their provider
  wants it. Tool results are parts of *user* messages, results before other parts (translation case 3).
- Block indexes (`index` in events) count the blocks of one choice from 0 in order of appearance, text and thinking
  included. Wires that number differently (OpenAI's tool-call ordinal, case 1) derive their own numbers.
- Token counts in `Usage` are disjoint on the input side: `input` excludes cached reads and writes (case 15).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pllm.core.errors import GatewayError

ClientDialect = Literal["chat", "messages", "responses"]
UpstreamDialect = Literal["chat", "messages", "responses", "converse", "gemini"]

Role = Literal["system", "user", "assistant"]

FinishReason = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter", "refusal", "pause"]
"""Why generation ended. `stop_sequence` carries the matched text beside it; `pause` is Anthropic's pause_turn;
`refusal` is the model declining in its own words, `content_filter` a filter stepping in."""


# --- Parts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CacheMark:
    """The prompt up to and including the marked part may be cached. `ttl` is "5m" or "1h"."""

    ttl: Literal["5m", "1h"] = "5m"


@dataclass(frozen=True, slots=True)
class Url:
    """Media by address, as the client sent it. Not yet fetched, not yet checked."""

    url: str


@dataclass(frozen=True, slots=True)
class Inline:
    """Media as bytes. `media_type` is a MIME type such as image/png."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class FileId:
    """Media by the id of a file that was uploaded to a provider earlier. Only that provider can resolve it."""

    id: str


Source = Url | Inline | FileId


@dataclass(frozen=True, slots=True)
class Citation:
    """A source the model points at. `raw` keeps the provider's own object for a lossless way back to its dialect."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    origin: str = ""
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    cache: CacheMark | None = None
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    source: Source
    detail: str | None = None
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Spoken input. `format` is OpenAI's short name (wav, mp3, ...); the bytes say the rest."""

    source: Source
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file, most often a PDF. `name` is the client's file name, not safe for any provider as it stands."""

    source: Source
    name: str | None = None
    cache: CacheMark | None = None
    citations: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought. `signature` proves it to its `origin` ("anthropic", "gemini", "openai", ...), and only there:
    anyone else gets it demoted (case 10). `redacted` holds an encrypted block instead of text. `id` is the provider's item
    id where it has one (Responses)."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    origin: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is JSON text of an object, never empty: a call without arguments has "{}" (case 2).
    `signature` is Gemini's thought signature (case 12), `origin` who made it."""

    id: str
    name: str
    arguments: str = "{}"
    signature: str | None = None
    origin: str = ""
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    content: "tuple[Text | Image | Document, ...]" = ()
    is_error: bool = False
    name: str | None = None
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declined, in its own words."""

    text: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A block only its own dialect understands (a server tool's result, a compaction block). It survives inside that
    dialect and is refused, by name, anywhere else."""

    dialect: str
    type: str
    raw: Mapping[str, Any]


Part = Text | Image | Audio | Document | Thinking | ToolCall | ToolResult | Refusal | Opaque


@dataclass(frozen=True, slots=True)
class Message:
    """`path` says where it stood in the client's request ("messages[3]"), for error messages."""

    role: Role
    parts: tuple[Part, ...]
    path: str = ""
    name: str | None = None


# --- Request ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. `parameters` is a JSON Schema; None means none was given.
    Provider-side tools (web search, computer use, ...) travel as `raw` with their `dialect`."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    cache: CacheMark | None = None
    dialect: str = ""
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode` "required" means any tool must be called, "named" that `name` must. `allowed` narrows the tools (case 7)."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    allowed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How hard to think. At most one of `effort` and `budget_tokens` comes from one client; `enabled=False` asks for none.

    effort: none, minimal, low, medium, high, xhigh or max, as the client said. `budget_tokens` is Anthropic's.
    `adaptive` is Anthropic's thinking.type "adaptive". `summary` is Responses' (auto, concise, detailed).
    """

    enabled: bool | None = None
    effort: str | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    summary: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    kind: Literal["text", "json_object", "json_schema"]
    schema: Mapping[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One generation request. `system` holds the *leading* system and developer content (case 8); a later one stays in
    `messages` with role "system".

    `extras` are request fields with no neutral form, under the client's own spelling. An upstream wire passes on those its
    dialect has under the same meaning, and reports every other one as unsupported (case 23): none is silently lost.
    `echo` is what only the client's own wire needs to shape the answer (Responses repeats the request's settings, legacy
    Completions its prompt). Upstream wires never read it.
    """

    model: str
    messages: tuple[Message, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning: Reasoning | None = None
    response_format: ResponseFormat | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: Mapping[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    dialect: ClientDialect = "chat"
    extras: Mapping[str, Any] = field(default_factory=dict)
    echo: Mapping[str, Any] = field(default_factory=dict)


# --- Answer -------------------------------------------------------------------------------------------------------


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


# --- Stream events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The provider has begun to answer. Exactly one, first. `usage` may already hold the input side."""

    id: str = ""
    model: str = ""
    usage: Usage | None = None
    created_s: int | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    index: int
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class CitationDelta:
    index: int
    citation: Citation
    choice: int = 0


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    index: int
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More thinking text, or, with `signature`, the proof that ends the block, or, with `redacted`, a whole encrypted block."""

    index: int
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    origin: str = ""
    id: str | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    index: int
    id: str
    name: str
    signature: str | None = None
    origin: str = ""
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A fragment of the arguments' JSON text, passed as it came (case 2)."""

    index: int
    fragment: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class OpaqueBlock:
    """A whole block that only its own dialect understands."""

    index: int
    block: Opaque
    choice: int = 0


@dataclass(frozen=True, slots=True)
class BlockStop:
    """No more deltas for this block. Optional on input, always produced by our decoders before Finish."""

    index: int
    choice: int = 0


@dataclass(frozen=True, slots=True)
class LogprobsDelta:
    """OpenAI's logprobs object of one chunk, as it came."""

    logprobs: Mapping[str, Any]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    reason: FinishReason
    stop_sequence: str | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """Cumulative figures: replaces what was known, never adds (case 15)."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Ping:
    """The provider says it is alive."""


@dataclass(frozen=True, slots=True)
class End:
    """The provider's own terminal marker was seen: the stream is complete. Nothing else proves that (case 18)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The provider reported an error inside the stream. Nothing follows it."""

    error: GatewayError


Event = (
    Start
    | TextDelta
    | CitationDelta
    | RefusalDelta
    | ThinkingDelta
    | ToolCallStart
    | ToolCallDelta
    | OpaqueBlock
    | BlockStop
    | LogprobsDelta
    | Finish
    | UsageUpdate
    | Ping
    | End
    | Failure
)
