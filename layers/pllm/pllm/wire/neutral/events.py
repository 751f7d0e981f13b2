"""An answer as it comes: the events of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.errors import GatewayError
from pllm.wire.neutral.answer import FinishReason
from pllm.wire.neutral.parts import Citation, Opaque
from pllm.wire.usage import Usage


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
