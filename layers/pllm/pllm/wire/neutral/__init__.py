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

from pllm.wire.dialect import ClientDialect, UpstreamDialect
from pllm.wire.neutral.answer import (
    Choice,
    FinishReason,
    Response,
)
from pllm.wire.neutral.events import (
    BlockStop,
    CitationDelta,
    End,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    OpaqueBlock,
    Ping,
    RefusalDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageUpdate,
)
from pllm.wire.neutral.parts import (
    Audio,
    CacheMark,
    Citation,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from pllm.wire.neutral.request import (
    Reasoning,
    Request,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from pllm.wire.usage import Usage

__all__ = [
    "Audio",
    "BlockStop",
    "CacheMark",
    "Choice",
    "Citation",
    "CitationDelta",
    "ClientDialect",
    "Document",
    "End",
    "Event",
    "Failure",
    "FileId",
    "Finish",
    "FinishReason",
    "Image",
    "Inline",
    "LogprobsDelta",
    "Message",
    "Opaque",
    "OpaqueBlock",
    "Part",
    "Ping",
    "Reasoning",
    "Refusal",
    "RefusalDelta",
    "Request",
    "Response",
    "ResponseFormat",
    "Role",
    "Source",
    "Start",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStart",
    "ToolChoice",
    "ToolResult",
    "UpstreamDialect",
    "Url",
    "Usage",
    "UsageUpdate",
]
