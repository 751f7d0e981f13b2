"""How many tokens a request is about, where no provider says: a guess on the high side.

Text counts one token for three UTF-8 bytes (English prose takes about four, code and JSON about three, Chinese about one
token a character, which is three bytes). What surrounds it is charged as the dearest provider was seen to: the frame of
each message and tool call, the preamble that tools bring along. Media counts by what providers document: an image up to
the cap of the models that see best, a PDF by its pages, sound by its length. A caller who trims a conversation to this
number stays inside the window; one who bills by it charges too much.
"""

import re
from math import ceil

from pllm.core.jsontext import dumps
from pllm.wire.neutral import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

_BYTES_PER_TOKEN = 3
_FRAME_TOKENS = 8
_REQUEST_TOKENS = 8
_TOOLS_PREAMBLE_TOKENS = 600
_TOOL_FRAME_TOKENS = 40
# A provider's own tool (web search, code execution, ...) brings a description that only the provider knows.
_PROVIDER_TOOL_TOKENS = 2_500
_THINKING_TOKENS = 40
_FORMAT_TOKENS = 150
_IMAGE_TOKENS = 1_600
_PAGE_TOKENS = 3_000
# The smallest speech formats hold about 1,000 bytes a second, and a second is up to 32 tokens.
_AUDIO_BYTES_PER_TOKEN = 32
_ADDRESSED_TOKENS = 10_000
"""Media that was not fetched: its size is not known."""

_PAGE = re.compile(rb"/Type\s*/Page[^s]")
_TEXT_TYPES = ("text/", "application/json", "application/xml")


def estimate_tokens(request: Request) -> int:
    """Input tokens of `request`, estimated: more often too many than too few."""
    total = _REQUEST_TOKENS + sum(_text(text.text) for text in request.system)
    total += sum(_FRAME_TOKENS + sum(map(_part, message.parts)) for message in request.messages)
    if request.tools:
        total += _TOOLS_PREAMBLE_TOKENS + sum(map(_tool, request.tools))
    if request.reasoning is not None:
        total += _THINKING_TOKENS
    if request.response_format is not None and request.response_format.schema is not None:
        total += _FORMAT_TOKENS + _text(dumps(request.response_format.schema).decode())
    return total


def _tool(tool: Tool) -> int:
    if tool.raw is not None:
        return _PROVIDER_TOOL_TOKENS + _text(dumps(tool.raw).decode())
    return _TOOL_FRAME_TOKENS + _text(tool.name + (tool.description or "") + dumps(tool.parameters or {}).decode())


def _text(text: str) -> int:
    return ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN)


def _part(part: Part) -> int:
    match part:
        case Text(text) | Refusal(text) | Thinking(text):
            return _text(text)
        case ToolCall():
            return _TOOL_FRAME_TOKENS + _text(part.name + part.arguments)
        case ToolResult():
            return _TOOL_FRAME_TOKENS + sum(map(_part, part.content))
        case Image():
            return _IMAGE_TOKENS
        case Audio(Inline(data, _)):
            return ceil(len(data) / _AUDIO_BYTES_PER_TOKEN)
        case Document(Inline() as source):
            return _document(source)
        case Opaque():
            return _text(dumps(part.raw).decode())
        case _:
            return _ADDRESSED_TOKENS


def _document(source: Inline) -> int:
    if source.media_type.startswith(_TEXT_TYPES):
        return ceil(len(source.data) / _BYTES_PER_TOKEN)
    # Pages may hide in compressed objects: then the size has to do.
    pages = len(_PAGE.findall(source.data)) or ceil(len(source.data) / 50_000)
    return pages * _PAGE_TOKENS
