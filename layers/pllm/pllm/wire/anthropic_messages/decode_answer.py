"""A buffered Messages answer, to the neutral form."""

from collections.abc import Sequence
from typing import Any

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.anthropic_messages.errors import read_event_error
from pllm.wire.anthropic_messages.vocabulary import (
    DIALECT,
    ORIGIN,
    finish_reason,
    read_citation,
    read_tier,
    read_usage,
    refusal_text,
)
from pllm.wire.neutral import Choice, FinishReason, Opaque, Part, Refusal, Response, Text, Thinking, ToolCall


def read_message(body: bytes) -> JsonObject:
    """The answer as JSON. Raises GatewayError(UPSTREAM_PROTOCOL) when it is not a message, or the error it reports."""
    try:
        parsed = loads(body)
    except JsonError as error:
        raise malformed_upstream(f"not JSON: {error}") from None
    if isinstance(parsed, dict) and parsed.get("type") == "error":
        raise read_event_error(parsed)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("content"), list):
        raise malformed_upstream("not a message with content")
    if not isinstance(parsed.get("stop_reason"), str):
        raise malformed_upstream("a message without stop_reason")
    return parsed


def decode_answer(body: bytes, hidden_tool: str | None = None) -> Response:
    """`hidden_tool` names the tool whose input is the answer's text (case 19)."""
    message = read_message(body)
    finish = finish_reason(message["stop_reason"])
    parts = [part for block in message["content"] if (part := read_block(block)) is not None]
    if hidden_tool is not None:
        parts, finish = show_hidden(parts, finish, hidden_tool)
    if finish == "refusal" and (words := refusal_text(message.get("stop_details"))) is not None:
        parts.append(Refusal(words))
    usage = message.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    sequence = message.get("stop_sequence")
    choice = Choice(tuple(parts), finish, sequence if isinstance(sequence, str) else None)
    return Response(
        id=str(message.get("id") or ""),
        model=str(message.get("model") or ""),
        choices=(choice,),
        usage=read_usage(usage) if usage else None,
        service_tier=read_tier(usage),
    )


def read_block(block: Any) -> Part | None:
    """None for a block that says nothing: empty text, or thinking without words and proof."""
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise malformed_upstream("a content block without type")
    match block["type"]:
        case "text":
            citations = tuple(read_citation(raw) for raw in block.get("citations") or () if isinstance(raw, dict))
            text = _text(block, "text")
            return Text(text, None, citations) if text or citations else None
        case "thinking":
            text, signature = _text(block, "thinking"), _text(block, "signature") or None
            return Thinking(text, signature, origin=ORIGIN) if text or signature else None
        case "redacted_thinking":
            return Thinking(redacted=_text(block, "data"), origin=ORIGIN)
        case "tool_use":
            return ToolCall(_text(block, "id"), _text(block, "name"), dumps(block.get("input") or {}).decode())
        case kind:
            return Opaque(DIALECT, kind, block)


def _text(block: JsonObject, name: str) -> str:
    value = block.get(name)
    if value is not None and not isinstance(value, str):
        raise malformed_upstream(f"a {block['type']} block whose {name} is not a string")
    return value or ""


def show_hidden(parts: Sequence[Part], finish: FinishReason, hidden_tool: str) -> tuple[list[Part], FinishReason]:
    """The hidden tool's input as the answer's text, in place of any words around it."""
    if not any(isinstance(part, ToolCall) and part.name == hidden_tool for part in parts):
        return list(parts), finish
    shown: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall) and part.name == hidden_tool:
            shown.append(Text(part.arguments))
        elif not isinstance(part, Text):
            shown.append(part)
    return shown, finish_shown(finish, any(isinstance(part, ToolCall) for part in shown))


def finish_shown(finish: FinishReason, calls_left: bool) -> FinishReason:
    return "stop" if finish == "tool_calls" and not calls_left else finish
